# SPDX-License-Identifier: GPL-2.0-only
"""Other allocators, hooks, places and builds of CPython; extension modules and C libraries under it."""
import json
import os

from harness import (Recorder, Skip, check, equal, measure, need, reaches_root, run, scratch_dir,
                     seep)
from interpreters import PROGRAMS, Interpreter, library
from python_sites import (class_sum, innermost_callee, kept_by_line, line_of, native_names,
                          python_frames, through)
from test_python import disagreements, truth

LEAST_LINES = 60
SHOWN = 10


def run_judge(interpreter, *options, env=None, target_options=()):
    """(report, lines of seep itself) of the judge's work."""
    target = interpreter.start("judge.py", "plain", env=env, options=target_options)
    recorder = Recorder("-p", target.pid, *options)
    target.go()
    report = recorder.stop().no_losses()
    report.text = seep("report", report.path).stdout
    equal(target.quit(), 0, "exit status of the target")
    return report, recorder.lines


def wanted_lines(interpreter, **options):
    target = interpreter.start("judge.py", "tracemalloc", **options)
    target.send("go")
    return json.loads(target.expect("truth"))


def agrees(interpreter, report, wanted):
    wrong, differ = disagreements(interpreter.version[1], kept_by_line(report), wanted)
    check(len(wanted) > LEAST_LINES, "only %d lines" % len(wanted))
    check(not wrong, "%d lines differ by more than 1 %%, of %d that differ:\n%s" % (
        len(wrong), len(differ), "\n".join(wrong[:SHOWN])))


# ---- which allocator ------------------------------------------------------------------------------------

def with_allocator(name, value):
    interpreter = Interpreter(name)
    env = {"PYTHONMALLOC": value}
    report, _ = run_judge(interpreter, env=env)
    agrees(interpreter, report, wanted_lines(interpreter, env=env))
    return report


def test_pythonmalloc_malloc_is_class_malloc():
    report = with_allocator("debian", "malloc")
    equal(class_sum(report, "python", "alloc_blocks"), 0, "blocks of class python")


def test_pythonmalloc_debug_counts_what_was_asked_for():
    report = with_allocator("debian", "debug")
    check(class_sum(report, "python", "alloc_blocks") > 100000, "class python is hardly there")


def test_pythonmalloc_debug_where_nothing_is_inlined():
    with_allocator("pyenv-3.12", "debug")


def test_pythonmalloc_debug_of_3_7():
    """Four words around each block, later ones have three."""
    with_allocator("pyenv-3.7", "debug")


def test_pythonmalloc_debug_of_3_6_is_malloc():
    """Its main() begins with malloc, and "debug" only lays hooks over that (Programs/python.c)."""
    report, _ = run_judge(Interpreter("pyenv-3.6"), env={"PYTHONMALLOC": "debug"})
    equal(class_sum(report, "python", "alloc_blocks"), 0, "blocks of class python")
    check(class_sum(report, "malloc", "alloc_blocks") > 100000, "class malloc is hardly there")


def test_tracemalloc_in_the_target():
    """Its hook lies over pymalloc: the same blocks; its own table is of class malloc."""
    interpreter = Interpreter("debian")
    report, _ = run_judge(interpreter, target_options=("-X", "tracemalloc=1"))
    wanted = truth(interpreter, "count", library("pycount.c", "-nostdlib"))
    for ours, theirs in (("alloc_blocks", "allocated"), ("live_blocks", "live"),
                         ("live_bytes", "live_bytes")):
        seen = class_sum(report, "python", ours)
        check(abs(seen - wanted[theirs]) * 1000 <= wanted[theirs], "%s: %d, want %d" % (
            ours, seen, wanted[theirs]))


def test_tracemalloc_started_while_recording():
    """The judge's own mode: a hook comes and goes during the recording."""
    interpreter = Interpreter("debian")
    target = interpreter.start("judge.py", "tracemalloc")
    recorder = Recorder("-p", target.pid)
    target.go()
    report = recorder.stop().no_losses()
    equal(target.quit(), 0, "exit status of the target")
    check(class_sum(report, "python", "alloc_blocks") > 100000, "only %d blocks of class python" %
          class_sum(report, "python", "alloc_blocks"))


def test_no_redirect_says_that_class_python_is_missing():
    report, lines = run_judge(Interpreter("debian"), "--no-redirect")
    equal(class_sum(report, "python", "alloc_blocks"), 0, "blocks of class python")
    said = [line for line in lines + report.text.splitlines() if "redirect" in line]
    check(said, "nobody says why: %r\n%s" % (lines, report.text[:800]))
    check(any(python_frames(site) for site in report.all_sites), "no Python frames for malloc")


def test_no_redirect_changes_nothing_where_nothing_is_inlined():
    interpreter = Interpreter("pyenv-3.12")
    report, _ = run_judge(interpreter, "--no-redirect")
    agrees(interpreter, report, wanted_lines(interpreter))


# ---- where it lives ----------------------------------------------------------------------------------------

def test_virtual_environment():
    interpreter, where = Interpreter("debian"), scratch_dir() + "/venv"
    made = run(interpreter.command("-m", "venv", "--without-pip", where))
    if made.returncode:
        raise Skip("no venv module: %s" % made.stderr.strip()[-100:])
    wanted = wanted_lines(interpreter)
    interpreter.path = where + "/bin/python"
    report, _ = run_judge(interpreter)
    agrees(interpreter, report, wanted)


def test_another_mount_namespace():
    interpreter = Interpreter("trixie")
    wanted = wanted_lines(interpreter)
    hidden = scratch_dir()
    interpreter.command = lambda *args: [
        need("unshare"), "-m", "sh", "-c", "mount --bind %s %s && exec chroot %s %s \"$@\"" % (
            interpreter.root, hidden, hidden, interpreter.path), "sh", *args]
    report, _ = run_judge(interpreter)
    agrees(interpreter, report, wanted)


def embedding_program():
    headers = need("/usr/include/python3.11/Python.h", "no headers of CPython 3.11: python3-dev")
    path = scratch_dir() + "/embed"
    result = run(["gcc", "-O2", "-fomit-frame-pointer", "-I" + os.path.dirname(headers), "-o", path,
                  os.path.join(PROGRAMS, "embed.c"), "-lpython3.11"])
    if result.returncode:
        raise Skip("cannot link with libpython3.11: %s" % result.stderr.strip()[-200:])
    return path


def test_embedded_interpreter():
    interpreter = Interpreter("debian")
    wanted = wanted_lines(interpreter)
    interpreter.path = embedding_program()
    report, _ = run_judge(interpreter)
    agrees(interpreter, report, wanted)
    for site in through(report, "strings", "python"):
        names = native_names(site)
        check("embedding_loop" in names and "main" in names, "native frames %r" % names)


def test_unknown_version_is_said_once_and_native_stacks_stay():
    interpreter = Interpreter("sid-3.15")
    equal(interpreter.version[:2], (3, 15), "version")
    report, lines = run_judge(interpreter)
    said = [line for line in lines if "CPython 3.15" in line]
    equal(len(said), 1, "lines on 3.15 in %r" % lines)
    equal([site for site in report.all_sites if python_frames(site)], [], "sites with Python frames")
    whole = [site for site in report.all_sites if site["class"] == "malloc" and reaches_root(site)]
    check(whole, "no native stack that reaches its root")


# ---- C code under Python lines ---------------------------------------------------------------------------------

def extension_module():
    headers = need("/usr/include/python3.11/Python.h", "no headers of CPython 3.11: python3-dev")
    return library("extension.c", "-I" + os.path.dirname(headers))


def extensions(way, *args):
    target = Interpreter("debian").start("extensions.py", way, *args)
    return measure(target).no_losses()


def kept_under(report, mark, alloc_class):
    """(blocks, bytes) alive whose innermost Python line is marked."""
    line = line_of(os.path.join(PROGRAMS, "extensions.py"), mark)
    sites = [site for site in report.all_sites if site["class"] == alloc_class and
             [frame[2] for frame in python_frames(site)[:1]] == [line] and site["live_blocks"]]
    return sites, (sum(s["live_blocks"] for s in sites), sum(s["live_bytes"] for s in sites))


def test_blocks_of_an_extension_module():
    report = extensions("module", os.path.dirname(extension_module()))
    sites, kept = kept_under(report, "module", "malloc")
    equal(kept, (211, 211 * 1009), "kept by extension.keep()")
    equal({tuple(innermost_callee(site)) for site in sites}, {("extension_keep", "keep")}, "callees")
    _, kept = kept_under(report, "object", "python")
    equal(kept[0], 223, "objects kept by extension.keep_object()")
    check(223 * (307 + 33) <= kept[1] <= 223 * (307 + 40), "%d bytes of them" % kept[1])


def test_blocks_of_a_library_called_by_ctypes():
    sites, kept = kept_under(extensions("ctypes", extension_module()), "ctypes", "malloc")
    equal(kept, (227, 227 * 1013), "kept by extension_keep()")
    for site in sites:
        equal(innermost_callee(site)[0], "extension_keep", "callee")


def test_arrays_of_numpy():
    if run([need("/usr/bin/python3"), "-c", "import numpy"]).returncode:
        raise Skip("numpy is not installed: apt-get install python3-numpy")
    report = extensions("numpy")
    for mark, count, size_bytes in (("empty", 101, 4099 * 8), ("zeros", 103, 5003 * 8),
                                    ("sum", 107, 4099 * 8)):
        _, kept = kept_under(report, mark, "malloc")
        check(kept[0] >= count and count * size_bytes <= kept[1] <= count * size_bytes * 1.01,
              "%s: %r blocks and bytes, want %d of %d" % (mark, kept, count, size_bytes))


def test_rows_of_sqlite():
    _, kept = kept_under(extensions("sqlite"), "insert", "malloc")
    check(499 * 1000 < kept[1] < 499 * 1500, "%r blocks and bytes, want about 499 * 1000" % (kept,))
