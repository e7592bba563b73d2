# SPDX-License-Identifier: GPL-2.0-only
"""Services with one mistake each, under a bounded load, beside a larger cache that fills and churn: the
line that leaks is first. All are recorded at the same time; each test looks at its own."""
import os
import threading

from harness import Recorder, Skip, check, equal, run, seep
from interpreters import LONG, PROGRAMS, Interpreter
from python_sites import first_is, in_short, line_of, python_frames, through

SECONDS = 30 if LONG else 12

# key: interpreter, program
STORIES = {
    "load": ("debian", "story_load.py"),
    "coroutines": ("debian", "story_coroutines.py"),
    "streams": ("debian", "story_streams.py"),
    "ssl": ("debian", "story_ssl.py"),
    "threads": ("debian", "story_threads.py"),
    "true_threads": ("pyenv-3.7", "story_threads.py"),  # its own list; bullseye's as well
}
if LONG:
    STORIES.update({"%s_%s" % (story, name): (name, "story_%s.py" % story)
                    for story in ("load", "coroutines", "streams", "threads")
                    for name in ("pyenv-3.6", "pyenv-3.13", "bullseye", "trixie", "sid")})

_told = {}


def tell(key):
    """Record the story from its start on."""
    name, program = STORIES[key]
    interpreter = Interpreter(name)
    if program == "story_ssl.py" and run(interpreter.command("-c", "import tornado")).returncode:
        raise Skip("tornado is not installed: apt-get install python3-tornado")
    return record(interpreter, "enough", program, str(SECONDS))


def record(interpreter, word, program, *args, options=()):
    """The recording ends before the story does: that would be a time in which nothing grows."""
    target = interpreter.start(program, *args)
    recorder = Recorder("-p", target.pid, *options)
    target.send("go")
    said = target.expect(word)
    if word != "enough":
        target.expect("enough")
    report = recorder.stop()
    target.send("stop")
    equal(target.expect("done"), "", "what the service says at its end")
    report.said = said
    report.text = seep("report", report.path).stdout
    equal(target.quit(), 0, "exit status of the service")
    return report


def at_once(keys, function, results):
    """results[key] = function(key) or what it raised, for all keys at the same time."""
    def one(key):
        try:
            results[key] = function(key)
        except Exception as reason:  # pylint: disable=broad-except
            results[key] = reason

    threads = [threading.Thread(target=one, args=(key,)) for key in keys]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def result(results, key):
    if isinstance(results[key], Exception):
        raise results[key]
    return results[key]


def told(key):
    if key not in _told:
        group = list(STORIES)[:6]
        at_once(group if key in group else [key], tell, _told)
    return result(_told, key).no_losses()


def ends_first(report, function, source, alloc_class):
    """First in JSON and in the text, though the cache of look_up() is larger."""
    line = line_of(os.path.join(PROGRAMS, source), "leak")
    site = first_is(report, function, alloc_class, line)
    check(site["verdict"] in ("leak", "growing"), "verdict %r of %s" % (
        site["verdict"], in_short(site)))
    rows = report.text.splitlines()
    names = [number for number, row in enumerate(rows) if row.split()[:2] == ["#", "growth"]]
    first = rows[names[0] + 1] if names else report.text[:800]
    place = first.split()[-1].split("/")[-1].lstrip("\u2026")  # cut from the left where it is narrow
    check(place and ("%s:%d" % (source, line)).endswith(place), "first row: %r" % first)


def cache_is_larger(report, site):
    cache = sum(s["growth_bytes"] for s in through(report, "render_page"))
    check(cache > site["growth_bytes"], "the cache grew by %d, the leak by %d" % (
        cache, site["growth_bytes"]))
    for other in through(report, "render_page"):
        check(other["verdict"] not in ("leak", "growing") or not other["growth_bytes"],
              "the cache is called %r" % other["verdict"])


def test_list_of_a_module_extended_by_load():
    report = told("load")
    ends_first(report, "load", "story_load.py", "python")
    cache_is_larger(report, report.all_sites[0])


def test_coroutines_parked_on_a_dead_database():
    report = told("coroutines")
    ends_first(report, "measure", "story_coroutines.py", "python")
    cache_is_larger(report, report.all_sites[0])


def test_write_buffers_of_streams_after_a_lost_call_of_super():
    report = told("streams")
    ends_first(report, "write", "story_streams.py", "python")
    cache_is_larger(report, report.all_sites[0])
    frames = [name.split(".")[-1] for name, _, _ in python_frames(report.all_sites[0])]
    equal(frames[:2], ["write", "write"], "frames")


def test_openssl_objects_of_a_ctypes_call_under_tornado():
    report = told("ssl")
    ends_first(report, "strongest_cipher", "story_ssl.py", "malloc")
    cache_is_larger(report, report.all_sites[0])
    names = [name.split(".")[-1] for name, _, _ in python_frames(report.all_sites[0])]
    check("get" in names and "_execute" in names, "no handler of tornado in %r" % names)
    natives = [f["module"] or "" for f in report.all_sites[0]["frames"] if f["kind"] == "native"]
    check(any("libssl" in module for module in natives), "no libssl in %r" % natives)


def threads_list(key, source):
    """The first site is a part of the thread objects that process_request() makes."""
    report = told(key)
    frames = python_frames(report.all_sites[0])
    wanted = [path for name, path, _ in frames if name.split(".")[-1] == "process_request"]
    check(wanted and os.path.basename(wanted[0]) == source, "first is %s" %
          "\n".join(in_short(site) for site in report.all_sites[:3]))
    cache_is_larger(report, report.all_sites[0])
    culprit = report.json["culprits"][0]
    shown = [(c["function"], c["line"], round(c["share"], 2)) for c in report.json["culprits"]]
    # the line that makes the thread, or that calls the function which makes and starts it
    check(culprit["function"].split(".")[-1] in ("process_request", "_handle_request_noblock")
          and culprit["site_count"] >= 5,
          "the culprits are %r" % shown)


def test_threads_of_socketserver_as_its_own_list_keeps_them():
    threads_list("true_threads", "socketserver.py")


def test_threads_of_socketserver_kept_by_a_subclass():
    threads_list("threads", "story_threads.py")


if LONG:
    for _key, (_name, _program) in list(STORIES.items())[6:]:
        def _test(key=_key, program=_program):
            if "threads" in key:
                check(through(told(key), "process_request"), "no process_request")
                return
            report = told(key)
            frames = python_frames(report.all_sites[0])
            equal(frames[0][2], line_of(os.path.join(PROGRAMS, program), "leak"), "line first")
        globals()["test_story_%s" % _key.replace("-", "_").replace(".", "_")] = _test


# ---- workers of a pre-fork server ----------------------------------------------------------------------

_prefork = {}


def serve(way):
    report = record(Interpreter("debian"), "worker", "prefork.py", way, str(SECONDS),
                    options=["--children"])
    report.by_site = seep("report", "--by", "site", report.path).stdout
    return report


def prefork(way):
    """Both ways to fork, recorded at the same time."""
    if not _prefork:
        at_once(("fork", "multiprocessing"), serve, _prefork)
    return result(_prefork, way).no_losses()


def leaking_worker_is_first(way):
    report = prefork(way)
    worker = int(report.said)
    line = line_of(os.path.join(PROGRAMS, "prefork.py"), "leak")
    first_is(report, "remember", "python", line, pid=worker)
    equal({site["pid"] for site in through(report, "remember", "python")}, {worker},
          "processes that leak")
    caches = {site["pid"] for site in through(report, "render_page") if site["alloc_blocks"]}
    equal(len(caches), 3, "workers that fill a cache")
    equal(len(report.processes), 4, "processes")


def test_leaking_worker_of_a_server_that_forks():
    leaking_worker_is_first("fork")


def test_leaking_worker_of_multiprocessing():
    leaking_worker_is_first("multiprocessing")


def test_workers_are_merged_by_site():
    report = prefork("fork")
    rows = [row for row in report.by_site.splitlines() if "render_page" in row]
    check(rows, "no render_page in --by site:\n%s" % report.by_site)
