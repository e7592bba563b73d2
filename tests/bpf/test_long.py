# SPDX-License-Identifier: GPL-2.0-only
"""What only shows when a recording goes on for long: processes come and go, stacks never end."""
import collections
import contextlib
import ctypes
import errno
import os
import resource
import struct

from harness import (NO_PERMISSION, OK, SEEP, Recorder, Report, Target, check, equal, need,
                     one_error_line, run, scratch_dir, target_path, wait_until)

# bpf(2): commands, and the layouts of their attributes
SYS_BPF, MAP_GET_FD_BY_ID, MAP_LOOKUP_BATCH = 321, 14, 24
MAP_TYPE_HASH, BATCH = 1, 16384
LEDGER_VALUE_BYTES, SITE_VALUE_BYTES_MIN, KEY_BYTES = 24, 200, 16
libc = ctypes.CDLL(None, use_errno=True)


def bpf(command, attributes):
    result = libc.syscall(SYS_BPF, command, attributes, len(attributes))
    return result if result >= 0 else -ctypes.get_errno()


def kernel_maps(pid):
    """{id: value bytes} of the hash tables with 16-byte keys that a process holds."""
    found = {}
    for fd in os.listdir("/proc/%d/fdinfo" % pid):
        fields = {}
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            with open("/proc/%d/fdinfo/%s" % (pid, fd)) as file:
                fields = dict(line.split(":", 1) for line in file if ":" in line)
        if int(fields.get("map_type", 0)) == MAP_TYPE_HASH and int(fields["key_size"]) == KEY_BYTES:
            found[int(fields["map_id"])] = int(fields["value_size"])
    return found


def keys_of_map(map_id, value_bytes):
    """All keys of a hash table."""
    fd = bpf(MAP_GET_FD_BY_ID, bytearray_of(struct.pack("<IIII", map_id, 0, 0, 0)))
    check(fd >= 0, "cannot open map %d: %d" % (map_id, fd))
    keys, values = (ctypes.create_string_buffer(BATCH * n) for n in (KEY_BYTES, value_bytes))
    cursor, begun, result = ctypes.create_string_buffer(4), False, 0
    while not result:
        attributes = bytearray_of(struct.pack(
            "<QQQQIIQQ", ctypes.addressof(cursor) if begun else 0, ctypes.addressof(cursor),
            ctypes.addressof(keys), ctypes.addressof(values), BATCH, fd, 0, 0))
        result, begun = bpf(MAP_LOOKUP_BATCH, attributes), True
        check(result in (0, -errno.ENOENT), "cannot read map %d: %d" % (map_id, result))
        count = struct.unpack_from("<I", attributes, 32)[0]
        found = keys.raw[:count * KEY_BYTES]
        yield from (found[i:i + KEY_BYTES] for i in range(0, len(found), KEY_BYTES))
    os.close(fd)


def bytearray_of(data):
    return ctypes.create_string_buffer(data, len(data))


def generations(recorder, ledger):
    """How many blocks (or sites) of each generation, bytes 8 to 11 of a key, are in the kernel."""
    counts = collections.Counter()
    for map_id, value_bytes in kernel_maps(recorder.process.pid).items():
        if value_bytes == LEDGER_VALUE_BYTES if ledger else value_bytes > SITE_VALUE_BYTES_MIN:
            counts.update(key[8:12] for key in keys_of_map(map_id, value_bytes))
    return counts


def test_sites_of_ended_processes_leave_the_kernel_and_stay_in_the_recording():
    target = Target("life", "forks")
    recorder = Recorder("-p", target.pid, "--children")
    target.go()
    wait_until(lambda: len(generations(recorder, ledger=False)) <= 1, "sites of one process only")
    recorder.wait_snapshots()
    report = recorder.stop().no_losses()
    total = report.total("brief_child")
    equal(total["alloc"], (31 * 7, 31 * 7 * 1013), "allocated by children")
    equal(total["live"], (31 * 7, 31 * 7 * 1013), "what they ended with")
    equal(len({site["pid"] for site in report.sites("brief_child")}), 31, "children")


def test_blocks_of_ended_processes_leave_the_ledger_though_processes_never_stop_ending():
    target = Target("long", "coming")
    recorder = Recorder("-p", target.pid, "--children", "-i", "2s", "--max-overhead", "0")
    target.send("go")
    target.expect("done")
    seen = generations(recorder, ledger=True)

    def left_of_seen():
        blocks = generations(recorder, ledger=True)
        return [blocks[generation] for generation in seen if generation in blocks]

    wait_until(lambda: len(left_of_seen()) <= 1, "end of the blocks of %d processes" % len(seen))
    equal(left_of_seen(), [401000], "blocks of the process that lives on")
    target.send("quit")
    recorder.stop()


def test_no_stack_is_missing_though_stacks_never_end():
    target = Target("long", "stacks")
    recorder = Recorder("-p", target.pid, "--max-overhead", "0")
    target.send("go")
    target.expect("done")
    report = recorder.stop().no_losses()
    unnamed = [site for site in report.all_sites if not site["frames"]
               or site["frames"][0]["function"] == "[stack not received]"]
    equal(len(unnamed), 0, "sites without a stack")
    check(len(report.sites("new_stack")) >= 1009, "stacks: %d" % len(report.sites("new_stack")))


def test_an_exited_process_has_the_memory_it_ended_with():
    target = Target("long", "fat")
    recorder = Recorder("-p", target.pid)
    target.go()
    recorder.wait_snapshots()
    target.send("quit")
    recorder.wait()
    process = Report(recorder.path).processes[0]
    grown = process["end_rss_bytes"] - process["start_rss_bytes"]
    check(60 << 20 <= grown <= 64 << 20, "RSS grew by %d bytes: %r" % (grown, process))


def test_recording_needs_the_initial_pid_namespace():
    need("unshare")
    script = '"$0" tick </dev/null >/dev/null & ' \
        'exec "$1" record -p $! -d 1s -o "$2"'
    result = run(["unshare", "--pid", "--fork", "--mount-proc", "bash", "-c", script,
                  target_path("stacks"), need(SEEP),
                  scratch_dir() + "/ns.seep"])
    one_error_line(result, NO_PERMISSION, "pid namespace")


def test_open_files_are_raised_to_what_is_allowed():
    target = Target("sites", "tick")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    recorder = Recorder("-p", target.pid, preexec_fn=lambda: resource.setrlimit(
        resource.RLIMIT_NOFILE, (101, hard)))
    with open("/proc/%d/limits" % recorder.process.pid) as file:
        limits = [line.split()[3:5] for line in file if line.startswith("Max open files")]
    equal(limits, [[str(hard), str(hard)]], "limits of open files")
    target.go()
    recorder.stop()
    equal(target.quit(), OK, "exit status of the target")


def test_the_slowdown_of_the_whole_recording_is_stored():
    target = Target("sites", "tick")
    recorder = Recorder("-p", target.pid)
    target.go()
    report = recorder.stop()
    result = run([need("sqlite3"), recorder.path, "SELECT slowdown_percent FROM recording"])
    equal(result.returncode, OK, "exit status of sqlite3 (%s)" % result.stderr)
    slowdown = float(result.stdout)
    check(0 < slowdown <= 1000, "slowdown %r %%" % slowdown)
    reported = report.json["overhead"]["slowdown_percent"]
    check(abs(reported - slowdown) < 1e-6 * slowdown, "the report says %r" % reported)
