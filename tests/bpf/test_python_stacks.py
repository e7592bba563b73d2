# SPDX-License-Identifier: GPL-2.0-only
"""Mixed stacks: the Python frames are those that traceback shows at the same call, in every CPython
that is here; and stacks reach their roots, in Python and natively."""
import json
import os

from harness import Recorder, check, equal, measure
from interpreters import LONG, Interpreter, every, identifier
from python_sites import is_whole, in_short, python_frames, share_whole, through

KEPT_FRAMES = 500  # of a deep stack at least
# a temporary object may come from the allocator and go to a free list, which keeps it
FREE_LIST_BYTES = 512


def recorded_frames(interpreter):
    target = interpreter.start("frames.py")
    recorder = Recorder("-p", target.pid)
    target.send("go")
    wanted = json.loads(target.expect("truth"))
    target.expect("done")
    return recorder.stop().no_losses(), wanted


def at_leaf(report, line):
    """{frames: [blocks, bytes, truncated]} of what is kept by the line."""
    found = {}
    for site in report.all_sites:
        frames = tuple(python_frames(site))
        if site["class"] == "python" and site["live_blocks"] and frames and \
                frames[0][1:] == tuple(line):
            entry = found.setdefault(frames, [0, 0, False])
            entry[0] += site["live_blocks"]
            entry[1] += site["live_bytes"]
            entry[2] = entry[2] or site["truncated"]
    return found


def first_difference(frames, candidates):
    """For a failure: the frames of the stack that agrees furthest."""
    def agreeing(other):
        return next((i for i, (a, b) in enumerate(zip(frames, other)) if a != b),
                    min(len(frames), len(other)))
    if not candidates:
        return "there is none at that line"
    best = max(candidates, key=agreeing)
    at = agreeing(best)
    return "nearest has %d frames, from frame %d on: %r, want %r" % (
        len(best), at, best[at:at + 3], frames[at:at + 3])


def kept_of_deep(frames, found):
    """[blocks, bytes] of stacks that are cut, with at least KEPT_FRAMES of these; takes them out."""
    deep = [kept for kept, entry in found.items() if len(kept) >= KEPT_FRAMES and entry[2] and
            kept == frames[:len(kept)]]
    entries = [found.pop(kept) for kept in deep]
    return [sum(column) for column in zip(*entries)] or None


def check_frames(name):
    report, wanted = recorded_frames(Interpreter(name))
    wrong, found = [], at_leaf(report, wanted[0]["frames"][0][1:])
    for case in wanted:
        frames = tuple(map(tuple, case["frames"]))
        if len(frames) > KEPT_FRAMES:
            seen = kept_of_deep(frames, found)
        else:
            seen = found.pop(frames, None)
        if seen is None:
            wrong.append("%s: no such stack; %s" % (case["case"], first_difference(frames, found)))
        elif seen[0] - case["blocks"] not in (0, 1) or \
                not 0 <= seen[1] - case["bytes"] <= FREE_LIST_BYTES * (seen[0] - case["blocks"]):
            wrong.append("%s: %r blocks and bytes, want %r" % (
                case["case"], seen[:2], [case["blocks"], case["bytes"]]))
    check(not wrong, "%d of %d stacks:\n%s" % (len(wrong), len(wanted), "\n".join(wrong)))
    equal(list(found), [], "stacks that nobody made")


for _name in every():
    def _test(name=_name):
        check_frames(name)
    globals()["test_frames_are_those_of_traceback_%s" % identifier(_name)] = _test


# ---- a busy service with threads ----------------------------------------------------------------------

SERVICES = every() if LONG else ["debian", "pyenv-3.8", "pyenv-3.12", "trixie"]


def check_service(name):
    report = measure(Interpreter(name).start("service.py", "once")).no_losses()
    sites = [site for site in report.all_sites if site["class"] in ("python", "malloc")]
    blocks = sum(site["alloc_blocks"] for site in sites if site["class"] == "python")
    check(blocks > 30000, "only %d blocks of class python" % blocks)
    broken = sorted((s for s in sites if not is_whole(s)), key=lambda s: -s["alloc_blocks"])
    share = share_whole(sites)
    check(share >= 0.999, "%.3f %% of the blocks have a whole stack; worst:\n%s" % (
        100 * share, "\n".join("%d: %s" % (s["alloc_blocks"], in_short(s)) for s in broken[:3])))
    for site in through(report, "in_thread") + through(report, "rounds"):
        names = [frame[0].split(".")[-1] for frame in python_frames(site)]
        equal(names[-3:], ["run", "_bootstrap_inner", "_bootstrap"], "outermost frames of a thread")


for _name in SERVICES:
    def _test(name=_name):
        check_service(name)
    globals()["test_stacks_of_threads_are_whole_%s" % identifier(_name)] = _test


def test_interpreter_frames_are_marked_and_others_are_not():
    report = measure(Interpreter("debian").start("service.py", "once")).no_losses()
    for site in through(report, "one_round", "python"):
        kinds = [(f["kind"], f["internal"]) for f in site["frames"]]
        check(("python", True) not in kinds, "a Python frame is called internal: %s" % in_short(site))
        for frame in site["frames"]:
            module = os.path.basename(frame["module"] or "")
            if frame["kind"] == "native" and module.startswith(("python3", "libpython")) and \
                    frame["function"] not in ("main", "_start"):
                check(frame["internal"], "%s of the interpreter is not internal" % frame["function"])
