# SPDX-License-Identifier: GPL-2.0-only
"""A slow true leak stands above what only looks like one; what the report says of each."""
import atexit
import json
import shutil
import tempfile

from harness import Target, check, equal, measure, seep

_decoys = []


def decoys():
    """One recording for the tests of this file."""
    if not _decoys:
        keep = tempfile.mkdtemp(prefix="seep-test.")
        atexit.register(shutil.rmtree, keep, True)
        _decoys.append(measure(Target("decoys"), "-o", keep + "/decoys.seep"))
    return _decoys[0]


def verdicts(report, function):
    found = {site["verdict"] for site in report.sites(function)}
    check(found, "no site passes through %s" % function)
    return found


def test_slow_leak_ranks_above_cache_sawtooth_and_hot_path():
    report = decoys().no_losses()
    names = [frame["function"] for frame in report.all_sites[0]["frames"]]
    check("slow_leak" in names, "first is %r, %r" % (names, report.all_sites[0]["verdict"]))
    equal(report.total("slow_leak")["live"], (2999 * 3, 2999 * 3 * 1031), "slow_leak")


def test_slow_leak_is_called_a_leak():
    check(verdicts(decoys(), "slow_leak") <= {"leak", "growing"}, "%r" %
          verdicts(decoys(), "slow_leak"))


def test_cache_that_filled_is_a_plateau():
    equal(verdicts(decoys(), "cache_insert"), {"plateau"}, "verdict of the cache")


def test_sawtooth_is_a_sawtooth():
    equal(verdicts(decoys(), "sawtooth_add"), {"sawtooth"}, "verdict of the sawtooth")


def test_hot_path_is_not_a_leak():
    check(verdicts(decoys(), "hot_path") <= {"steady"}, "%r" % verdicts(decoys(), "hot_path"))


def test_text_report_begins_with_the_verdict_and_shows_stacks():
    result = seep("report", decoys().path)
    equal(result.returncode, 0, "exit status")
    lines = result.stdout.splitlines()
    check("RSS" in "\n".join(lines[:5]), "no RSS in the first lines: %r" % lines[:5])
    text = result.stdout
    for word in ("slow_leak", "main", "malloc"):
        check(word in text, "no %r in the report:\n%s" % (word, text[:1500]))


def test_top_limits_the_sites():
    result = seep("report", decoys().path, "--format", "json", "-n", "2")
    equal(len(json.loads(result.stdout)["sites"]), 2, "sites with -n 2")


def test_by_function_file_and_module():
    for key, word in (("function", "slow_leak"), ("module", "decoys"), ("file", ""), ("line", "")):
        result = seep("report", decoys().path, "--by", key)
        equal(result.returncode, 0, "exit status of --by %s (%s)" % (key, result.stderr))
        check(word in result.stdout, "no %r in --by %s:\n%s" % (word, key, result.stdout[:800]))


def folded(report, value):
    result = seep("report", report.path, "--format", "folded", "--value", value)
    equal(result.returncode, 0, "exit status (%s)" % result.stderr)
    rows = []
    for line in result.stdout.splitlines():
        stack, _, number = line.rpartition(" ")
        check(stack and number.isdigit() and "" not in stack.split(";"), "folded line %r" % line)
        rows.append((stack.split(";"), int(number)))
    return rows


def test_folded_stacks_carry_the_totals():
    report = decoys()
    live = sum(n for stack, n in folded(report, "live") if any("slow_leak" in f for f in stack))
    equal(live, 2999 * 3 * 1031, "live bytes of slow_leak")
    blocks = sum(n for stack, n in folded(report, "blocks") if any("slow_leak" in f for f in stack))
    equal(blocks, 2999 * 3, "blocks of slow_leak")


def test_folded_stacks_are_root_first():
    stacks = folded(decoys(), "alloc")
    check(any("slow_leak" in name for stack, _ in stacks for name in stack), "no slow_leak")
    for stack, _ in stacks:
        names = [name for name in stack if "slow_leak" in name or name.startswith("main")]
        if len(names) == 2:
            check(names[0].startswith("main"), "order %r" % stack)


def test_sort_by_live_and_alloc():
    for key in ("live", "alloc"):
        result = seep("report", decoys().path, "--format", "json", "--sort", key)
        values = [site[key + "_bytes"] for site in json.loads(result.stdout)["sites"]]
        check(len(values) >= 4, "only %d sites" % len(values))
        equal(values, sorted(values, reverse=True), "order of --sort %s" % key)
