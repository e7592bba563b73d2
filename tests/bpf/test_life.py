# SPDX-License-Identifier: GPL-2.0-only
"""Processes that fork, exec, exit, load libraries, and live elsewhere."""
import os
import re
import shutil
import signal
import subprocess
import time

from harness import (BUILD, Recorder, Report, Skip, Target, check,
                     complete_stacks, differing_code_bytes, direct_callers, equal, exactly,
                     measure, need, on_cleanup, run, scratch_dir, target_path, wait_until)
from test_exact import check_forms, check_news, check_tick

NONE = (0, 0)
LIBRARIES = "/usr/lib/x86_64-linux-gnu/"


def test_child_of_fork_is_followed_and_its_inherited_blocks_are_not_its_own():
    target = Target("life", "fork")
    recorder = Recorder("-p", target.pid, "--children")
    target.send("go")
    child = int(target.expect("child"))
    target.expect("done")
    report = recorder.stop().no_losses()
    exactly(report, "child_leaks", (223, 223 * 997), (223, 223 * 997), pid=child)
    exactly(report, "parent_keeps", (101, 101 * 103), (101, 101 * 103), pid=target.pid)
    for site in report.all_sites:
        check(site["live_bytes"] >= 0, "negative: %r" % site)
    complete_stacks(report, "child_leaks")


def test_child_of_fork_is_left_alone_without_children():
    target = Target("life", "fork")
    report = measure(target).no_losses()
    exactly(report, "child_leaks", NONE, NONE)
    exactly(report, "parent_keeps", (101, 101 * 103), (101, 101 * 103))


def test_children_that_live_briefly_are_counted():
    report = measure(Target("life", "forks"), "--children").no_losses()
    equal(report.total("brief_child")["alloc"], (31 * 7, 31 * 7 * 1013), "allocated by children")
    complete_stacks(report, "brief_child")


def test_exec_in_place_drops_the_old_heap_and_counts_the_new():
    target = Target("life", "exec")
    recorder = Recorder("-p", target.pid)
    target.send("go")
    target.expect("ready")
    recorder.wait_images(target.pid, 2)
    target.go()
    report = recorder.stop().no_losses()
    exactly(report, "new_image", (223, 223 * 997), (223, 223 * 997))
    equal(report.total("old_image")["live"], NONE, "alive of the old image")
    complete_stacks(report, "new_image")


def end_of_target(scenario):
    target = Target("life", scenario)
    recorder = Recorder("-p", target.pid)
    target.go()
    recorder.wait()
    report = Report(recorder.path).no_losses()
    equal(report.total("last_words")["alloc"], (1009, 1009 * 103), "allocated before the end")
    complete_stacks(report, "last_words")
    return target


def test_target_that_exits_ends_the_recording():
    equal(end_of_target("exit").quit(), 0, "exit status of the target")


def test_target_that_is_killed_ends_the_recording():
    equal(end_of_target("kill").quit(), -signal.SIGKILL, "exit status of the target")


def test_one_of_two_targets_may_exit():
    first, second = Target("life", "exit"), Target("sites", "tick")
    recorder = Recorder("-p", first.pid, "-p", second.pid)
    first.go()
    first.quit()
    second.go()
    report = recorder.stop().no_losses()
    equal(report.total("last_words", pid=first.pid)["alloc"], (1009, 1009 * 103), "first")
    exactly(report, "leak_mid", (503, 503 * 997), (503, 503 * 997), pid=second.pid)


def start_with_pid(pid, *args):
    """A target whose pid is 'pid', which is free."""
    for _ in range(20):
        try:
            with open("/proc/sys/kernel/ns_last_pid", "w") as last:
                last.write(str(pid - 1))
        except OSError as error:
            raise Skip("cannot choose pids: %s" % error) from None
        target = Target(*args, wait=False)
        if target.pid == pid:
            target.expect("ready")
            return target
        target.process.kill()
        target.process.wait()
    raise Skip("pid %d was not to be had" % pid)


def test_a_reused_pid_is_another_process():
    first, second = Target("life", "exit"), Target("threads", "cross")
    recorder = Recorder("-p", first.pid, "-p", second.pid)
    first.go()
    first.quit()
    time.sleep(0.3)
    impostor = start_with_pid(first.pid, "sites", "tick")
    impostor.go()
    second.go()
    report = recorder.stop().no_losses()
    exactly(report, "tick", NONE, NONE)
    equal(report.total("last_words", pid=first.pid)["alloc"], (1009, 1009 * 103), "first")
    exactly(report, "alloc_here", (10007, 10007 * 211), (101, 101 * 211), pid=second.pid)


def test_library_loaded_after_attach_is_unwound_and_named():
    target = Target("dlopen", target_path("plugin.so"))
    recorder = Recorder("-p", target.pid)
    target.go()
    # stacks of the first moments may end in the library: its table is not there yet
    wait_until(lambda: Report(recorder.path).sites("plugin_alloc"), "names in the library")
    target.go()
    report = recorder.stop().no_losses()
    exactly(report, "plugin_alloc", (422, 422 * 1009), (422, 422 * 1009))
    exactly(report, "run_plugin_later", (211, 211 * 1009), (211, 211 * 1009))
    complete_stacks(report, "run_plugin_later")
    equal(direct_callers(report.sites("run_plugin_later")), {"plugin_alloc"}, "direct callers")
    for site in report.sites("run_plugin_later"):
        names = [frame["function"] for frame in site["frames"]]
        at = names.index("plugin_alloc")
        equal(names[at:at + 4], ["plugin_alloc", "plugin_work", "run_plugin_later", "main"],
              "frames")


# ---- other allocators ---------------------------------------------------------------------------

def preloaded(library):
    path = library if os.path.isabs(library) else need(LIBRARIES + library)
    env = {"LD_PRELOAD": path}
    report = measure(Target("sites", "tick", env=env)).no_losses()
    check_tick(report)
    equal(direct_callers(report.sites("tick")), {"leaf_alloc"}, "direct callers")
    complete_stacks(report, "tick")
    check_news(measure(Target("news", env=env)).no_losses())
    report = measure(Target("threads", "grow", env=env)).no_losses()
    equal(report.total("grow")["live"], (4, 4 * 1024003), "grow: blocks and bytes alive")
    equal(report.total("main", "mmap")["live"], NONE, "the allocator's own mappings")


def test_preloaded_jemalloc():
    preloaded("libjemalloc.so.2")


def test_preloaded_tcmalloc():
    preloaded("libtcmalloc_minimal.so.4")


def test_preloaded_mimalloc():
    preloaded("libmimalloc.so.2")


class EverybodysProbe:
    """A uprobe of somebody else's, for all processes, at the malloc of a library."""
    TRACING = "/sys/kernel/tracing/"

    def __init__(self, library):
        if not os.path.exists(self.TRACING + "uprobe_events"):
            run(["mount", "-t", "tracefs", "none", self.TRACING])
        need(self.TRACING + "uprobe_events", "no tracefs with uprobes")
        symbols = run(["nm", "-D", "--defined-only", library]).stdout
        malloc = re.search(r"^([0-9a-f]+) T malloc(@|$)", symbols, re.MULTILINE)
        check(malloc, "no malloc in %s" % library)
        self.name = "seep%d/malloc" % os.getpid()
        self.write("uprobe_events", "p:%s %s:0x%s" % (self.name, library, malloc.group(1)))
        on_cleanup(self.write, "uprobe_events", "-:" + self.name)
        self.write("events/%s/enable" % self.name, "1")
        on_cleanup(self.write, "events/%s/enable" % self.name, "0")

    def write(self, name, line):
        file = os.open(self.TRACING + name, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(file, line.encode() + b"\n")
        finally:
            os.close(file)


def test_breakpoints_of_others_are_not_taken_for_code():
    own = scratch_dir()
    shutil.copy(need(LIBRARIES + "libc.so.6"), own)
    EverybodysProbe(own + "/libc.so.6")
    target = Target("sites", "tick", env={"LD_LIBRARY_PATH": own})
    check(differing_code_bytes(target.pid, "libc.so"), "the breakpoint is not in the target")
    report = measure(target).no_losses()
    check_tick(report)
    equal(direct_callers(report.sites("tick")), {"leaf_alloc"}, "direct callers")


def test_preloaded_unknown_allocator_that_begins_with_endbr64():
    path = target_path("libbump.so")
    report = measure(Target("sites", "tick", env={"LD_PRELOAD": path})).no_losses()
    check_tick(report)
    equal(direct_callers(report.sites("tick")), {"leaf_alloc"}, "direct callers")


def reaches_main(report, function):
    """musl has no call-frame information of its own: main is the last we can promise."""
    for site in report.sites(function):
        check("main" in [f["function"] for f in site["frames"]], "no main in %r" % site["frames"])


def test_musl():
    report = measure(Target("sites-musl", "tick")).no_losses()
    check_tick(report)
    equal(direct_callers(report.sites("tick")), {"leaf_alloc"}, "direct callers")
    reaches_main(report, "tick")


def test_musl_static():
    report = measure(Target("sites-musl-static", "tick")).no_losses()
    check_tick(report)
    reaches_main(report, "tick")


def test_musl_allocation_functions():
    check_forms(measure(Target("forms-musl")).no_losses(), False)


def test_musl_realloc_in_four_threads():
    report = measure(Target("threads-musl", "grow")).no_losses()
    equal(report.total("grow")["live"], (4, 4 * 1024003), "grow: blocks and bytes alive")


# ---- processes that live elsewhere ---------------------------------------------------------------

def bullseye_root():
    """A root with glibc 2.31 and its development files, unpacked once per build directory."""
    root = os.path.join(BUILD, "roots", "bullseye")
    if os.path.exists(os.path.join(root, ".complete")):
        return root
    mmdebstrap = need("mmdebstrap")
    mirror = "http://deb.debian.org/debian"
    with open("/etc/apt/sources.list.d/debian.sources") as sources:
        found = re.search(r"^URIs: (\S+/debian)/?$", sources.read(), re.M)
        mirror = found.group(1) if found else mirror
    shutil.rmtree(root, True)
    os.makedirs(os.path.dirname(root), exist_ok=True)
    result = run([mmdebstrap, "--variant=extract", "--aptopt=Acquire::Check-Valid-Until \"false\"",
                  "--include=base-files,libc6,libc6-dev", "bullseye", root, mirror], timeout=110)
    if result.returncode:
        shutil.rmtree(root, True)
        raise Skip("the mirror gave no bullseye root: %s" % result.stderr.strip()[-200:])
    with open(os.path.join(root, ".complete"), "w"):
        pass
    return root


def test_chroot_with_another_glibc():
    try:
        root = bullseye_root()
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Skip("no bullseye root: %s" % error) from None
    source = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                          "targets", "sites.c")
    libraries = root + "/usr/lib/x86_64-linux-gnu/"  # all of the old libc, nothing of ours
    result = run(["gcc", "-O2", "-fomit-frame-pointer", "-no-pie", "-nostdlib",
                  "-Wl,--allow-shlib-undefined", "-o", root + "/sites-old", libraries + "crt1.o",
                  libraries + "crti.o", source, root + "/lib/x86_64-linux-gnu/libc.so.6",
                  libraries + "libc_nonshared.a", "-lgcc", libraries + "crtn.o"])
    equal(result.returncode, 0, "gcc: %s" % result.stderr)
    target = Target("/sites-old", "tick", before_exec=lambda: (os.chroot(root), os.chdir("/")))
    report = measure(target).no_losses()
    check_tick(report)
    equal(direct_callers(report.sites("tick")), {"leaf_alloc"}, "direct callers")
    complete_stacks(report, "tick")


def test_program_in_another_mount_namespace():
    hidden = scratch_dir()
    target = Target(need("unshare"), "-m", "sh", "-c", "mount -t tmpfs none %s && cp %s %s/sites "
                    "&& exec %s/sites tick" % (hidden, target_path("sites"), hidden, hidden))
    check(not os.path.exists(hidden + "/sites"), "the file is not hidden")
    report = measure(target).no_losses()
    check_tick(report)
    complete_stacks(report, "tick")


def test_program_on_overlayfs():
    base = scratch_dir()
    for name in ("lower", "upper", "work", "merged"):
        os.mkdir(os.path.join(base, name))
    if run(["mount", "-t", "tmpfs", "none", base + "/upper"]).returncode:
        raise Skip("cannot mount a tmpfs")
    on_cleanup(run, ["umount", "-l", base + "/upper"])
    os.mkdir(base + "/upper/u")
    os.mkdir(base + "/upper/w")
    shutil.copy(target_path("sites-static"), base + "/lower/sites")
    mount = run(["mount", "-t", "overlay", "none", "-o", "lowerdir=%s/lower,upperdir=%s/upper/u,"
                 "workdir=%s/upper/w" % (base, base, base), base + "/merged"])
    if mount.returncode:
        raise Skip("cannot mount an overlay: %s" % mount.stderr.strip())
    on_cleanup(run, ["umount", "-l", base + "/merged"])
    report = measure(Target(base + "/merged/sites", "tick")).no_losses()
    check_tick(report)


def test_program_in_a_pid_namespace():
    outer = Target(need("unshare"), "-p", "-f", "--kill-child", target_path("sites"), "tick")
    with open("/proc/%d/task/%d/children" % (outer.pid, outer.pid)) as children:
        outer.pid = int(children.read().split()[0])
    report = measure(outer).no_losses()
    check_tick(report)
    equal(report.processes[0]["pid"], outer.pid, "pid")


def test_program_deleted_while_it_runs_keeps_its_names():
    path = scratch_dir() + "/sites"
    shutil.copy(target_path("sites"), path)
    target = Target(path, "tick")
    os.unlink(path)
    report = measure(target).no_losses()
    check_tick(report)
    complete_stacks(report, "tick")


def test_program_replaced_while_it_runs_keeps_its_names():
    path = scratch_dir() + "/sites"
    shutil.copy(target_path("sites"), path)
    target = Target(path, "tick")
    os.unlink(path)
    shutil.copy(target_path("ledger"), path)
    check_tick(measure(target).no_losses())


# ---- the end of seep itself ----------------------------------------------------------------------

def test_kill_of_seep_leaves_nothing_attached_and_a_readable_file():
    target = Target("sites", "tick")
    recorder = Recorder("-p", target.pid, "-i", "200ms")
    check(differing_code_bytes(target.pid, "libc.so.6") > 0, "no probe is visible while recording")
    target.go()
    recorder.wait_snapshots()
    recorder.process.kill()
    recorder.process.wait()
    wait_until(lambda: not differing_code_bytes(target.pid, "libc.so.6"), "libc as in its file")
    check_tick(Report(recorder.path).no_losses())
    equal(target.quit(), 0, "exit status of the target")


def test_stop_leaves_nothing_attached():
    target = Target("threads", "churn")
    recorder = Recorder("-p", target.pid)
    target.send("go")
    target.expect("churning")
    recorder.wait_snapshots()
    check(differing_code_bytes(target.pid, "libc.so.6") > 0, "no probe is visible while recording")
    recorder.stop().no_losses()
    equal(differing_code_bytes(target.pid, "libc.so.6"), 0, "changed bytes of libc")
    target.send("stop")
    target.expect("done")
    equal(target.quit(), 0, "exit status of the target")
