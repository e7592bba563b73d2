# SPDX-License-Identifier: GPL-2.0-only
"""Marks and differences of real programs, to the byte: what tests/targets/marks.c allocates before
and after SIGUSR1, and in a second life at other addresses."""
import json
import os
import shutil
import signal

from harness import (BAD_FILE, OK, USAGE, Recorder, Report, Target, check, equal,
                     one_error_line, scratch_dir, seep, target_path, wait_until)

NONE = (0, 0)
PAGE = 4096


def times(blocks, size):
    return blocks, blocks * size


def marks_of(path):
    result = seep("report", path, "--format", "json", "-n", "1")
    return json.loads(result.stdout)["marks"] if result.returncode == OK else []


def mark(recorder, number):
    """SIGUSR1, and wait until the snapshot is in the file."""
    recorder.process.send_signal(signal.SIGUSR1)
    wait_until(lambda: len(marks_of(recorder.path)) == number, "mark %d" % number)


def marked_recording():
    """Three phases with a mark between."""
    target = Target("marks")
    recorder = Recorder("-p", target.pid, "-i", "60s")
    target.go()
    mark(recorder, 1)
    target.go()
    mark(recorder, 2)
    target.go()
    recorder.stop().no_losses()
    return recorder.path


def born(report, function, alloc, live, alloc_class="malloc"):
    total = report.total(function, alloc_class)
    equal(total["alloc"], alloc, "%s: allocated since" % function)
    equal(total["live"], live, "%s: of these alive" % function)


def test_since_a_mark_is_exact():
    path = marked_recording()
    report = Report(path, "--since", "mark1")
    equal(report.json["since"]["exact"], True, "exact")
    born(report, "old_stock", NONE, NONE)
    born(report, "old_drop", NONE, NONE)
    born(report, "young_keep", times(307, 1009), times(307, 1009))
    born(report, "young_drop", times(101, 601), NONE)
    born(report, "mixed", times(401 + 53, 61), times(401 - 103 - 7 + 53, 61))
    born(report, "map_old", NONE, NONE, "mmap")
    born(report, "map_young", (1, 7 * PAGE), (1, 7 * PAGE), "mmap")
    whole = times(307, 1009)[1] + times(344, 61)[1] + 7 * PAGE
    equal(report.json["since"]["live_bytes"], whole, "alive since mark1")
    equal(report.json["since"]["most_bytes"], whole, "alive since mark1 at most")

    report = Report(path, "--since", "mark2")
    equal(report.json["since"]["exact"], True, "exact")
    born(report, "young_keep", NONE, NONE)
    born(report, "mixed", times(53, 61), times(53, 61))
    equal(report.json["since"]["live_blocks"], 53, "blocks alive since mark2")

    text = seep("report", path)
    check("marks: mark1 after " in text.stdout and "mark2 after " in text.stdout,
          "no marks in %r" % text.stdout)
    text = seep("report", path, "--since", "mark2")
    check("3.2 KiB allocated in 53 blocks" in text.stdout, "not said: %r" % text.stdout)
    folded = seep("report", path, "--since", "mark2", "--format", "folded")
    equal(sum(int(line.rsplit(" ", 1)[1]) for line in folded.stdout.splitlines()), 53 * 61,
          "bytes in folded stacks since mark2")


def test_moments_that_are_not_there_are_one_line():
    target = Target("marks")
    recorder = Recorder("-p", target.pid)
    target.go()
    path = recorder.stop().path
    one_error_line(seep("report", path, "--since", "mark1"), USAGE, "--since", "no marks")
    one_error_line(seep("report", path, "--since", "noon"), USAGE, "'noon' is not a moment")
    one_error_line(seep("diff", path, path + "@mark7"), USAGE, "no marks")
    one_error_line(seep("diff", path), USAGE, "A B")
    one_error_line(seep("diff", path, path, "-o", path), USAGE, "is the recording itself")
    one_error_line(seep("diff", path + "@end", path, "-o", path), USAGE, "is the recording itself")
    with open(path, "rb") as file:
        whole = file.read()
    cut, odd = path + ".cut", path + "@1s"
    with open(cut, "wb") as file:
        file.write(whole[:len(whole) // 2])
    one_error_line(seep("diff", path, cut), BAD_FILE, cut)
    one_error_line(seep("diff", path, path + ".gone@end"), BAD_FILE, path + ".gone'")
    # a file of such a name is that file
    shutil.copy(path, odd)
    equal(diff(odd, path)["diff"]["a"]["recording"], odd, "recording")
    equal(diff(odd + "@end", path)["diff"]["a"]["recording"], odd, "recording")


def test_all_birth_epochs_can_be_used_up():
    target = Target("marks")
    recorder = Recorder("-p", target.pid, "-i", "60s")
    for number in range(1, 12):
        mark(recorder, number)
    target.go()
    mark(recorder, 12)
    target.go()
    mark(recorder, 13)
    target.go()
    report = recorder.stop().no_losses()
    check(any("all 12 birth epochs are in use" in event["text"] for event in report.json["events"]),
          "not said: %r" % report.json["events"])
    report = Report(recorder.path, "--since", "mark13")
    since = report.json["since"]
    equal(since["exact"], False, "exact")
    truth = 53 * 61
    check(since["live_bytes"] <= truth <= since["most_bytes"], "%d is not in %r" % (truth, since))


def diff(*args):
    result = seep("diff", *args, "--format", "json")
    equal(result.returncode, OK, "exit status (%s)" % result.stderr)
    return json.loads(result.stdout)


def changes(report):
    """{leaf-most own function: (changes, growth in blocks, growth in bytes, live bytes)}: 'mixed' has
    several callers."""
    found = {}
    for site in report["sites"]:
        names = [frame["function"] for frame in site["frames"]]
        own = [name for name in names
               if name.startswith(("old_", "young_", "mixed", "map_"))]
        check(own, "%r is of no function we know" % names)
        words, *sums = found.get(own[0], (set(), 0, 0, 0))
        figures = site["growth_blocks"], site["growth_bytes"], site["live_bytes"]
        found[own[0]] = (words | {site["change"]}, *(a + b for a, b in zip(sums, figures)))
    return {name: (" ".join(sorted(words)), *sums) for name, (words, *sums) in found.items()}


def life(program, phases):
    target = Target(program)
    recorder = Recorder("-p", target.pid, "-i", "1s")
    for _ in range(phases):
        target.go()
    return recorder.stop().no_losses().path


def test_two_lives_of_a_service_are_compared_by_frames():
    """Another start, at other addresses, of a copy of the program elsewhere."""
    copy = os.path.join(scratch_dir(), "marks")
    shutil.copy(target_path("marks"), copy)
    first, second = life("marks", 1), life(copy, 2)
    report = diff(first, second)
    equal(report["diff"]["one_recording"], False, "one recording")
    equal(len(report["processes"]), 1, "processes")
    found = changes(report)
    equal(found["old_stock"], ("same", 0, 0, 503 * 997), "old_stock")
    equal(found["old_drop"], ("shrunk", -97, -97 * 4099, 114 * 4099), "old_drop")
    equal(found["young_keep"], ("new", 307, 307 * 1009, 307 * 1009), "young_keep")
    equal(found["young_drop"], ("same", 0, 0, 0), "young_drop")
    equal(found["mixed"], ("new shrunk", 401 - 103 - 499, (401 - 103 - 499) * 61, 808 * 61),
          "mixed")
    equal(found["map_old"], ("gone", -1, -13 * PAGE, 0), "map_old")
    equal(found["map_young"], ("new", 1, 7 * PAGE, 7 * PAGE), "map_young")
    back = changes(diff(second, first))
    equal(back["young_keep"], ("gone", -307, -307 * 1009, 0), "young_keep, the other way round")


def test_moments_of_one_recording():
    path = marked_recording()
    found = changes(diff(path + "@mark1", path + "@mark2"))
    equal(found["old_drop"], ("shrunk", -97, -97 * 4099, 114 * 4099), "old_drop")
    equal(found["young_keep"], ("new", 307, 307 * 1009, 307 * 1009), "young_keep")
    found = changes(diff(path + "@mark2", path))
    equal(found["young_keep"], ("same", 0, 0, 307 * 1009), "young_keep")
    equal(found["mixed"], ("new shrunk", 35, 35 * 61, 843 * 61), "mixed")
    lines = seep("diff", path + "@mark1", path + "@mark2", "--by", "line").stdout
    check("marks.c:52: size=456 KiB (-388 KiB), count=114 (-97), average=4099 B" in lines,
          "not in %r" % lines)
    # all that a mark can be compared with
    equal(diff(path + "@start", path + "@end")["diff"]["a"]["live_bytes"], 0, "live at the start")
