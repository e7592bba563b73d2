# SPDX-License-Identifier: GPL-2.0-only
"""What the BPF tests are made of.

Target     a test program, started and waiting; go() makes it do its work
Recorder   "seep record" on something, started and attached; stop() gives its Report
Report     "seep report --format json" of a recording, with questions a test asks
measure()  all of it: attach, work, stop, report

Processes, mounts and files belong to the running test: cleanup() ends and removes them, in reverse
order. Only processes started here are ever signalled.
"""
import contextlib
import json
import os
import select
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import threading
import time
import urllib.parse

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get("BUILD", os.path.join(ROOT, "build")))
SEEP = os.path.abspath(os.environ.get("SEEP", os.path.join(BUILD, "seep")))
TARGETS = os.path.join(BUILD, "targets")

# exit statuses: src/cli/verb.h
OK, FAILED, USAGE, NO_TARGET, NO_PERMISSION, BAD_FILE = range(6)

# Seconds for what comes by itself, on a machine that is busy or stands still for a while: only a test
# that fails waits as long.
PATIENCE = 120

# where a stack may end
ROOT_FUNCTIONS = {"_start", "main", "clone", "clone3", "__clone", "__clone3", "start_thread",
                  "__libc_start_main", "_start_c", "_dl_start_user"}
# what stands between a program and its allocator
ALLOCATOR_MODULES = ("libc.so", "libc-2", "ld-musl", "libstdc++", "libjemalloc", "libtcmalloc",
                     "libmimalloc", "libbump")
ALLOCATOR_FUNCTIONS = ("operator new", "malloc", "calloc", "realloc", "reallocarray", "memalign",
                       "aligned_alloc", "posix_memalign", "valloc", "pvalloc", "strdup",
                       "__libc_", "__strdup", "_Zn", "default_malloc")


class Skip(Exception):
    """The test cannot run here; the text says why."""


class Failure(AssertionError):
    pass


# ---- what belongs to the running test --------------------------------------------------------

_cleanups = contextlib.ExitStack()


def cleanup():
    _cleanups.close()


def on_cleanup(function, *args):
    _cleanups.callback(function, *args)


def scratch_dir():
    path = tempfile.mkdtemp(prefix="seep-test.")
    on_cleanup(shutil.rmtree, path, True)
    return path


def end_process(process):
    if process.poll() is None:
        process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe:
            with contextlib.suppress(OSError):
                pipe.close()


def spawn(argv, **options):
    """Popen whose process ends with the test."""
    process = subprocess.Popen(argv, **options)
    on_cleanup(end_process, process)
    return process


def run(argv, timeout=PATIENCE, **options):
    """Run to the end; .returncode, .stdout and .stderr as text."""
    options.setdefault("stdin", subprocess.DEVNULL)
    return subprocess.run([str(a) for a in argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          universal_newlines=True, errors="replace", timeout=timeout, check=False,
                          **options)


def wait_until(condition, what, timeout=PATIENCE):
    """What the condition returns once it is true."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        check(time.monotonic() < deadline, "%s: not within %d s" % (what, timeout))
        time.sleep(0.02)


def need(path, why=None):
    """The path, or the test is skipped."""
    found = path if os.path.isabs(path) and os.path.exists(path) else shutil.which(path)
    if not found:
        raise Skip(why or "%s is not there" % path)
    return found


# ---- checks: a failure prints both values ------------------------------------------------------

def equal(actual, wanted, what):
    if actual != wanted:
        raise Failure("%s: got %r, want %r" % (what, actual, wanted))


def check(condition, what):
    if not condition:
        raise Failure(what)


def one_error_line(result, status, *words):
    """Exactly one line, ours, with these words in it; and the documented exit status."""
    lines = result.stderr.splitlines()
    check(len(lines) == 1 and lines[0].startswith("seep: "),
          "want one line that starts with 'seep: ', got %r" % result.stderr)
    for word in words:
        check(word.lower() in lines[0].lower(), "want %r in %r" % (word, lines[0]))
    equal(result.returncode, status, "exit status (%s)" % lines[0])


# ---- targets ------------------------------------------------------------------------------------

def target_path(name):
    return need(os.path.join(TARGETS, name), "target %s was not built" % name)


class Target:
    """A program that follows tests/targets/target.h."""

    def __init__(self, program, *args, env=None, before_exec=None, wait=True):
        if not os.path.isabs(program):
            program = target_path(program)
        environment = dict(os.environ, **(env or {}))
        self.process = spawn([program, *args], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             bufsize=0, env=environment, preexec_fn=before_exec)
        self.pid = self.process.pid
        self.buffered = b""
        if wait:
            self.expect("ready")

    def expect(self, word, timeout=PATIENCE):
        """Read lines until one begins with 'word'; returns what follows it."""
        deadline = time.monotonic() + timeout
        while True:
            line, newline, rest = self.buffered.partition(b"\n")
            if newline:
                self.buffered = rest
                text = line.decode(errors="replace")
                if text.split(" ")[0] == word:
                    return text[len(word):].strip()
                continue
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                raise Failure("target %d did not say %r within %d s" % (self.pid, word, timeout))
            chunk = os.read(self.process.stdout.fileno(), 4096)
            if not chunk:
                raise Failure("target %d ended before it said %r" % (self.pid, word))
            self.buffered += chunk

    def send(self, line):
        os.write(self.process.stdin.fileno(), line.encode() + b"\n")

    def go(self, timeout=PATIENCE):
        self.send("go")
        self.expect("done", timeout)

    def quit(self):
        """Let it end; returns its exit status."""
        with contextlib.suppress(OSError):
            self.send("quit")
        return self.process.wait(timeout=PATIENCE)


def stat_of(pid):
    """(name, state, parent, session, start time) of a process, None if it is gone."""
    try:
        with open("/proc/%d/stat" % pid, errors="replace") as file:
            head, _, tail = file.read().rpartition(")")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = tail.split()
    return head.partition("(")[2], fields[0], int(fields[1]), int(fields[3]), int(fields[19])


def differing_code_bytes(pid, module):
    """How many bytes of the module's executable mappings differ from its file: probes left."""
    count = 0
    with open("/proc/%d/maps" % pid) as maps, open("/proc/%d/mem" % pid, "rb") as memory:
        for line in maps:
            fields = line.split(None, 5)
            if len(fields) < 6 or "x" not in fields[1] or module not in fields[5]:
                continue
            start, end = (int(part, 16) for part in fields[0].split("-"))
            memory.seek(start)
            loaded = memory.read(end - start)
            with open(fields[5].strip(), "rb") as file:
                file.seek(int(fields[2], 16))
                stored = file.read(end - start).ljust(end - start, b"\0")
            count += sum(a != b for a, b in zip(loaded, stored)) if loaded != stored else 0
    return count


# ---- seep ---------------------------------------------------------------------------------------

def seep(*args, **options):
    return run([need(SEEP), *args], **options)


def stored(path, query, *values):
    """Rows of a recording that is still being written; none while they cannot be read."""
    name = "file:%s?mode=ro" % urllib.parse.quote(path)
    with contextlib.suppress(sqlite3.OperationalError):
        with contextlib.closing(sqlite3.connect(name, uri=True, timeout=1)) as database:
            return database.execute(query, values).fetchall()
    return []


class Recorder:
    """seep record, attached and with its first snapshot taken. 'args' say what; '-o FILE' and
    '-i 500ms' are added when missing."""

    def __init__(self, *args, wait=True, **options):
        args = [str(a) for a in args]
        if "-o" not in args:
            args += ["-o", os.path.join(scratch_dir(), "test.seep")]
        if "-i" not in args:
            args += ["-i", "500ms"]
        self.path = args[args.index("-o") + 1]
        self.lines = []
        self.attached = threading.Event()
        options.setdefault("stdin", subprocess.DEVNULL)
        self.process = spawn([need(SEEP), "record", *args], stdout=subprocess.DEVNULL,
                             stderr=subprocess.PIPE, universal_newlines=True, errors="replace",
                             **options)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        if wait:
            self.wait_attached()

    def _read(self):
        with contextlib.suppress(ValueError, OSError):
            for line in self.process.stderr:
                self.lines.append(line.rstrip("\n"))
                if "recording" in line:
                    self.attached.set()
        self.attached.set()

    def wait_attached(self):
        if not self.attached.wait(PATIENCE):
            raise Failure("seep did not say it records: %r" % self.lines)
        if not any("recording" in line for line in self.lines):
            raise Failure("seep ended with %r: %r" % (self.process.wait(), self.lines))
        wait_until(lambda: self.snapshots() or self.process.poll() is not None, "first snapshot")

    def snapshots(self, condition="1"):
        """How many are in the file."""
        rows = stored(self.path, "select count(*) from snapshot where " + condition)
        return rows[0][0] if rows else 0

    def wait_snapshots(self, count=1):
        """Until so many are in the file that were taken from now on: the next one may have begun."""
        wanted = wait_until(self.snapshots, "a snapshot") + 1 + count
        wait_until(lambda: self.snapshots() >= wanted, "snapshot %d" % wanted)

    def wait_settling(self):
        """Until no new allocations are taken."""
        wait_until(lambda: self.snapshots("settling"), "the settle phase")

    def wait_images(self, pid, count):
        """Until the process runs its program number 'count', and the allocator of that is probed."""
        query = "select count(*) from process where pid = ? and allocator_text is not null"
        wait_until(lambda: stored(self.path, query, pid) == [(count,)], "program %d" % count)

    def wait(self, timeout=PATIENCE):
        """Until seep ends by itself; its exit status must be 0."""
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise Failure("seep did not end within %d s: %r" % (timeout, self.lines)) from None
        self.reader.join(10)
        equal(status, OK, "exit status of seep (%s)" % " / ".join(self.lines[-3:]))

    def stop(self, *report_options):
        """Ctrl-C, wait, report."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        self.wait()
        return Report(self.path, *report_options)


class Report:
    def __init__(self, path, *options):
        result = seep("report", path, "--format", "json", "-n", "1000000",
                      "--no-suppressions", *options)
        equal(result.returncode, OK, "exit status of seep report (%s)" % result.stderr.strip())
        self.path = path
        self.json = json.loads(result.stdout)
        self.losses = {k: v for k, v in self.json["losses"].items() if v}
        self.all_sites = self.json["sites"]
        self.processes = self.json["processes"]

    def sites(self, function, alloc_class="malloc", pid=None):
        """The sites of one class whose stack passes through the function."""
        return [site for site in self.all_sites
                if site["class"] == alloc_class and pid in (None, site["pid"])
                and any(same_function(frame["function"], function) for frame in site["frames"])]

    def total(self, function, alloc_class="malloc", pid=None):
        """Sums over those sites: live, alloc, free, each (blocks, bytes)."""
        sites = self.sites(function, alloc_class, pid)
        return {key: (sum(s[key + "_blocks"] for s in sites), sum(s[key + "_bytes"] for s in sites))
                for key in ("live", "alloc", "free")}

    def no_losses(self):
        equal(self.losses, {}, "losses")
        return self


def same_function(name, wanted):
    """Symbol names: 'web::make_node()' and 'leaf_alloc' are asked for by their bare names."""
    bare = name.split("(")[0].split("@")[0]
    return bare == wanted or bare.endswith("::" + wanted)


def is_allocator(frame):
    module = os.path.basename(frame["module"] or "")
    return module.startswith(ALLOCATOR_MODULES) or \
        frame["function"].startswith(ALLOCATOR_FUNCTIONS)


def program_frames(site):
    """The frames of a stack without the allocator's own at its leaf."""
    frames = site["frames"]
    while frames and is_allocator(frames[0]):
        frames = frames[1:]
    return frames


def direct_callers(sites):
    """Names of the functions that called the allocator."""
    return {(program_frames(site) or [{"function": "none"}])[0]["function"].split("(")[0]
            for site in sites}


def reaches_root(site):
    """Does the stack end where a program or a thread begins?"""
    if site["truncated"] or not site["frames"]:
        return False
    last = site["frames"][-1]
    if last["function"].split("@")[0] in ROOT_FUNCTIONS:
        return True
    # stripped: _start of the program, or clone in the C library, without a name
    module = os.path.basename(last["module"] or "")
    return module.startswith(("libc.so", "libc-2")) or \
        any("libc_start_main" in frame["function"] for frame in site["frames"][-4:])


def share_reaching_root(sites):
    """Of the blocks allocated at these sites, the share whose stack is complete."""
    total = sum(site["alloc_blocks"] for site in sites)
    return sum(s["alloc_blocks"] for s in sites if reaches_root(s)) / total if total else 0.0


def measure(target, *options, timeout=PATIENCE):
    """Attach to a waiting target, let it work, stop, report."""
    recorder = Recorder("-p", target.pid, *options)
    target.go(timeout)
    return recorder.stop()


def exactly(report, function, alloc, live, alloc_class="malloc", pid=None):
    """(blocks, bytes) allocated and still alive through the function, to the byte."""
    total = report.total(function, alloc_class, pid)
    equal(total["alloc"], alloc, "%s: blocks and bytes allocated" % function)
    equal(total["live"], live, "%s: blocks and bytes alive" % function)
    equal(total["free"], (alloc[0] - live[0], alloc[1] - live[1]),
          "%s: blocks and bytes freed" % function)


def complete_stacks(report, function, alloc_class="malloc"):
    """Every stack through the function is whole, and ends at main or the thread start."""
    sites = report.sites(function, alloc_class)
    check(sites, "no site passes through %s" % function)
    for site in sites:
        check(reaches_root(site), "stack does not reach its root (truncated %r): %s" % (
            site["truncated"], " <- ".join(f["function"] for f in site["frames"])))
