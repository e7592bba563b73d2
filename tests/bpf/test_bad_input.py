# SPDX-License-Identifier: GPL-2.0-only
"""What cannot work says so in one line, with the documented exit status, and leaves nothing."""
import os
import shutil
import struct
import threading

from harness import (BAD_FILE, NO_PERMISSION, NO_TARGET, OK, SEEP, USAGE, Recorder, Report, Skip,
                     Target, check, equal, measure, need, on_cleanup, one_error_line, run,
                     scratch_dir, seep, spawn, stat_of, target_path, wait_until)


def refused(status, *args, words=(), **options):
    """seep record that must fail: one line, the status, and no file."""
    where = scratch_dir()
    os.chmod(where, 0o777)
    result = seep("record", *args, "-d", "1s", "-o", where + "/no.seep", **options)
    one_error_line(result, status, *words)
    equal(os.listdir(where), [], "files left")


def free_pid():
    pid = 999983
    while os.path.exists("/proc/%d" % pid):
        pid -= 2
    return pid


def test_no_such_process():
    pid = free_pid()
    refused(NO_TARGET, "-p", pid, words=[str(pid)])


def test_one_of_two_processes_does_not_exist():
    pid = free_pid()
    refused(NO_TARGET, "-p", Target("sites", "tick").pid, "-p", pid, words=[str(pid)])


def test_a_thread_is_not_a_process():
    target = Target("threads", "churn")
    target.send("go")
    target.expect("churning")
    thread = max(int(tid) for tid in os.listdir("/proc/%d/task" % target.pid))
    check(thread != target.pid, "no second thread")
    refused(NO_TARGET, "-p", thread, words=["thread", str(target.pid)])


def test_a_kernel_thread_has_no_allocator():
    for pid in sorted(int(name) for name in os.listdir("/proc") if name.isdigit()):
        try:
            with open("/proc/%d/stat" % pid) as stat:
                flags = int(stat.read().rpartition(")")[2].split()[6])
        except (OSError, IndexError):
            continue
        if flags & 0x00200000:
            return refused(NO_TARGET, "-p", pid, words=["kernel thread"])
    raise Skip("no kernel thread is visible here")


def test_a_zombie():
    target = Target("life", "exit")
    target.go()
    wait_until(lambda: stat_of(target.pid)[1] == "Z", "end of the target")
    refused(NO_TARGET, "-p", target.pid)


def test_without_permission():
    target = Target("sites", "tick")
    where = scratch_dir()
    os.chmod(where, 0o777)
    shutil.copy(SEEP, where + "/seep")
    os.chmod(where + "/seep", 0o755)
    result = run([need("setpriv"), "--reuid=65534", "--regid=65534", "--clear-groups",
                  where + "/seep", "record", "-p", target.pid, "-d", "1s", "-o",
                  where + "/no.seep"])
    one_error_line(result, NO_PERMISSION)
    equal(os.listdir(where), ["seep"], "files left")


def elf32_that_sleeps():
    """A 32-bit i386 program of 12 instructions' worth: pause() for ever."""
    code = b"\xb8\x1d\x00\x00\x00\xcd\x80\xeb\xf7"  # mov $29,%eax; int $0x80; jmp back
    base, headers = 0x08048000, 52 + 32
    size = headers + len(code)
    header = b"\x7fELF\x01\x01\x01" + b"\0" * 9 + struct.pack(
        "<HHIIIIIHHHHHH", 2, 3, 1, base + headers, 52, 0, 0, 52, 32, 1, 0, 0, 0)
    program = struct.pack("<IIIIIIII", 1, 0, base, base, size, size, 5, 4096)
    return header + program + code


def test_a_32_bit_process():
    path = scratch_dir() + "/thirtytwo"
    with open(path, "wb") as file:
        file.write(elf32_that_sleeps())
    os.chmod(path, 0o755)
    try:
        process = spawn([path])
    except OSError as error:
        raise Skip("this kernel runs no 32-bit programs: %s" % error) from None
    check(process.poll() is None, "the 32-bit program ended")
    refused(NO_TARGET, "-p", process.pid, words=["32-bit"])


def test_a_stripped_static_program_says_what_was_looked_for():
    target = Target("sites-static-stripped", "tick")
    refused(NO_TARGET, "-p", target.pid, words=["malloc", "sites-static-stripped"])


def test_comm_that_nobody_has():
    refused(NO_TARGET, "--comm", "nobodyhasthis", words=["nobodyhasthis"])


def test_command_that_does_not_exist():
    where = scratch_dir()
    result = seep("record", "-c", "/nonexistent/program", "-o", where + "/no.seep")
    check(result.returncode not in (OK, USAGE), "exit status %d" % result.returncode)
    one_error_line(result, result.returncode, "/nonexistent/program")
    equal(os.listdir(where), [], "files left")


def test_wrong_command_lines():
    target = Target("sites", "tick")
    pid = str(target.pid)
    for args, word in ((["record"], "-p"), (["record", "-p", "x"], "x"),
                       (["record", "-p", "-1"], "-1"),
                       (["record", "-p", pid, "-d", "5x"], "5x"),
                       (["record", "-p", pid, "-i", "-1s"], "-1s"),
                       (["record", "-p", pid, "--nonsense"], "--nonsense"),
                       (["record", "-p", pid, "--sample", "12q"], "12q"),
                       (["record", "-p", pid, "--max-blocks", "many"], "many"),
                       (["nonsense"], "nonsense"), (["report"], "FILE"),
                       (["report", "--format", "nonsense", "x"], "nonsense")):
        result = seep(*args)
        one_error_line(result, USAGE, word)


# ---- where the recording goes --------------------------------------------------------------------

def test_output_directory_that_does_not_exist():
    target = Target("sites", "tick")
    result = seep("record", "-p", target.pid, "-d", "1s", "-o", "/nonexistent/no.seep")
    one_error_line(result, BAD_FILE, "/nonexistent/no.seep")


def test_output_directory_that_takes_no_files():
    target = Target("sites", "tick")
    result = seep("record", "-p", target.pid, "-d", "1s", "-o", "/proc/no.seep")
    one_error_line(result, BAD_FILE, "/proc/no.seep")


def test_output_is_a_directory():
    target, where = Target("sites", "tick"), scratch_dir()
    result = seep("record", "-p", target.pid, "-d", "1s", "-o", where)
    one_error_line(result, BAD_FILE, where)


def small_disk(size):
    where = scratch_dir()
    if run(["mount", "-t", "tmpfs", "-o", "size=%s" % size, "none", where]).returncode:
        raise Skip("cannot mount a tmpfs")
    on_cleanup(run, ["umount", "-l", where])
    return where


def test_disk_that_is_full_from_the_start():
    target, where = Target("sites", "tick"), small_disk("64k")
    with open(where + "/filler", "wb", buffering=0) as file:
        while True:
            try:
                file.write(b"x" * 4096)
            except OSError:
                break
    result = seep("record", "-p", target.pid, "-d", "2s", "-i", "500ms", "-o", where + "/no.seep")
    one_error_line(result, BAD_FILE, "no.seep")
    equal(os.listdir(where), ["filler"], "files")


def test_disk_that_fills_during_the_recording():
    target, where = Target("stacks"), small_disk("256k")
    path = where + "/small.seep"
    process = spawn([need(SEEP), "record", "-p", str(target.pid), "-i", "500ms", "-d", "60s", "-o",
                     path], stdin=-3, stdout=-3, stderr=-1, universal_newlines=True)
    first = process.stderr.readline()
    if "recording" in first:
        threading.Timer(0.1, target.send, ["go"]).start()
    rest = process.stderr.read()
    lines = ((first if "recording" not in first else "") + rest).splitlines()
    equal(process.wait(), BAD_FILE, "exit status (%r)" % lines)
    check(lines and lines[-1].startswith("seep: ") and
          ("full" in lines[-1] or "space" in lines[-1].lower()), "last line %r" % lines)
    if os.path.exists(path):
        Report(path)


# ---- recordings that are none --------------------------------------------------------------------

def test_recording_that_does_not_exist():
    one_error_line(seep("report", "/nonexistent/no.seep"), BAD_FILE, "/nonexistent/no.seep")


def test_recording_that_is_something_else():
    where = scratch_dir()
    for name, content in (("empty.seep", b""), ("text.seep", b"hello\n" * 1000),
                          ("zeros.seep", b"\0" * 65536), ("elf.seep", b"\x7fELF" * 5000),
                          ("header.seep", b"SQLite format 3\0" + b"\xff" * 8176)):
        path = os.path.join(where, name)
        with open(path, "wb") as file:
            file.write(content)
        one_error_line(seep("report", path), BAD_FILE, name)
    one_error_line(seep("report", where), BAD_FILE, where)


def test_database_of_somebody_else():
    path = scratch_dir() + "/other.seep"
    run([need("sqlite3"), path, "create table sites(a); insert into sites values(1);"])
    one_error_line(seep("report", path), BAD_FILE, path)


def test_damaged_recording_is_refused_or_read_but_never_crashes():
    report = measure(Target("sites", "tick"))
    with open(report.path, "rb") as file:
        whole = file.read()
    path = scratch_dir() + "/damaged.seep"
    damages = [whole[:len(whole) // 2], whole[:4096], whole[:-1000]]
    for offset in range(0, len(whole), max(len(whole) // 23, 1)):
        damages.append(whole[:offset] + b"\xff" * 97 + whole[offset + 97:])
    for damaged in damages:
        with open(path, "wb") as file:
            file.write(damaged)
        for output in ("json", "text", "folded"):
            result = seep("report", path, "--format", output)
            if result.returncode:
                one_error_line(result, BAD_FILE, "damaged.seep")


def test_truncated_recording_is_refused():
    report = measure(Target("sites", "tick"))
    with open(report.path, "r+b") as file:
        file.truncate(os.path.getsize(report.path) // 2)
    one_error_line(seep("report", report.path), BAD_FILE, report.path)
