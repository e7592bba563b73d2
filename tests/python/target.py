# SPDX-License-Identifier: GPL-2.0-only
"""How a Python program talks to the test that watches it: tests/targets/target.h, in Python.

Everything here runs on CPython 3.6 to 3.14. os.read and os.write only: no buffers that grow.
"""
import os
import select

told_fd = os.dup(0)  # multiprocessing closes standard input in its workers


def say(line):
    os.write(1, line.encode() + b"\n")


def wait():
    """Until a line has come, or the end of the input."""
    while os.read(0, 1) not in (b"", b"\n"):
        pass


def is_told():
    """Is there a line to read, or the end of the input?"""
    return bool(select.select([told_fd], [], [], 0)[0])


def ready():
    say("ready")
    wait()


def done(text=""):
    say(("done " + text).strip())
    wait()
