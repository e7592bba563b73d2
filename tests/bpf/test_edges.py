# SPDX-License-Identifier: GPL-2.0-only
"""What programs and users do seldom: commands that fork while seep ends, nested and odd calls,
threads that outlive or replace their leader, detaching, settling, files that shrink under their
mappings. Each test says what once went wrong."""
import contextlib
import math
import os
import random
import shutil
import signal
import subprocess
import time

from harness import (BAD_FILE, NO_TARGET, SEEP, Recorder, Report, Target, check,
                     complete_stacks, equal, exactly, measure, need, on_cleanup, one_error_line,
                     scratch_dir, seep, spawn, stat_of, target_path, wait_until)

NONE = (0, 0)
PAGE = 4096


# ---- processes as /proc tells of them ----------------------------------------------------------

def all_processes():
    """Their stat_of() by pid, without those that ended and only wait to be collected."""
    found = {int(name): stat_of(int(name)) for name in os.listdir("/proc") if name.isdigit()}
    return {pid: stat for pid, stat in found.items() if stat and stat[1] not in "ZX"}


def in_session(session):
    """Whom a seep with a session of its own has started; the guardian leaves it."""
    return {pid: stat for pid, stat in all_processes().items()
            if stat[3] == session and pid != session}


# ---- a command that forks all the time ---------------------------------------------------------

def forking_script():
    """Path of a script that forks programs until 'stop' lies beside it, at most 2 x 3000."""
    base = scratch_dir()
    path = os.path.join(base, "forker.sh")
    with open(path, "w") as file:
        file.write("#!/bin/bash\nexec >/dev/null 2>&1\n"
                   "for i in $(seq 3000); do\n"
                   "\t[ -e '%s/stop' ] && exit\n"
                   "\t/usr/bin/true &\n\t/usr/bin/true\n\twait\ndone\n" % base)
    os.chmod(path, 0o755)
    return path


def touch_stop(script):
    with contextlib.suppress(FileNotFoundError):
        with open(os.path.join(os.path.dirname(script), "stop"), "w"):
            pass


def end_session(session):
    """For a test that failed: what its own seep has started does not stay."""
    for pid in in_session(session):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def start_forking(*options):
    """(recorder, script), in a session of their own."""
    script = forking_script()
    recorder = Recorder("-c", script, "--children", *options, wait=False, start_new_session=True)
    on_cleanup(end_session, recorder.process.pid)
    on_cleanup(touch_stop, script)
    return recorder, script


def guardians_of(pid):
    """{pid: start time}"""
    return {child: stat[4] for child, stat in all_processes().items()
            if stat[2] == pid and stat[0] == "seep-guardian"}


def still_there(guardians):
    found = all_processes()
    return [pid for pid, start in guardians.items() if pid in found and found[pid][4] == start]


def nobody_is_stopped(session, when):
    for _ in range(20):
        stopped = {pid: stat for pid, stat in in_session(session).items() if stat[1] in "Tt"}
        check(not stopped, "%s: stopped: %r" % (when, stopped))
        time.sleep(0.05)


def everybody_ends(session, script, when):
    """Who is stopped for good keeps the script waiting."""
    touch_stop(script)
    wait_until(lambda: not in_session(session), "%s: end of the script" % when)


def test_end_of_a_recording_leaves_no_child_stopped():
    """Children stop at exec until their probes are in place; those that had just done so when the
    recording ended stayed stopped."""
    recorder, script = start_forking()
    session = recorder.process.pid
    recorder.wait_attached()
    guardians = wait_until(lambda: guardians_of(session), "a guardian")
    time.sleep(1)
    recorder.process.send_signal(signal.SIGINT)
    recorder.wait()
    nobody_is_stopped(session, "after the recording")
    equal(still_there(guardians), [], "guardians left")
    everybody_ends(session, script, "after the recording")


def test_kill_of_seep_leaves_no_child_stopped():
    """Nobody was there to continue them; now a guardian is, and goes when that is done."""
    for _ in range(5):
        recorder, script = start_forking()
        session = recorder.process.pid
        recorder.wait_attached()
        guardians = wait_until(lambda: guardians_of(session), "a guardian")
        moment = random.uniform(0, 1.0)
        when = "killed %.4f s after the recording began" % moment
        time.sleep(moment)
        recorder.process.kill()
        recorder.process.wait()
        wait_until(lambda: not still_there(guardians), "end of the guardian, " + when)
        nobody_is_stopped(session, when)
        everybody_ends(session, script, when)


def test_kill_of_seep_while_it_starts_leaves_no_child_stopped():
    """Before the command is let go nobody is stopped, and it ends without having begun."""
    for _ in range(5):
        recorder, script = start_forking()
        session = recorder.process.pid
        moment = random.uniform(0.02, 1.0)
        when = "killed %.4f s after its start" % moment
        time.sleep(moment)
        guardians = guardians_of(session)
        recorder.process.kill()
        recorder.process.wait()
        wait_until(lambda: not still_there(guardians), "end of the guardian, " + when)
        nobody_is_stopped(session, when)
        everybody_ends(session, script, when)


def test_command_with_an_output_that_exists_fails_at_once():
    """The command waited for a go that never came, as it held the other end itself, and seep waited
    for the command."""
    path = os.path.join(scratch_dir(), "there.seep")
    with open(path, "w") as file:
        file.write("precious")
    result = seep("record", "-c", "/bin/sleep 1", "-o", path)
    one_error_line(result, BAD_FILE, path)
    with open(path) as file:
        equal(file.read(), "precious", "what was in the file")


# ---- counting ----------------------------------------------------------------------------------

def test_sampling_counts_calls_within_calls_once():
    """realloc(NULL) and aligned_alloc come to malloc: both drew a sample of the same block."""
    report = measure(Target("edges", "nested"), "--sample", "16k").no_losses()
    for function, size_bytes in (("plain_malloc", 1009), ("realloc_null", 1009),
                                 ("align_16", 1008)):
        sites = report.sites(function)
        blocks, estimate = report.total(function)["alloc"]
        error = math.sqrt(sum(site["error_bytes"] ** 2 for site in sites))
        truth = 30011 * size_bytes
        check(0 < error < truth / 20, "%s: error of %.0f bytes" % (function, error))
        check(abs(estimate - truth) < 5 * error, "%s: %d bytes estimated, %d true, error %.0f" %
              (function, estimate, truth, error))
        check(abs(blocks - 30011) * size_bytes < 5 * error + size_bytes,
              "%s: %d blocks estimated" % (function, blocks))
        equal(report.total(function)["live"], (blocks, estimate), "%s: alive" % function)
        complete_stacks(report, function)


def test_lengths_of_munmap_are_rounded_up_to_pages():
    """munmap of 4097 bytes takes two pages away; one was counted, and the other stayed for ever."""
    report = measure(Target("edges", "odd")).no_losses()
    for function in ("map_each", "map_all"):
        exactly(report, function, (503, 503 * 2 * PAGE), NONE, "mmap")


def test_mapping_of_a_file_that_grows_is_no_memory():
    """mremap does not say what it moves: a file's mapping was counted from its first mremap on."""
    target = Target("edges", "file", os.path.join(scratch_dir(), "mapped"))
    report = measure(target).no_losses()
    exactly(report, "grow_file", NONE, NONE, "mmap")
    equal(report.total("grow_memory", "mmap")["live"][1], 211 * PAGE, "grow_memory: bytes alive")


# ---- threads and images ------------------------------------------------------------------------

def test_exec_from_a_thread_that_is_not_the_leader():
    """The thread takes the number of its process: the new image was not found under its old one."""
    path = os.path.join(scratch_dir(), "edges-new")
    shutil.copy(target_path("edges"), path)
    target = Target("edges", "execs", path)
    recorder = Recorder("-p", target.pid)
    target.send("go")
    target.expect("ready")
    recorder.wait_images(target.pid, 2)
    target.go()
    check(recorder.process.poll() is None, "the recording ended: %r" % recorder.lines)
    report = recorder.stop().no_losses()
    exactly(report, "new_image", (223, 223 * 997), (223, 223 * 997), pid=target.pid)
    complete_stacks(report, "new_image")
    check("edges-new" in [process["comm"] for process in report.processes],
          "processes: %r" % [(p["pid"], p["comm"]) for p in report.processes])
    equal([p["classes"]["malloc"]["live_bytes"] for p in report.processes
           if p["comm"] == "edges-new"], [223 * 997], "alive in the process of the new name")


def test_process_goes_on_when_its_main_thread_ends():
    """The main thread is a zombie then, and the process was taken for dead. Its allocator is a file
    of its own: the kernel takes the probes of such a process away when anybody else detaches from
    the same file."""
    library = os.path.join(scratch_dir(), "libbump.so")
    shutil.copy(target_path("libbump.so"), library)
    target = Target("edges", "leader", env={"LD_PRELOAD": library})
    recorder = Recorder("-p", target.pid)
    target.send("go")
    target.expect("left")
    time.sleep(3.0)  # the mappings are looked at each second
    check(recorder.process.poll() is None, "the recording ended: %r" % recorder.lines)
    target.go()
    report = recorder.stop().no_losses()
    exactly(report, "worker_leaks", (211, 211 * 1013), (211, 211 * 1013))
    complete_stacks(report, "worker_leaks")


def test_process_whose_main_thread_has_ended_is_refused():
    """No probe can be put into it and its mappings cannot be read: it was told to be exiting, or
    to map no allocator."""
    target = Target("edges", "leader")
    target.send("go")
    target.expect("left")
    wait_until(lambda: stat_of(target.pid)[1] == "Z", "end of the main thread")
    path = os.path.join(scratch_dir(), "none.seep")
    result = seep("record", "-p", target.pid, "-d", "1s", "-o", path)
    one_error_line(result, NO_TARGET, "main thread", str(target.pid))
    check(not os.path.exists(path), "a recording was made all the same")
    target.go()


# ---- overhead ----------------------------------------------------------------------------------

def test_detaching_leaves_no_growth_that_is_none():
    """Probes of free went before those of malloc: what was sampled meanwhile seemed to live on, and
    addresses used again were told as stale_block."""
    sample_bytes = 16 << 20
    target = Target("edges", "churn", "60000")
    recorder = Recorder("-p", target.pid, "--max-overhead", "1", "--sample", "16M")
    target.send("go")
    recorder.wait()
    check(any("detached" in line for line in recorder.lines), "not detached: %r" % recorder.lines)
    report = Report(recorder.path)
    check("stale_block" not in report.losses, "losses %r" % report.losses)
    total = report.total("churn")
    check(total["alloc"][1] >= 4 * sample_bytes, "hardly anything sampled: %r" % total)
    # one block is alive at a time; sampling was made coarser once, by 4
    check(0 <= total["live"][1] <= 2 * 4 * sample_bytes, "alive: %r" % total)
    equal(target.process.poll(), None, "exit status of the target")


def test_children_counts_no_hits_of_strangers():
    """Probes for children are hit by every process with the same libraries, and were all counted as
    the target's."""
    target, stranger = Target("edges", "idle"), Target("edges", "churn", "2000", "100000")
    recorder = Recorder("-p", target.pid, "--children")
    stranger.send("go")
    count = int(stranger.expect("count"))
    report = recorder.stop().no_losses()
    check(report.json["overhead"]["hits"] < 10000, "hits: %r, of the stranger %d" %
          (report.json["overhead"], 2 * count))
    equal(report.total("churn")["alloc"], NONE, "allocated by the stranger")


# ---- settling ----------------------------------------------------------------------------------

def test_settling_keeps_what_is_resized_and_moved():
    """A realloc while settling took the block away from its site, a mremap the range."""
    target = Target("edges", "settle")
    recorder = Recorder("-p", target.pid, "-d", "10s", "--settle", "10m")
    target.go()
    recorder.wait_settling()
    target.go()
    report = recorder.stop().no_losses()
    exactly(report, "keep_early", (211, 211 * 307), (211, 211 * 307))
    exactly(report, "take_early", (101, 101 * 503), (101, 101 * 503))
    exactly(report, "take_gone", (37, 37 * 401), NONE)
    exactly(report, "map_early", (7, 7 * 101 * PAGE), (7, 7 * 101 * PAGE), "mmap")
    exactly(report, "map_gone", (5, 5 * 103 * PAGE), NONE, "mmap")
    for function in ("take_late", "resize_late"):
        exactly(report, function, NONE, NONE)
    for function in ("map_late", "move_late"):
        exactly(report, function, NONE, NONE, "mmap")
    classes = report.processes[0]["classes"]
    equal(classes["malloc"]["live_bytes"], 211 * 307 + 101 * 503, "alive of class malloc")
    equal(classes["mmap"]["live_bytes"], 7 * 101 * PAGE, "alive of class mmap")


# ---- files that shrink -------------------------------------------------------------------------

def wait_opened(pid, path, timeout=5):
    """Until process 'pid' has the file open, or for as long."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline and stat_of(pid)[1] != "Z":
        with contextlib.suppress(FileNotFoundError):
            for fd in os.listdir("/proc/%d/fd" % pid):
                with contextlib.suppress(FileNotFoundError):
                    if os.readlink("/proc/%d/fd/%s" % (pid, fd)) == path:
                        return


def attach_to_truncated(library, moment):
    """Attach while a library of the target loses its contents: 'moment' seconds after seep began,
    or, when negative, so many after seep has opened the library."""
    base = scratch_dir()
    copy = os.path.join(base, os.path.basename(library))
    shutil.copy(library, copy)
    target = Target("edges", "idle", env={"LD_PRELOAD": copy})
    process = spawn([need(SEEP), "record", "-p", str(target.pid), "-d", "200ms", "-o",
                     base + "/t.seep"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                    universal_newlines=True, errors="replace")
    if moment < 0:
        wait_opened(process.pid, copy)
    time.sleep(abs(moment))
    os.truncate(copy, 0)
    _, text = process.communicate()
    target.process.kill()
    target.process.wait()
    lines, status = text.splitlines()[-3:], process.returncode
    what = "truncated at %.4f s" % moment
    check(0 <= status <= BAD_FILE, "%s: exit status %d (%r)" % (what, status, lines))
    check(status == 0 or lines and lines[-1].startswith("seep: "),
          "%s: exit status %d, and said %r" % (what, status, lines))


def test_library_that_is_truncated_while_seep_attaches():
    """At any moment of the start: seep reads it, probes it, names its functions."""
    libraries = (target_path("libbump.so"), target_path("plugin.so"))
    for i in range(20):
        attach_to_truncated(libraries[i % 2], i / 20 * 0.6)


def test_library_that_is_truncated_while_seep_reads_it():
    """Its pages were read through a mapping: SIGBUS. A big library takes a while to read."""
    library = need("/usr/lib/x86_64-linux-gnu/libstdc++.so.6")
    for i in range(20):
        attach_to_truncated(library, -i / 20 * 0.02 - 1e-5)


test_library_that_is_truncated_while_seep_reads_it.seconds = 600
test_library_that_is_truncated_while_seep_attaches.seconds = 600
test_kill_of_seep_leaves_no_child_stopped.seconds = 600
test_kill_of_seep_while_it_starts_leaves_no_child_stopped.seconds = 600
