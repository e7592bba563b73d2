# SPDX-License-Identifier: GPL-2.0-only
"""Totals match the ground truth of the targets to the byte, each at its own site."""
from harness import (Recorder, Report, Target, check, complete_stacks, direct_callers, equal,
                     exactly, measure)

NONE = (0, 0)


def check_tick(report):
    """What "sites tick" does, by the comment on top of sites.c."""
    exactly(report, "leak_small", (5003, 5003 * 61), (5003, 5003 * 61))
    exactly(report, "leak_mid", (503, 503 * 997), (503, 503 * 997))
    exactly(report, "leak_big", (11, 11 * 1048583), (11, 11 * 1048583))
    exactly(report, "churn", (2003, 2003 * 211), NONE)
    equal(report.total("leak_big", "mmap")["alloc"], NONE, "large blocks counted as mmap")


def test_two_callers_of_one_leaf_without_frame_pointers_are_two_sites():
    report = measure(Target("sites", "tick")).no_losses()
    check_tick(report)
    complete_stacks(report, "tick")
    equal(direct_callers(report.sites("tick")), {"leaf_alloc"}, "direct callers")
    for function in ("leak_small", "leak_mid", "leak_big", "churn"):
        for site in report.sites(function):
            names = [frame["function"] for frame in site["frames"]]
            at = names.index("leaf_alloc")
            equal(names[at:at + 4], ["leaf_alloc", function, "tick", "main"], "frames")


def test_blocks_of_a_mebibyte_are_counted_once_with_their_stack():
    report = measure(Target("sites", "big")).no_losses()
    exactly(report, "leak_big", (13, 13 * 1048583), (13, 13 * 1048583))
    equal(report.total("main", "mmap")["alloc"], NONE, "class mmap")
    complete_stacks(report, "leak_big")


def test_report_says_that_it_is_exact():
    report = measure(Target("sites", "tick"))
    equal(report.json["mode"], "exact", "mode")
    equal(report.json["sample_bytes"], 1, "sample_bytes")
    equal([site["rank"] for site in report.all_sites],
          list(range(1, len(report.all_sites) + 1)), "ranks")


def test_realloc_in_four_threads_keeps_the_last_size_of_each():
    report = measure(Target("threads", "grow")).no_losses()
    sizes = [509]
    while sizes[-1] < 1024003:
        sizes.append(min(sizes[-1] + 4099, 1024003))
    exactly(report, "grow", (4 * len(sizes), 4 * sum(sizes)), (4, 4 * 1024003))
    equal(direct_callers(report.sites("grow")), {"grow"}, "direct callers")
    equal(report.total("grow", "mmap")["alloc"], NONE, "class mmap")
    complete_stacks(report, "grow")


def test_arenas_and_thread_stacks_are_not_in_the_class_mmap():
    report = measure(Target("threads", "grow")).no_losses()
    live = sum(s["live_bytes"] for s in report.all_sites if s["class"] == "mmap")
    equal(live, 0, "live bytes of class mmap")


def test_blocks_freed_by_another_thread_leave_the_site_that_allocated_them():
    report = measure(Target("threads", "cross")).no_losses()
    exactly(report, "alloc_here", (10007, 10007 * 211), (101, 101 * 211))
    equal(report.total("free_there")["alloc"], NONE, "allocated by the freeing thread")
    complete_stacks(report, "alloc_here")


def test_steady_blocks_are_exact_in_every_reading_during_churn():
    target = Target("threads", "churn")
    recorder = Recorder("-p", target.pid, "-i", "200ms")
    target.send("go")
    target.expect("churning")
    for reading in range(3):
        recorder.wait_snapshots(5)
        live = Report(recorder.path).total("hold_steady")["live"]
        equal(live, (5003, 5003 * 101), "hold_steady in reading %d" % reading)
    target.send("stop")
    target.expect("done")
    report = recorder.stop().no_losses()
    exactly(report, "hold_steady", (5003, 5003 * 101), (5003, 5003 * 101))
    equal(report.total("churn_hot")["live"], NONE, "alive of the churn")
    check(report.total("churn_hot")["alloc"][0] > 10007, "the churn was not seen")


def test_every_c_allocation_function_counts_requested_bytes():
    check_forms(measure(Target("forms")).no_losses(), True)


def test_every_c_allocation_function_of_a_static_program():
    check_forms(measure(Target("forms-static")).no_losses(), True)


def check_forms(report, glibc):
    """What "forms" does, by the comments in forms.c."""
    kept = {
        "by_malloc": (101, 1009), "by_malloc_zero": (7, 0), "by_calloc": (103, 7 * 151),
        "by_calloc_large": (3, 1048583), "by_realloc_null": (107, 2003),
        "by_reallocarray": (109, 11 * 13), "by_memalign": (113, 1013),
        "by_aligned_alloc": (127, 1019), "by_posix_memalign": (131, 1021),
        "by_strdup": (137, 31), "by_valloc": (17, 1031), "by_pvalloc": (19, 8192),
    }
    for function, (blocks, size_bytes) in kept.items():
        # musl has neither of these; and no call-frame information for a walk out of its strdup
        if glibc or function not in ("by_valloc", "by_pvalloc", "by_strdup"):
            exactly(report, function, (blocks, blocks * size_bytes), (blocks, blocks * size_bytes))
            equal(direct_callers(report.sites(function)), {function}, "direct callers")
    for function in ("by_failed_malloc", "by_failed_calloc", "by_failed_memalign", "by_free_null"):
        exactly(report, function, NONE, NONE)
    exactly(report, "by_realloc_in_place", (2, 1000 + 1003), (1, 1003))
    exactly(report, "by_realloc_moved", (3, 211 + 223 + 70001), (2, 223 + 70001))
    exactly(report, "by_realloc_shrunk", (2, 70003 + 307), (1, 307))
    exactly(report, "by_realloc_failed", (1, 311), (1, 311))
    exactly(report, "by_aligned_freed", (157, 157 * 1033), (104, 104 * 1033))
    if glibc:
        exactly(report, "by_realloc_to_zero", (1, 313), NONE)


# libstdc++ rounds the size of a block up to its alignment before it asks for it
LIBSTDCXX_ALIGNED = 256


def check_news(report, aligned_bytes=211):
    """What "news" does, by the comment on top of news.cc."""
    exactly(report, "make_node", (6007, 6007 * 101), (6007, 6007 * 101))
    exactly(report, "make_array", (103, 103 * 1009), (103, 103 * 1009))
    exactly(report, "make_aligned", (107, 107 * 128), (107, 107 * 128))
    exactly(report, "make_nothrow", (109, 109 * 1013), (109, 109 * 1013))
    exactly(report, "make_and_delete", (2003, 1503 * 211 + 500 * aligned_bytes), NONE)
    exactly(report, "fill_vector", (1, 100003), (1, 100003))
    for site in report.sites("make_node"):
        names = [frame["function"].split("(")[0] for frame in site["frames"]]
        at = names.index("web::make_node")
        equal(names[at:at + 3], ["web::make_node", "web::handle_request", "main"], "frames")
    for function in ("make_array", "make_aligned", "make_nothrow", "make_and_delete"):
        equal(direct_callers(report.sites(function)), {"web::" + function}, "direct callers")
        complete_stacks(report, function)


def test_operator_new_in_all_forms_is_counted_at_its_direct_caller():
    check_news(measure(Target("news")).no_losses(), LIBSTDCXX_ALIGNED)


def test_operator_new_of_a_static_libstdcxx():
    check_news(measure(Target("news-own-libstdcxx")).no_losses(), LIBSTDCXX_ALIGNED)


def test_static_program():
    report = measure(Target("sites-static", "tick")).no_losses()
    check_tick(report)
    equal(direct_callers(report.sites("tick")), {"leaf_alloc"}, "direct callers")


def test_threads_that_come_and_go_two_hundred_a_second():
    report = measure(Target("threads", "spawn")).no_losses()
    exactly(report, "leak_in_thread", (599, 599 * 1009), (599, 599 * 1009))
    complete_stacks(report, "leak_in_thread")
    live = sum(s["live_bytes"] for s in report.all_sites if s["class"] == "mmap")
    equal(live, 0, "thread stacks in class mmap")


def test_process_with_two_thousand_mappings():
    report = measure(Target("mappings")).no_losses()
    exactly(report, "leak_between", (1009, 1009 * 1013), (1009, 1009 * 1013))
    complete_stacks(report, "leak_between")


def test_class_mmap_counts_what_the_program_maps_itself():
    report = measure(Target("regions")).no_losses()
    page = 4096
    live = {"map_and_keep": 23 * 101, "map_and_drop": 0, "map_and_cut": 211 - 53,
            "map_and_grow": 1009, "map_and_shrink": 17, "map_over": 31, "break_up": 3 * 37}
    for function, pages in live.items():
        equal(report.total(function, "mmap")["live"][1], pages * page, "%s: live" % function)
        complete_stacks(report, function, "mmap")
    exactly(report, "map_and_keep", (23, 23 * 101 * page), (23, 23 * 101 * page), "mmap")
    exactly(report, "map_and_drop", (29, 29 * 103 * page), NONE, "mmap")
    equal(direct_callers(report.sites("map_and_keep", "mmap")), {"map_and_keep"}, "callers")


def test_class_mmap_leaves_out_reservations_stacks_files_and_the_allocator():
    report = measure(Target("regions")).no_losses()
    for function in ("reserve", "map_stack", "map_file", "run_threads", "malloc_big"):
        equal(report.total(function, "mmap")["alloc"], NONE, "%s in class mmap" % function)
    exactly(report, "malloc_big", (7, 7 * 1048583), (7, 7 * 1048583))
    exactly(report, "allocate_once", (5, 5 * 1009), (5, 5 * 1009))


def test_two_recordings_of_one_process_agree():
    target = Target("sites", "tick")
    first, second = Recorder("-p", target.pid), Recorder("-p", target.pid)
    target.go()
    for recorder in (first, second):
        check_tick(recorder.stop().no_losses())


def test_two_processes_in_one_recording_are_kept_apart():
    one, other = Target("sites", "tick"), Target("sites", "big")
    recorder = Recorder("-p", one.pid, "-p", other.pid)
    one.go()
    other.go()
    report = recorder.stop().no_losses()
    equal({p["pid"] for p in report.processes}, {one.pid, other.pid}, "processes")
    exactly(report, "leak_big", (11, 11 * 1048583), (11, 11 * 1048583), pid=one.pid)
    exactly(report, "leak_big", (13, 13 * 1048583), (13, 13 * 1048583), pid=other.pid)
    exactly(report, "leak_small", NONE, NONE, pid=other.pid)


def test_only_the_chosen_process_is_counted():
    watched, other = Target("sites", "tick"), Target("sites", "big")
    recorder = Recorder("-p", watched.pid)
    other.go()
    watched.go()
    report = recorder.stop().no_losses()
    equal({s["pid"] for s in report.all_sites}, {watched.pid}, "pids of the sites")
    check_tick(report)
