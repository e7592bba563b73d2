# SPDX-License-Identifier: GPL-2.0-only
"""A watched interpreter is not harmed: the same results as undisturbed, and its allocator tables as they
were, after attaching and detaching, seep killed, two seeps, children and exits in between.

"debian" and "trixie" have their slots redirected, "pyenv-3.12" has not. SEEP_LONG=1: 1000 cycles, 200
kills, instead of 22 and 20."""
import os
import random
import signal
import threading
import time

from harness import (NO_TARGET, OK, PATIENCE, SEEP, Failure, Recorder, Target, check,
                     differing_code_bytes, end_process, equal, need, scratch_dir, seep, spawn,
                     wait_until)
from interpreters import LONG, PROGRAMS, Interpreter
from python_sites import class_sum

CYCLES = 500 if LONG else 11  # on each of two processes
KILLS = 200 if LONG else 20
EXITS = 100 if LONG else 8

_undisturbed = {}


class Service:
    """service.py, which says what its tables hold and whether all its results were right."""

    def __init__(self, name, *args):
        self.interpreter = Interpreter(name)
        self.undisturbed = undisturbed(self.interpreter)
        self.target = self.interpreter.start("service.py", *args, wait=False)
        self.pid = self.target.pid
        self.slots = self.target.expect("slots")
        self.target.expect("ready")

    def work(self):
        """Its work ends. Returns what the slots hold then."""
        self.target.send("go")
        slots = self.target.expect("slots")
        checksum, rounds = self.target.expect("done").split()
        equal(checksum, self.undisturbed, "checksum of the results")
        check(int(rounds) >= 3, "only %s rounds" % rounds)
        return slots

    def alive(self):
        equal(self.target.process.poll(), None, "exit status of the service")

    def end(self):
        """Nothing is left in it: neither in its tables nor in its code."""
        if not self.interpreter.root:  # the kernel takes probes away behind the exit of seep
            wait_until(lambda: not differing_code_bytes(self.pid, "python"),
                       "code of the interpreter as in its file")
        self.target.send("quit")
        equal(self.target.expect("slots"), self.slots, "slots of the allocator tables at the end")
        equal(self.target.process.wait(PATIENCE), 0, "exit status of the service")


def undisturbed(interpreter):
    if interpreter.name not in _undisturbed:
        target = interpreter.start("service.py", "once")
        target.send("go")
        _undisturbed[interpreter.name] = target.expect("done").split()[0]
        target.quit()
    return _undisturbed[interpreter.name]


def record_briefly(pid, path):
    """What seep says; exit status 0."""
    result = seep("record", "-f", "-p", pid, "-d", "200ms", "-i", "500ms", "-o", path)
    equal(result.returncode, OK, "exit status of seep (%s)" % result.stderr.strip())
    return result.stderr


# ---- seep comes and goes ----------------------------------------------------------------------------

def test_slots_are_redirected_while_recording_and_restored():
    service = Service("debian", "once")
    recorder = Recorder("-p", service.pid)
    during = service.work()
    check(during != service.slots, "the slots are as before: this build needs them redirected")
    report = recorder.stop().no_losses()
    check(class_sum(report, "python", "alloc_blocks") > 30000, "class python is hardly there")
    service.end()


def test_slots_stay_where_nothing_is_inlined():
    service = Service("pyenv-3.12", "once")
    recorder = Recorder("-p", service.pid)
    equal(service.work(), service.slots, "slots while recording")
    recorder.stop().no_losses()
    service.end()


def test_attaching_and_detaching_again_and_again():
    services, failures = [Service("debian", "loop"), Service("pyenv-3.12", "loop")], []

    def cycles(service, path):
        try:
            for _ in range(CYCLES):
                record_briefly(service.pid, path)
                service.alive()
        except Exception as failure:  # pylint: disable=broad-except
            failures.append("%s: %s" % (service.interpreter.name, failure))

    threads = [threading.Thread(target=cycles, args=(service, "%s/%d.seep" % (scratch_dir(), i)))
               for i, service in enumerate(services)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal(failures, [], "failures")
    for service in services:
        service.work()
        service.end()


test_attaching_and_detaching_again_and_again.seconds = 7200 if LONG else 600


def test_seep_killed_at_random_moments():
    service, path, chance = Service("debian", "loop"), scratch_dir() + "/k.seep", random.Random(1009)
    for _ in range(KILLS):
        recorder = spawn([need(SEEP), "record", "-f", "-p", str(service.pid), "-o", path],
                         stdout=-3, stderr=-3)
        time.sleep(chance.uniform(0, 2.2))
        recorder.send_signal(signal.SIGKILL)
        end_process(recorder)
        service.alive()
    record_briefly(service.pid, path)  # finds what was left, and restores it in the end
    service.work()
    service.end()


test_seep_killed_at_random_moments.seconds = 1200 if LONG else 300


def test_what_a_killed_seep_left_is_restored_by_the_next_on_another_process():
    service, other = Service("debian", "loop"), Service("pyenv-3.12", "loop")
    recorder = Recorder("-p", service.pid)
    recorder.process.kill()
    recorder.process.wait()
    record_briefly(other.pid, scratch_dir() + "/other.seep")
    for each in (service, other):
        equal(each.work(), each.slots, "slots after the next start of seep")
        each.end()


def test_two_seeps_on_one_process():
    service = Service("debian", "once")
    first = Recorder("-p", service.pid)
    second = Recorder("-p", service.pid, wait=False)
    refused = None
    try:
        second.wait_attached()
    except Failure:
        refused = second.process.wait(PATIENCE)
        check(refused != 0 and len(second.lines) == 1 and second.lines[0].startswith("seep: "),
              "a refusal is one line and a status, got %r: %r" % (refused, second.lines))
    service.work()
    reports = [first.stop().no_losses()]
    if refused is None:
        service.alive()
        reports.append(second.stop().no_losses())
        alive = [class_sum(report, "python", "live_blocks") for report in reports]
        check(abs(alive[0] - alive[1]) <= 7, "blocks alive, as both see them: %r" % alive)
    check(class_sum(reports[0], "python", "alloc_blocks") > 30000, "the first saw hardly anything")
    service.end()


def test_one_of_two_seeps_is_killed():
    service = Service("debian", "loop")
    first = Recorder("-p", service.pid)
    second = Recorder("-p", service.pid, wait=False)
    try:
        second.wait_attached()
    except Failure:
        first.stop()
        service.work()
        service.end()
        return
    first.process.kill()
    first.process.wait()
    time.sleep(0.5)
    service.work()
    check(class_sum(second.stop(), "python", "alloc_blocks") > 1000, "the other sees no more")
    service.end()


# ---- the interpreter goes -----------------------------------------------------------------------------

def test_interpreter_that_exits_while_seep_attaches():
    chance, path = random.Random(1013), scratch_dir() + "/exits.seep"
    script = ("import time, sys\nend = time.monotonic() + float(sys.argv[1])\nprint('ready', flush=1)\n"
              "kept = 0\nwhile time.monotonic() < end: kept = len([str(i) for i in range(1009)])\n"
              "print('done', kept, flush=1)")
    for _ in range(EXITS):
        target = Target(need("/usr/bin/python3"), "-c", script, "%f" % chance.uniform(0, 2))
        result = seep("record", "-f", "-p", target.pid, "-d", "1s", "-i", "500ms", "-o", path)
        check(result.returncode in (OK, NO_TARGET), "exit status %d: %s" % (
            result.returncode, result.stderr))
        if result.returncode:
            equal(len(result.stderr.splitlines()), 1, "lines of %r" % result.stderr)
        equal(target.expect("done"), "1009", "what the program printed")
        equal(target.process.wait(PATIENCE), 0, "exit status of the program")


# ---- children -------------------------------------------------------------------------------------------

def pool_is_right(name, *options):
    """Children of a probed, redirected interpreter live and compute what they would alone."""
    service = Service(name, "once", "3")
    recorder = Recorder("-p", service.pid, *options)
    service.work()
    report = recorder.stop()
    if options:
        blocks = {p["pid"]: sum(s["alloc_blocks"] for s in report.all_sites
                                if s["pid"] == p["pid"] and s["class"] == "python")
                  for p in report.processes}
        check(len([n for n in blocks.values() if n > 1009]) >= 4, "blocks per process: %r" % blocks)
    service.end()


def test_pool_of_a_recorded_process():
    pool_is_right("debian")


def test_pool_is_followed():
    pool_is_right("debian", "--children")


def test_pool_of_an_interpreter_that_inlines_nothing():
    pool_is_right("pyenv-3.8", "--children")


def test_pool_in_another_root():
    pool_is_right("trixie", "--children")


def test_child_keeps_running_when_the_recording_ends():
    """A worker forked from a redirected process has redirected slots of its own."""
    script = os.path.join(PROGRAMS, "prefork.py")
    target = Target(need("/usr/bin/python3"), script, "fork", "6")
    recorder = Recorder("-p", target.pid)
    target.send("go")
    target.expect("worker")
    time.sleep(1)
    recorder.stop()
    target.send("stop")
    equal(target.expect("done"), "", "statuses of workers that died")
    equal(target.quit(), 0, "exit status of the server")
