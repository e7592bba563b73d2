# SPDX-License-Identifier: GPL-2.0-only
# -*- coding: utf-8 -*-
"""frames.py - two threads that print their frames from inside and then stand still, for
tests/python-detect.sh. Runs on 3.6 and later. Prints

	version X.Y.Z
	thread IDENT
	frame NAME FILE FIRST-LINE LASTI LINES-BYTES LINES-SUM CODE GLOBALS FIRST-TRACEABLE
	...
	ready

and ends when standard input does. LASTI of the innermost frame goes on: it is printed as "-".
"""
import functools
import os
import sys
import threading

subinterpreters = None
if "subinterpreter" in getattr(sys, "argv", []):
    try:
        import _xxsubinterpreters as subinterpreters
    except ImportError:
        import _interpreters as subinterpreters  # 3.13 on
gate = threading.Lock()  # the second thread stands still at it; acquiring it is no Python code
gate.acquire()
told = threading.Event()  # it has printed its frames


def first_traceable(code):
    """Index of RESUME, as _PyCode_New computes _co_firsttraceable from 3.11 on."""
    if sys.version_info < (3, 11):
        return -1
    import opcode
    resume = opcode.opmap["RESUME"]
    text = code.co_code
    return next((i // 2 for i in range(0, len(text), 2) if text[i] == resume), len(text) // 2)


def describe(frame, leaf):
    code = frame.f_code
    lines = code.co_linetable if sys.version_info >= (3, 10) else code.co_lnotab
    name = code.co_qualname if sys.version_info >= (3, 11) else code.co_name
    return "frame %s %s %d %s %d %d %x %d\n" % (
        name.encode("ascii", "backslashreplace").decode(), code.co_filename, code.co_firstlineno,
        "-" if leaf else frame.f_lasti, len(lines),
        sum((i + 1) * byte for i, byte in enumerate(bytearray(lines))), id(code),
        first_traceable(code))


def tell(frame, last_words=""):
    text, leaf = "thread %d\n" % threading.get_ident(), True
    while frame:
        text += describe(frame, leaf)
        frame, leaf = frame.f_back, False
    sys.stdout.write(text + last_words)
    sys.stdout.flush()
    told.set()


class Worker:
    def stand_still(self, wait):
        tell(sys._getframe(), "" if wait == gate.acquire else "ready\n")
        wait()

    def naïve(self, wait):
        self.stand_still(wait)

    def 名前(self, wait):
        yield 1
        self.naïve(wait)
        yield 2

    def deep(self, wait, depth):
        if depth:
            self.deep(wait, depth - 1)
        else:
            for _ in self.名前(wait):
                pass


def from_c(wait):
    """map, sorted and a comprehension call back from C and from a nested scope."""
    return sorted([3], key=lambda _: [list(map(lambda _: Worker().deep(wait, 7), [1])) for _ in "x"])


def in_thread():
    from_c(gate.acquire)


def stands_still(thread):
    frame = sys._current_frames().get(thread.ident)
    return frame and frame.f_code is Worker.stand_still.__code__ and frame.f_lasti > 0


def main():
    print("version %d.%d.%d" % sys.version_info[:3], flush=True)
    other = subinterpreters.create() if subinterpreters else None  # lives as long as its name
    thread = threading.Thread(target=in_thread)
    thread.start()
    while not told.wait(0.01) or not stands_still(thread):
        pass
    from_c(functools.partial(os.read, 0, 1))
    gate.release()
    thread.join()
    del other


main()
