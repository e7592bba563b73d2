# SPDX-License-Identifier: GPL-2.0-only
"""Stacks reach main through signals, inlining, deep recursion and odd frames; names and lines."""
import os

from harness import (ROOT, Recorder, Report, Target, check, complete_stacks, direct_callers, equal,
                     exactly, measure, need, reaches_root, run, share_reaching_root, target_path,
                     wait_until)

NONE = (0, 0)


def lines_of(source):
    """{'inner': 23, ...} from the comments LINE_inner in a target's source."""
    lines = {}
    with open(os.path.join(ROOT, "tests/targets", source)) as text:
        for number, line in enumerate(text, 1):
            if "/* LINE_" in line:
                lines[line.split("/* LINE_")[1].split()[0]] = number
    return lines


def test_inlined_functions_have_frames_with_file_and_line():
    report = measure(Target("inlined")).no_losses()
    line = lines_of("inlined.c")
    exactly(report, "inner_alloc", (307, 307 * 1013), (307, 307 * 1013))
    site, = report.sites("outer_work")
    names = [frame["function"] for frame in site["frames"]]
    at = names.index("inner_alloc")
    equal(names[at:at + 4], ["inner_alloc", "middle_alloc", "outer_work", "main"], "frames")
    frames = site["frames"][at:at + 4]
    equal([f["inlined"] for f in frames], [True, True, False, False], "inlined")
    equal([f["line"] for f in frames], [line["inner"], line["middle"], line["outer"], line["main"]],
          "lines")
    for frame in frames:
        equal(os.path.basename(frame["file"] or ""), "inlined.c", "file")
        check(frame["module"].endswith("/inlined"), "module %r" % frame["module"])
    complete_stacks(report, "outer_work")


def test_stripped_program_has_offsets_that_fit_its_symbols():
    report = measure(Target("sites-stripped", "tick")).no_losses()
    symbols = []
    for row in run([need("nm"), "-n", target_path("sites")]).stdout.splitlines():
        if " T " in row:
            symbols.append((int(row.split()[0], 16), row.split()[2]))

    def name(offset):
        return [symbol for start, symbol in symbols if start <= offset][-1]

    found = {}
    for site in report.all_sites:
        own = [f for f in site["frames"] if (f["module"] or "").endswith("/sites-stripped")]
        if site["class"] != "malloc" or not own:
            continue
        for frame in own:
            equal(frame["function"], "sites-stripped+0x%x" % frame["offset"], "unnamed frame")
        names = [name(frame["offset"]) for frame in own]
        equal([names[0]] + names[2:], ["leaf_alloc", "tick", "main", "_start"], "frames")
        check(not site["truncated"], "truncated")
        blocks, size = found.get(names[1], NONE)
        found[names[1]] = (blocks + site["alloc_blocks"], size + site["alloc_bytes"])
    equal(found, {"leak_small": (5003, 5003 * 61), "leak_mid": (503, 503 * 997),
                  "leak_big": (11, 11 * 1048583), "churn": (2003, 2003 * 211)}, "sites")


def recursion(report, leaf, function):
    site, = report.sites(leaf)
    return site, sum(f["function"] == function for f in site["frames"])


def test_forty_frames_of_recursion_are_all_there():
    report = measure(Target("deep")).no_losses()
    exactly(report, "leaf_of_40", (101, 101 * 1009), (101, 101 * 1009))
    site, levels = recursion(report, "leaf_of_40", "descend_40")
    equal(levels, 40, "frames of descend_40")
    check(reaches_root(site), "the stack does not reach its root")


def test_seven_hundred_frames_are_cut_at_the_root_and_say_so():
    report = measure(Target("deep")).no_losses()
    exactly(report, "leaf_of_700", (103, 103 * 1013), (103, 103 * 1013))
    site, levels = recursion(report, "leaf_of_700", "descend_700")
    check(site["truncated"], "not marked as truncated")
    check(500 <= levels < 700, "%d frames of descend_700" % levels)
    equal(direct_callers([site]), {"leaf_of_700"}, "direct caller")


def test_frames_of_many_kilobytes_and_realigned_ones():
    report = measure(Target("deep")).no_losses()
    exactly(report, "big_frame", (107, 107 * 1019), (107, 107 * 1019))
    exactly(report, "aligned_frame", (109, 109 * 1021), (109, 109 * 1021))
    complete_stacks(report, "big_frame")
    complete_stacks(report, "aligned_frame")


def signals(scenario, interrupted):
    """
    A handler's stack goes on through the signal frame into what was interrupted. The full table
    of that binary is built when first asked for; until then stacks may end there.
    """
    target = Target("signals", scenario)
    recorder = Recorder("-p", target.pid)
    target.send("go")
    wait_until(lambda: any(map(reaches_root, Report(recorder.path).sites("on_early_signal"))),
               "a stack through a handler that reaches its root")
    target.go()
    report = recorder.stop().no_losses()
    exactly(report, "on_signal", (1009, 1009 * 1013), (1009, 1009 * 1013))
    equal(direct_callers(report.sites("on_signal")), {"keep_from_handler"}, "direct callers")
    sites = report.sites("on_signal")
    share = share_reaching_root(sites)
    check(share > 0.9, "only %.0f %% of the stacks reach the root" % (100 * share))
    for site in sites:
        names = [frame["function"] for frame in site["frames"]]
        if reaches_root(site):
            check(interrupted in names and "main" in names, "frames %r" % names)


def test_signal_handler_on_the_normal_stack():
    signals("timer", "spin")


def test_signal_handler_on_a_stack_of_its_own():
    signals("altstack", "spin")


def test_signal_handler_between_allocations():
    signals("between", "spin_and_allocate")


def test_signal_handler_entered_by_raise():
    signals("raised", "raise_signals")
