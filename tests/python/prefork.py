# SPDX-License-Identifier: GPL-2.0-only
"""A pre-fork server: WORKERS processes, forked without exec, of which one leaks; all others, and the
leaking one too, fill a larger cache.

usage: prefork.py fork|multiprocessing SECONDS

The workers are forked after "ready", and end as story.py says. Prints "worker PID" for the one that
leaks, and behind "done" the statuses of workers that died.
"""
import multiprocessing
import multiprocessing.popen_fork
import os
import sys

import story
import target

WORKERS = 3
LEAKING = 1

sessions = []


def remember(request):
    sessions.append("session of request %d, never removed" % request * 11)  # LINE leak


def work(number):
    sys.argv = [sys.argv[0], sys.argv[2]]
    for request in story.paced():
        if number == LEAKING:
            remember(request)


def fork_workers():
    pids = []
    for number in range(WORKERS):
        pid = os.fork()
        if not pid:
            work(number)
            os._exit(0)
        pids.append(pid)
    return pids


def multiprocess_workers():
    context = multiprocessing.get_context("fork")
    workers = []
    for number in range(WORKERS):
        workers.append(context.Process(target=work, args=(number,)))
        workers[-1].start()
    return workers


def main():
    target.ready()
    if sys.argv[1] == "multiprocessing":
        workers = multiprocess_workers()
        target.say("worker %d" % workers[LEAKING].pid)
        for worker in workers:
            worker.join()
        statuses = [worker.exitcode for worker in workers]
    else:
        pids = fork_workers()
        target.say("worker %d" % pids[LEAKING])
        statuses = [os.waitpid(pid, 0)[1] for pid in pids]
    target.done(" ".join(str(status) for status in statuses if status))


main()
