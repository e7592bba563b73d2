# SPDX-License-Identifier: GPL-2.0-only
"""The verb record: ways to choose a target, to end, and where the file goes."""
import glob
import os
import shutil
import signal

from harness import (BAD_FILE, OK, SEEP, Recorder, Report, Target, check, equal, exactly, measure,
                     need, one_error_line, run, scratch_dir, seep, spawn, target_path, wait_until)
from test_exact import check_tick


def test_command_is_watched_from_its_first_allocation():
    path = scratch_dir() + "/c.seep"
    result = seep("record", "-c", "%s tick" % target_path("sites"), "-o", path)
    equal(result.returncode, OK, "exit status (%s)" % result.stderr)
    report = Report(path).no_losses()
    for function, blocks, size_bytes in (("leak_small", 5003, 61), ("leak_mid", 503, 997),
                                         ("leak_big", 11, 1048583), ("churn", 2003, 211)):
        equal(report.total(function)["alloc"], (blocks, blocks * size_bytes), function)


def test_command_with_quoted_arguments():
    path = scratch_dir() + "/c.seep"
    result = seep("record", "-c", "'%s' \"tick\"" % target_path("sites"), "-o", path)
    equal(result.returncode, OK, "exit status (%s)" % result.stderr)
    equal(Report(path).total("leak_mid")["alloc"], (503, 503 * 997), "leak_mid")


def test_comm_finds_every_process_of_that_name():
    name = "sc%d" % (os.getpid() % 100000)
    path = os.path.join(scratch_dir(), name)
    shutil.copy(target_path("sites"), path)
    one, other = Target(path, "tick"), Target(path, "big")
    recorder = Recorder("--comm", name)
    one.go()
    other.go()
    report = recorder.stop().no_losses()
    exactly(report, "leak_mid", (503, 503 * 997), (503, 503 * 997), pid=one.pid)
    exactly(report, "leak_big", (13, 13 * 1048583), (13, 13 * 1048583), pid=other.pid)


def test_duration_ends_the_recording():
    target = Target("sites", "tick")
    recorder = Recorder("-p", target.pid, "-d", "10s")
    target.go()
    recorder.wait()
    report = Report(recorder.path).no_losses()
    check_tick(report)
    check(9.9 <= report.json["duration_s"] < 60, "duration %r" % report.json["duration_s"])
    check(report.json["snapshots"] >= 5, "snapshots %r" % report.json["snapshots"])
    equal(report.json["interval_s"], 0.5, "interval_s")


def test_sigterm_ends_the_recording_like_ctrl_c():
    target = Target("sites", "tick")
    recorder = Recorder("-p", target.pid)
    target.go()
    recorder.process.send_signal(signal.SIGTERM)
    recorder.wait()
    check_tick(Report(recorder.path).no_losses())


def test_sigusr1_takes_a_snapshot():
    target = Target("sites", "tick")
    recorder = Recorder("-p", target.pid, "-i", "10m")
    # the first ones come each second; the next behind this one in ten minutes
    wait_until(lambda: recorder.snapshots("time_ns >= 4e9"), "the last of the first snapshots")
    usual = recorder.snapshots()
    for number in range(1, 4):
        recorder.process.send_signal(signal.SIGUSR1)
        wait_until(lambda: recorder.snapshots() == usual + number, "snapshot %d" % number)
    equal(recorder.stop().json["snapshots"], usual + 3 + 1, "snapshots, with that of the end")


def test_default_file_name_has_comm_pid_and_time():
    target, where = Target("sites", "tick"), scratch_dir()
    result = seep("record", "-p", target.pid, "-d", "1s", cwd=where)
    equal(result.returncode, OK, "exit status (%s)" % result.stderr)
    equal(len(glob.glob("%s/seep.sites.%d.*.seep" % (where, target.pid))), 1,
          "files of that name among %r" % os.listdir(where))
    equal(len(os.listdir(where)), 1, "files in all: %r" % os.listdir(where))


def test_existing_file_is_overwritten_only_when_forced():
    target = Target("sites", "tick")
    path = scratch_dir() + "/precious.seep"
    with open(path, "w") as file:
        file.write("precious")
    result = seep("record", "-p", target.pid, "-d", "1s", "-o", path)
    one_error_line(result, BAD_FILE, path, "-f")
    with open(path) as file:
        equal(file.read(), "precious", "content of the existing file")
    result = seep("record", "-p", target.pid, "-d", "1s", "-f", "-o", path)
    equal(result.returncode, OK, "exit status with -f (%s)" % result.stderr)
    Report(path)


def test_file_is_readable_while_it_is_written():
    target = Target("sites", "tick")
    recorder = Recorder("-p", target.pid, "-i", "200ms")
    target.go()
    recorder.wait_snapshots()
    check_tick(Report(recorder.path))
    check_tick(recorder.stop().no_losses())


def test_one_file_is_left_behind():
    target, where = Target("sites", "tick"), scratch_dir()
    measure(target, "-o", where + "/one.seep")
    equal(os.listdir(where), ["one.seep"], "files")


def test_report_needs_no_root_and_no_process():
    target = Target("sites", "tick")
    where = scratch_dir()
    os.chmod(where, 0o755)
    report = measure(target, "-o", where + "/one.seep")
    target.quit()
    os.chmod(report.path, 0o644)
    shutil.copy(SEEP, where + "/seep")
    os.chmod(where + "/seep", 0o755)
    result = run([need("setpriv"), "--reuid=65534", "--regid=65534", "--clear-groups",
                  where + "/seep", "report", report.path])
    equal(result.returncode, OK, "exit status (%s)" % result.stderr)
    check("leak_big" in result.stdout, "no leak_big in:\n%s" % result.stdout[:800])


def test_process_of_the_report_is_described():
    target = Target("sites", "tick")
    report = measure(target)
    process, = report.processes
    equal((process["pid"], process["comm"], process["python"]), (target.pid, "sites", None),
          "process")
    check(process["exe"].endswith("/sites"), "exe %r" % process["exe"])
    grown = process["end_rss_bytes"] - process["start_rss_bytes"]
    check(0 < grown < 100e6, "RSS grew by %d" % grown)
    overhead = report.json["overhead"]
    check(overhead["hits"] >= 2 * (5003 + 503 + 11 + 2003) + 2003, "hits %r" % overhead)
    check(overhead["ns_per_hit"] > 0, "ns_per_hit %r" % overhead)


def test_terminal_shows_a_status_line():
    target = Target("sites", "tick")
    master, slave = os.openpty()
    process = spawn([need(SEEP), "record", "-p", str(target.pid), "-d", "3s", "-i", "500ms", "-o",
                     scratch_dir() + "/t.seep"], stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    shown = b""
    while True:
        try:
            chunk = os.read(master, 4096)
        except OSError:
            break
        if not chunk:
            break
        shown += chunk
    os.close(master)
    equal(process.wait(), OK, "exit status")
    check(b"\r" in shown.replace(b"\r\n", b""), "no line was redrawn: %r" % shown)
    check(b"RSS" in shown, "no RSS in %r" % shown)


def test_doctor_lists_the_probes_of_a_target():
    target = Target("sites", "tick")
    result = seep("doctor", "-p", target.pid)
    equal(result.returncode, OK, "exit status (%s)" % result.stderr)
    for word in ("malloc", "free", "calloc", "realloc", "libc.so.6", "uprobe"):
        check(word in result.stdout, "no %r in:\n%s" % (word, result.stdout))


def test_doctor_without_a_target():
    result = seep("doctor")
    equal(result.returncode, OK, "exit status (%s)" % result.stderr)
    check("ns" in result.stdout, "no cost of a probe in:\n%s" % result.stdout)


def test_help_of_every_verb():
    verbs = "record", "top", "report", "diff", "doctor"
    for args in ["--help"], *([verb, "--help"] for verb in verbs):
        result = seep(*args)
        equal((result.returncode, result.stderr), (OK, ""), "seep %s" % " ".join(args))
        check(len(result.stdout.splitlines()) > 4, "short help: %r" % result.stdout)
