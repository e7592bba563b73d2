# SPDX-License-Identifier: GPL-2.0-only
"""What each Python line keeps, judged by tracemalloc and by counts from within, in every CPython
that is here; SEEP_LONG=1 runs all of the rest everywhere, too."""
import json
import os

from harness import Recorder, check, equal
from interpreters import Interpreter, every, identifier, library
from python_sites import class_sum, kept_by_line

# Lines below this are compared, but not demanded to agree.
SMALL_BYTES = 10240
SHOWN = 10  # of the lines that do
# ... nor are those of the test's own driver: what prints the truth allocates, too.
DRIVER = ("judge.py", "target.py", "tracemalloc.py")

# (first minor, last minor, end of the line's "file:line" or text in that line, reason)
KNOWN = ()


def is_known(minor, line):
    path, _, number = line.rpartition(":")
    for first, last, text, _ in KNOWN:
        if first <= minor <= last and text in "%s:%s" % (os.path.basename(path), number):
            return True
    return os.path.basename(path) in DRIVER


def apart(one, other):
    """More than 1 % between them."""
    return abs(one - other) * 100 > max(one, other)


def disagreements(minor, seen, truth):
    """Lines on which they differ: those that must not, and all that do."""
    wrong, differ = [], []
    for line in sorted(set(seen) | set(truth)):
        ours, theirs = seen.get(line, [0, 0]), truth.get(line, [0, 0])
        if ours == theirs or is_known(minor, line):
            continue
        text = "%s: %d B in %d blocks, tracemalloc %d B in %d" % (line, *ours, *theirs)
        differ.append(text)
        if max(ours[0], theirs[0]) > SMALL_BYTES and \
                (apart(ours[0], theirs[0]) or apart(ours[1], theirs[1])):
            wrong.append(text)
    return wrong, differ


_plain = {}


def recorded(interpreter):
    """One recording of the work, for the tests of this file."""
    if interpreter.name not in _plain:
        target = interpreter.start("judge.py", "plain")
        recorder = Recorder("-p", target.pid)
        target.go()
        _plain[interpreter.name] = recorder.stop()
        equal(target.quit(), 0, "exit status of the target")
    return _plain[interpreter.name]


def truth(interpreter, *mode):
    target = interpreter.start("judge.py", *mode)
    target.send("go")
    text = target.expect("truth")
    target.expect("done")
    target.quit()
    return json.loads(text)


def check_lines(name):
    interpreter = Interpreter(name)
    wanted = truth(interpreter, "tracemalloc")
    seen = kept_by_line(recorded(interpreter).no_losses())
    wrong, differ = disagreements(interpreter.version[1], seen, wanted)
    check(len(wanted) > 60, "tracemalloc saw %d lines only" % len(wanted))
    check(not wrong, "%d of %d lines differ by more than 1 %%, %d in all:\n%s" % (
        len(wrong), len(wanted), len(differ), "\n".join(wrong[:SHOWN])))


def check_counts(name):
    """pycount.c counted the same work in a run of its own."""
    interpreter = Interpreter(name)
    counter = interpreter.place(library("pycount.c", "-nostdlib"))
    wanted = truth(interpreter, "count", counter)
    report = recorded(interpreter).no_losses()
    equal(wanted["lost"], 0, "blocks for which the counter had no room")
    check(wanted["allocated"] > 100000, "only %d blocks" % wanted["allocated"])
    for ours, theirs in (("alloc_blocks", "allocated"), ("free_blocks", "freed"),
                         ("alloc_bytes", "allocated_bytes"), ("live_blocks", "live"),
                         ("live_bytes", "live_bytes")):
        seen = class_sum(report, "python", ours)
        check(abs(seen - wanted[theirs]) * 1000 <= wanted[theirs], "%s of class python: %d, "
              "counted within %d" % (ours, seen, wanted[theirs]))


def per_interpreter(prefix, function, names):
    """A test for each: those that are not here say so one by one."""
    for name in names:
        def test(name=name):
            function(name)
        globals()["test_%s_%s" % (prefix, identifier(name))] = test


per_interpreter("lines_agree_with_tracemalloc", check_lines, every())
per_interpreter("every_block_is_counted", check_counts, every())
