# SPDX-License-Identifier: GPL-2.0-only
"""Capacity, losses, blocks older than the recording, sampling."""
import math
import signal

from harness import Recorder, Target, check, equal, exactly, measure, seep, wait_until

NONE = (0, 0)


def test_a_leak_behind_a_million_live_blocks_is_first():
    report = measure(Target("ledger", "million")).no_losses()
    exactly(report, "hold_many", (1000003, 1000003 * 17), (1000003, 1000003 * 17))
    exactly(report, "leak_late", (10007, 10007 * 9973), (10007, 10007 * 9973))
    first = [frame["function"] for frame in report.all_sites[0]["frames"]]
    check("leak_late" in first, "first is %r" % first)


def test_full_ledger_refuses_and_counts_what_it_refused():
    report = measure(Target("ledger", "flood"), "--max-blocks", "10007")
    equal(set(report.losses), {"ledger_full"}, "losses")
    held, lost = report.total("hold_many"), report.losses["ledger_full"]
    late = report.total("after_flood")
    equal(held["alloc"][0] + late["alloc"][0] + lost, 30011 + 1009, "blocks recorded and lost")
    equal(held["alloc"][1], held["alloc"][0] * 17, "bytes of the blocks recorded")
    equal(late["live"], NONE, "alive of what was freed")
    check(1009 < held["live"][0] <= 10007, "%d blocks recorded of at most 10007" % held["live"][0])
    text = seep("report", report.path).stdout
    check("--max-blocks" in text, "the text report does not name the remedy: %s" % text[:400])


def test_frees_of_blocks_older_than_the_recording_are_not_subtracted():
    report = measure(Target("ledger", "held")).no_losses()
    exactly(report, "leak_new", (1009, 1009 * 101), (1009, 1009 * 101))
    for site in report.all_sites:
        check(site["live_bytes"] >= 0 and site["live_blocks"] >= 0, "negative: %r" % site)
    equal(report.total("hold_old")["alloc"], NONE, "blocks from before the recording")
    live = report.processes[0]["classes"]["malloc"]["live_bytes"]
    equal(live, 1009 * 101, "live bytes of the process")


def test_settle_phase_watches_frees_and_takes_no_new_blocks():
    target = Target("ledger", "settle")
    recorder = Recorder("-p", target.pid, "-d", "10s", "--settle", "10m")
    target.go()
    recorder.wait_settling()
    target.go()
    report = recorder.stop().no_losses()
    exactly(report, "take_early", (1009, 1009 * 103), (510, 510 * 103))
    exactly(report, "take_late", NONE, NONE)


def test_full_ring_loses_stacks_but_no_bytes():
    target = Target("stacks")
    recorder = Recorder("-p", target.pid)
    recorder.process.send_signal(signal.SIGSTOP)
    try:
        target.go()
    finally:
        recorder.process.send_signal(signal.SIGCONT)
    report = recorder.stop()
    check(set(report.losses) <= {"ring_full_stack", "site_table_full"}, "losses %r" % report.losses)
    check(report.losses, "nothing was lost: the test no longer fills the ring")
    sites = [s for s in report.all_sites if s["class"] == "malloc"]
    refused = report.losses.get("site_table_full", 0)
    equal(sum(s["live_blocks"] for s in sites) + refused, 131071, "blocks recorded and refused")
    equal(sum(s["live_bytes"] for s in sites), (131071 - refused) * 61, "bytes recorded")
    for site in sites:
        check(site["frames"], "a site without any frame")


# ---- sampling ---------------------------------------------------------------------------------

SAMPLE_BYTES = 16384
TRUTH = {  # blocks and bytes a round allocates; every second block is freed
    "take_tiny": (10007, 97), "take_small": (1009, 1013), "take_medium": (101, 10007),
    "take_large": (3, 1000003),
}


def estimates(report, function, key):
    """30 independent estimates of one truth: bytes through round_NN and the function."""
    values = []
    for number in range(30):
        outer = "round_%02d" % number
        sites = [s for s in report.sites(function)
                 if any(f["function"] == outer for f in s["frames"])]
        values.append(sum(s[key] for s in sites))
    return values


def check_unbiased(values, blocks, size_bytes, what, unit=None):
    """Each block is taken with probability p, and counts 1/p times its bytes, or 'unit'. Five standard
    deviations of the mean are exceeded once in a million runs."""
    unit = unit or size_bytes
    mean, truth = sum(values) / len(values), blocks * unit
    p = -math.expm1(-size_bytes / SAMPLE_BYTES)
    deviation = unit * math.sqrt(blocks * (1 - p) / p / len(values))
    check(abs(mean - truth) <= 5 * deviation + truth * 1e-6,
          "%s: mean of %d estimates %.0f, truth %d, standard deviation of the mean %.0f" %
          (what, len(values), mean, truth, deviation))


def check_all_unbiased(report):
    for function, (blocks, size_bytes) in TRUTH.items():
        check_unbiased(estimates(report, function, "alloc_bytes"), blocks, size_bytes,
                       "%s allocated" % function)
        check_unbiased(estimates(report, function, "live_bytes"), (blocks + 1) // 2, size_bytes,
                       "%s alive" % function)


def test_sampled_totals_are_scaled_up_and_unbiased():
    report = measure(Target("sampled"), "--sample", "16k").no_losses()
    equal(report.json["mode"], "sampled", "mode")
    equal(report.json["sample_bytes"], SAMPLE_BYTES, "sample_bytes")
    check_all_unbiased(report)
    for function, (blocks, size_bytes) in TRUTH.items():
        check_unbiased(estimates(report, function, "alloc_blocks"), blocks, size_bytes,
                       "%s blocks allocated" % function, 1)


def test_the_printed_error_is_the_error():
    report = measure(Target("sampled"), "--sample", "16k").no_losses()
    squares = []
    for function, (blocks, size_bytes) in TRUTH.items():
        if function == "take_large":
            continue
        truth = (blocks + 1) // 2 * size_bytes
        for number in range(30):
            sites = [s for s in report.sites(function)
                     if any(f["function"] == "round_%02d" % number for f in s["frames"])]
            error = math.sqrt(sum(s["error_bytes"] ** 2 for s in sites))
            if error:
                squares.append(((sum(s["live_bytes"] for s in sites) - truth) / error) ** 2)
    check(len(squares) > 80, "only %d sites with an error" % len(squares))
    ratio = math.sqrt(sum(squares) / len(squares))
    check(0.7 < ratio < 1.4, "actual error is %.2f times the printed one" % ratio)


def test_blocks_much_larger_than_the_interval_are_exact_when_sampled():
    report = measure(Target("sites", "big"), "--sample", "16k").no_losses()
    total = report.total("leak_big")["live"]
    check(abs(total[1] - 13 * 1048583) < 13, "live %r" % (total,))


def test_max_overhead_samples_or_detaches_and_says_so():
    target = Target("threads", "churn")
    recorder = Recorder("-p", target.pid, "--max-overhead", "1")
    target.send("go")
    wait_until(lambda: any("sampling every" in line or "detached" in line
                           for line in recorder.lines), "a limited overhead")
    target.send("stop")
    target.expect("done")
    report = recorder.stop()
    text = seep("report", report.path).stdout
    said = [line for line in text.splitlines() if "overhead" in line or "slow" in line]
    check(any("sampl" in line or "detach" in line for line in said),
          "the report does not say it: %s" % text[:800])
    check(report.json["mode"] == "sampled" or "detach" in text, "still exact: %s" % text[:800])
