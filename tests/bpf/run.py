# SPDX-License-Identifier: GPL-2.0-only
"""Runs the functions test_* of the files test_*.py beside this one.

usage: run.py [PATTERN]     PATTERN: a part of "file.function"; "!PATTERN": all but those

A line for each test; ends with "N passed, N failed, N skipped". Exit status 1 when one failed.
"""
import importlib
import os
import signal
import sys
import time
import traceback

import harness

TEST_SECONDS = 300


def is_meant(name, pattern):
    return pattern[1:] not in name if pattern.startswith("!") else pattern in name


def find_tests(pattern):
    here = os.path.dirname(os.path.abspath(__file__))
    for name in sorted(os.listdir(here)):
        if not (name.startswith("test_") and name.endswith(".py")):
            continue
        module = importlib.import_module(name[:-3])
        for key, value in list(vars(module).items()):
            full = "%s.%s" % (name[5:-3], key[5:])
            if key.startswith("test_") and callable(value) and is_meant(full, pattern):
                yield full, value


def on_alarm(number, frame):
    raise harness.Failure("not done after %d s" % TEST_SECONDS)


def run_test(test):
    """Returns ("ok"|"skip"|"FAIL", text)."""
    signal.alarm(getattr(test, "seconds", TEST_SECONDS))
    try:
        test()
        return "ok", ""
    except harness.Skip as skip:
        return "skip", str(skip)
    except harness.Failure as failure:
        line = traceback.extract_tb(failure.__traceback__)
        where = [f for f in line if os.path.basename(f.filename).startswith("test_")]
        return "FAIL", "%s%s" % ("line %d: " % where[-1].lineno if where else "", failure)
    except Exception:  # pylint: disable=broad-except
        return "FAIL", traceback.format_exc().strip()
    finally:
        signal.alarm(0)
        harness.cleanup()


def main():
    counts = {"ok": 0, "FAIL": 0, "skip": 0}
    pattern = sys.argv[1] if len(sys.argv) > 1 else ""
    signal.signal(signal.SIGALRM, on_alarm)
    for name, test in find_tests(pattern):
        start = time.monotonic()
        result, text = run_test(test)
        counts[result] += 1
        print("%-4s %-68s %5.1f s%s" % (result, name, time.monotonic() - start,
                                        ": " + text if text else ""), flush=True)
    print("%(ok)d passed, %(FAIL)d failed, %(skip)d skipped" % counts)
    return 1 if counts["FAIL"] or not counts["ok"] else 0


if __name__ == "__main__":
    sys.exit(main())
