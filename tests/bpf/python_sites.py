# SPDX-License-Identifier: GPL-2.0-only
"""Questions about the Python frames of a Report's sites. A frame is (function, file, line)."""
import os

from harness import ROOT_FUNCTIONS, check, equal, is_allocator

THREAD_STARTS = ("_bootstrap", "Thread._bootstrap")


def python_frames(site):
    return [(f["function"], f["file"], f["line"]) for f in site["frames"] if f["kind"] == "python"]


def native_names(site):
    return [f["function"].split("@")[0] for f in site["frames"] if f["kind"] == "native"]


def through(report, function, alloc_class=None, pid=None, file=None):
    """Sites whose stack passes through the Python function (its last name, or qualified)."""
    found = []
    for site in report.all_sites:
        if alloc_class not in (None, site["class"]) or pid not in (None, site["pid"]):
            continue
        for name, path, _ in python_frames(site):
            if (name == function or name.endswith("." + function)) and \
                    (file is None or os.path.basename(path or "") == file):
                found.append(site)
                break
    return found


def kept_by_line(report, classes=("python", "malloc")):
    """{"file:line": [bytes, blocks]} of the innermost Python line, as tracemalloc counts."""
    lines = {}
    for site in report.all_sites:
        frames = python_frames(site)
        if site["class"] not in classes or not frames:
            continue
        entry = lines.setdefault("%s:%s" % frames[0][1:], [0, 0])
        entry[0] += site["live_bytes"]
        entry[1] += site["live_blocks"]
    return {line: entry for line, entry in lines.items() if entry != [0, 0]}


def class_sum(report, alloc_class, key):
    return sum(site[key] for site in report.all_sites if site["class"] == alloc_class)


def line_of(path, mark):
    """Number of the line of a source that ends with the comment '# LINE mark'."""
    with open(path) as source:
        lines = [n for n, text in enumerate(source, 1) if text.rstrip().endswith("# LINE " + mark)]
    check(len(lines) == 1, "%d lines are marked %r in %s" % (len(lines), mark, path))
    return lines[0]


def is_whole(site):
    """From <module> or the start of a thread in Python, to _start or clone."""
    frames = python_frames(site)
    if site["truncated"] or not frames:
        return False
    if frames[-1][0] not in THREAD_STARTS + ("<module>",):
        return False
    last = native_names(site)[-1:]
    return bool(last) and (last[0] in ROOT_FUNCTIONS or last[0].startswith(("libc", "python3")))


def share_whole(sites):
    total = sum(site["alloc_blocks"] for site in sites)
    return sum(s["alloc_blocks"] for s in sites if is_whole(s)) / total if total else 0.0


def in_short(site):
    return "%s %s blocks %d: %s" % (site["class"], site["verdict"], site["live_blocks"], " <- ".join(
        "%s:%s" % (f["function"], f["line"]) for f in site["frames"] if not f["internal"]))


def first_is(report, function, alloc_class=None, line=None, place=0, pid=None):
    """The site ranked first ('place' 0) has the function as its innermost Python frame."""
    check(len(report.all_sites) > place, "only %d sites" % len(report.all_sites))
    ranked = report.all_sites[place]
    frames = python_frames(ranked)
    top = "\n".join(in_short(site) for site in report.all_sites[:4])
    check(frames and any(name.split(".")[-1] == function for name, _, _ in frames[:1]),
          "want %s at rank %d, got:\n%s" % (function, place + 1, top))
    if line is not None:
        equal(frames[0][2], line, "line of %s" % function)
    if alloc_class:
        equal(ranked["class"], alloc_class, "class of %s" % function)
    if pid is not None:
        equal(ranked["pid"], pid, "process of %s" % function)
    return ranked


def innermost_callee(site):
    """Names of native frames between the allocator and the innermost Python frame."""
    names = []
    for frame in site["frames"]:
        if frame["kind"] == "python":
            break
        if not is_allocator(frame) and not frame["internal"]:
            names.append(frame["function"])
    return names
