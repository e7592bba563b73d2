# SPDX-License-Identifier: GPL-2.0-only
"""Code objects that come and go, other interpreters of one process, switched stacks."""
import os

from harness import Recorder, Report, Skip, check, equal, run, scratch_dir, wait_until
from interpreters import Interpreter
from python_sites import python_frames, through

ROUNDS = 3001
TEXTS = 31
BLOCK = 1009

SAME_TEXT = """
import random, sys
print("ready", flush=True); sys.stdin.readline()
junk = []
for i in range(%d):
    junk.append(bytearray(random.randrange(16, 500)))
    if len(junk) > 500:
        junk.pop(random.randrange(500))
    exec("def made():\\n    return [j for j in range(50)]\\nmade()\\n", {})
print("done", flush=True); sys.stdin.readline()
""" % ROUNDS

OTHER_TEXTS = """
import sys
print("ready", flush=True); sys.stdin.readline()
keep = []
space = {"keep": keep}
def once(i):
    exec("def made_%%02d():\\n    keep.append(bytearray(%d * %%d))\\nmade_%%02d()\\ndel made_%%02d"
         %% (i, i + 1, i, i), space)
for i in range(%d):
    once(i)
print("done", flush=True); sys.stdin.readline()
""" % (BLOCK, TEXTS)

ANOTHER = """
import os, sys
import %s as interpreters
print("ready", flush=True); sys.stdin.readline()
text = '''
import os, time
keep = []
def grow():
    keep.append(bytearray(1009))
while not os.path.exists(%%r):
    grow()
    time.sleep(0.01)
print("done", flush=True)
import sys
sys.stdin.readline()
'''
interpreters.run_string(interpreters.create(), text %% (sys.argv[0] + ".stop"))
"""

SWITCHED = """
import sys
import greenlet
print("ready", flush=True); sys.stdin.readline()
keep = []
def grow():
    keep.append(bytearray(1009))
def body():
    while True:
        grow()
        greenlet.getcurrent().parent.switch()
workers = [greenlet.greenlet(body) for i in range(13)]
for i in range(17):
    for worker in workers:
        worker.switch()
print("done", flush=True); sys.stdin.readline()
"""


def begin(text, name="debian"):
    """(target, recorder, path of the program)"""
    path = os.path.join(scratch_dir(), "program.py")
    with open(path, "w") as program:
        program.write(text)
    target = Interpreter(name).start(path)
    return target, Recorder("-p", target.pid), path


def record(text):
    target, recorder, _ = begin(text)
    target.go()
    report = recorder.stop().no_losses()
    target.quit()
    return report


def test_the_same_text_executed_again_and_again_is_one_function():
    """Each time it lies elsewhere, in another namespace."""
    report = record(SAME_TEXT)
    blocks = sum(site["alloc_blocks"] for site in through(report, "made"))
    check(blocks >= 2 * ROUNDS, "only %d blocks of %d calls" % (blocks, ROUNDS))
    check(len(through(report, "made")) < ROUNDS // 10, "%d sites of one function" %
          len(through(report, "made")))


def test_another_text_at_the_same_place_has_its_own_name():
    report = record(OTHER_TEXTS)
    for i in range(TEXTS):
        sites = through(report, "made_%02d" % i)
        live = [site["live_bytes"] for site in sites]
        check(any(BLOCK * (i + 1) <= bytes_ <= BLOCK * (i + 1) + 1 for bytes_ in live),
              "made_%02d keeps %r, want %d" % (i, live, BLOCK * (i + 1)))


def kept_by_grow(report):
    return max((site["live_blocks"] for site in through(report, "grow")
                if site["live_bytes"] > 1009), default=0)


def other_interpreter(name, module):
    target, recorder, path = begin(ANOTHER % module, name)
    target.send("go")
    # the first ones come before it is known that there is another interpreter
    wait_until(lambda: kept_by_grow(Report(recorder.path)) > 50, "more than 50 blocks of grow()")
    with open(path + ".stop", "w"):
        pass
    target.expect("done")
    check(kept_by_grow(recorder.stop().no_losses()) > 50, "grow() keeps them no more")
    target.quit()


def test_another_interpreter_before_3_12():
    other_interpreter("pyenv-3.9", "_xxsubinterpreters")


def test_another_interpreter_of_3_12():
    other_interpreter("pyenv-3.12", "_xxsubinterpreters")


def test_greenlets():
    """They swap pieces of the native stack; each has its own frames."""
    if run(["/usr/bin/python3", "-c", "import greenlet"]).returncode:
        raise Skip("Debian's python3-greenlet is not installed")
    report = record(SWITCHED)
    sites = [site for site in through(report, "grow") if site["live_bytes"] > 13 * 17 * 1009]
    equal(len(sites), 1, "sites of grow()")
    equal(sites[0]["live_blocks"], 13 * 17, "blocks")
    equal([frame[0] for frame in python_frames(sites[0])][:2], ["grow", "body"], "frames")
