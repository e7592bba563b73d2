# SPDX-License-Identifier: GPL-2.0-only
"""The ways to attach that older kernels have give the same totals: entry and return programs instead
of sessions, perf events instead of uprobe_multi. SEEP_WITHOUT switches features off."""
import contextlib
import os

from harness import (NO_PERMISSION, Recorder, Target, check, complete_stacks, direct_callers, equal,
                     exactly, one_error_line, scratch_dir, seep)
from test_exact import check_forms, check_news, check_tick
from test_exact import LIBSTDCXX_ALIGNED
from test_ledger import check_all_unbiased

NONE = (0, 0)
HALVES = "uprobe_session"
PERF = "uprobe_multi,uprobe_session"


def environment(without):
    return dict(os.environ, SEEP_WITHOUT=without)


def perf_events(pid):
    """Open perf events of a process: only attaching without uprobe_multi makes any."""
    count = 0
    for fd in os.listdir("/proc/%d/fd" % pid):
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            count += "perf_event" in os.readlink("/proc/%d/fd/%s" % (pid, fd))
    return count


def measure_without(without, target, *options):
    recorder = Recorder("-p", target.pid, *options, env=environment(without))
    if "uprobe_multi" in without:
        check(perf_events(recorder.process.pid), "no perf events: the feature is still in use")
    target.go()
    return recorder.stop()


def malloc_family(without):
    report = measure_without(without, Target("sites", "tick")).no_losses()
    check_tick(report)
    equal(direct_callers(report.sites("tick")), {"leaf_alloc"}, "direct callers")
    complete_stacks(report, "tick")
    check_forms(measure_without(without, Target("forms")).no_losses(), True)
    check_news(measure_without(without, Target("news")).no_losses(), LIBSTDCXX_ALIGNED)


def test_malloc_family_without_sessions():
    malloc_family(HALVES)


def test_malloc_family_by_perf_events():
    malloc_family(PERF)


def realloc_in_threads(without):
    report = measure_without(without, Target("threads", "grow")).no_losses()
    sizes = [509]
    while sizes[-1] < 1024003:
        sizes.append(min(sizes[-1] + 4099, 1024003))
    exactly(report, "grow", (4 * len(sizes), 4 * sum(sizes)), (4, 4 * 1024003))
    complete_stacks(report, "grow")


def test_realloc_in_four_threads_without_sessions():
    realloc_in_threads(HALVES)


def test_realloc_in_four_threads_by_perf_events():
    realloc_in_threads(PERF)


def regions(without):
    report = measure_without(without, Target("regions")).no_losses()
    page = 4096
    exactly(report, "map_and_keep", (23, 23 * 101 * page), (23, 23 * 101 * page), "mmap")
    exactly(report, "map_and_drop", (29, 29 * 103 * page), NONE, "mmap")
    for function, pages in {"map_and_cut": 211 - 53, "map_and_grow": 1009, "map_and_shrink": 17,
                            "map_over": 31, "break_up": 3 * 37}.items():
        equal(report.total(function, "mmap")["live"][1], pages * page, "%s: live" % function)
    exactly(report, "malloc_big", (7, 7 * 1048583), (7, 7 * 1048583))


def test_class_mmap_without_sessions():
    regions(HALVES)


def test_class_mmap_by_perf_events():
    regions(PERF)


def sampling(without):
    report = measure_without(without, Target("sampled"), "--sample", "16k").no_losses()
    check_all_unbiased(report)


def test_sampling_without_sessions():
    sampling(HALVES)


def test_sampling_by_perf_events():
    sampling(PERF)


# how many instructions the verifier follows must not depend on settings, which are constants to it
def load_with(without):
    for count in ("10007", "200k", "1M", "2M", "8M", "64M"):
        target = Target("sites", "tick")
        recorder = Recorder("-p", target.pid, "--max-blocks", count, env=environment(without))
        target.go()
        exactly(recorder.stop().no_losses(), "leak_mid", (503, 503 * 997), (503, 503 * 997))


def test_every_size_of_ledger_loads():
    load_with("")


def test_every_size_of_ledger_loads_without_sessions():
    load_with(HALVES)


def test_required_feature_that_is_missing_is_named():
    target = Target("sites", "tick")
    path = os.path.join(scratch_dir(), "none.seep")
    result = seep("record", "-p", target.pid, "-d", "1s", "-o", path, env=environment("bpf_loop"))
    one_error_line(result, NO_PERMISSION, "bpf_loop", "5.17", "doctor")
    check(not os.path.exists(path), "a recording was made all the same")
    equal(target.process.poll(), None, "exit status of the target")
