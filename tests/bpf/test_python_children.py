# SPDX-License-Identifier: GPL-2.0-only
"""Children of a watched interpreter, two interpreters in one process, and what sampling draws."""
import os

from harness import Recorder, check, need, scratch_dir, stat_of, wait_until
from interpreters import Interpreter, pyenv_path
from python_sites import class_sum, through

VFORKS = 31
KEPT = 101  # lists a round

GROWS = """
import subprocess, sys
print("ready", flush=True); sys.stdin.readline()
keep = []
def grow():
    keep.append([object() for i in range(%d)])
for i in range(%d):
    subprocess.Popen([sys.argv[1]], close_fds=False).wait()
    grow()
print("done", flush=True); sys.stdin.readline()
""" % (KEPT, VFORKS)

FORKS = """
import os, sys, time
print("ready", flush=True); sys.stdin.readline()
for i in range(211):
    pid = os.fork()
    if pid == 0:
        time.sleep(0.05)
        os._exit(0)
    os.waitpid(pid, 0)
print("done", flush=True); sys.stdin.readline()
"""

TWO = """
import ctypes, sys
ctypes.CDLL(sys.argv[1], ctypes.RTLD_LOCAL)
print("ready", flush=True); sys.stdin.readline()
keep = [bytearray(1009) for i in range(211)]
print("done", flush=True); sys.stdin.readline()
"""

APPENDS = """
import sys
print("ready", flush=True); sys.stdin.readline()
keep = []
for i in range(101):
    items = []
    for j in range(5003):
        items.append(None)
    keep.append(items)
more = []
for i in range(60013):
    more.append((i, keep, keep))
print("done", flush=True); sys.stdin.readline()
"""


def start(text, *args, name="debian", **more):
    path = os.path.join(scratch_dir(), "program.py")
    with open(path, "w") as program:
        program.write(text)
    return Interpreter(name).start(path, *args, **more)


def test_subprocesses_do_not_end_the_redirection_of_their_parent():
    """A child of vfork() shares its parent's memory: its end is not that of the slots."""
    target = start(GROWS, need("/bin/true"))
    recorder = Recorder("-p", target.pid, "--children")
    target.go()
    report = recorder.stop()
    target.quit()
    kept = sum(site["live_blocks"] for site in through(report, "grow", "python", target.pid))
    check(kept >= VFORKS * KEPT, "%d blocks kept, at least %d are" % (kept, VFORKS * KEPT))


def locks(own_pid):
    """Of the process, and of those that are gone: what else lives here may be recorded, too."""
    names = os.listdir("/run/seep") if os.path.isdir("/run/seep") else []
    pids = [int(name.split(".")[1]) for name in names if name.startswith("redirect.")]
    return len([pid for pid in pids if pid == own_pid or not stat_of(pid)])


def test_children_that_are_gone_keep_nothing_open():
    target = start(FORKS)
    before = locks(target.pid)
    recorder = Recorder("-p", target.pid, "-i", "1s")
    open_files = "/proc/%d/fd" % recorder.process.pid
    files, attached = len(os.listdir(open_files)), locks(target.pid)
    target.go()
    wait_until(lambda: len(os.listdir(open_files)) <= files, "as many open files as at first")
    wait_until(lambda: locks(target.pid) <= attached, "as many locks as at first")
    recorder.stop().no_losses()
    target.quit()
    check(locks(target.pid) <= before, "locks are left")


def test_an_interpreter_beside_another():
    """Two are mapped, one runs: that one is recorded, in its own file."""
    library = os.path.join(os.path.dirname(os.path.dirname(pyenv_path(9))), "lib",
                           "libpython3.9.so.1.0")
    target = start(TWO, need(library))
    recorder = Recorder("-p", target.pid)
    target.go()
    report = recorder.stop().no_losses()
    target.quit()
    kept = sum(site["live_blocks"] for site in through(report, "<listcomp>", "python"))
    check(kept >= 2 * 211, "%d blocks kept, at least %d are" % (kept, 2 * 211))


def sampled_like_all(**more):
    """Class malloc has nothing of it, and class python is not far from all blocks."""
    sums = {}
    for interval in (1, "4k"):
        target = start(APPENDS, **more)
        recorder = Recorder("-p", target.pid, "--sample", interval)
        target.go()
        report = recorder.stop()
        target.quit()
        sums[interval] = class_sum(report, "python", "alloc_blocks")
        check(class_sum(report, "malloc", "alloc_bytes") <= 65536,
              "%d bytes of Python are also of class malloc" %
              class_sum(report, "malloc", "alloc_bytes"))
    check(0.8 < sums["4k"] / sums[1] < 1.25, "alloc_blocks: %r" % sums)


def test_a_realloc_is_drawn_once():
    sampled_like_all()


def test_a_realloc_is_drawn_once_where_functions_are_probed():
    sampled_like_all(name="pyenv-3.11")


def test_debug_hooks_do_not_draw_more():
    sampled_like_all(name="pyenv-3.11", env={"PYTHONMALLOC": "debug"})
