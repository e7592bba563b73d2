#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""
run.py BUILD - what a report writes for other viewers, read by these viewers themselves.

  pprof       go tool pprof -raw, -top and -diff_base
  speedscope  its own JSON schema, from npm
  DHAT        valgrind's dh_view.js, run by node (dhat.js)
  OpenMetrics promtool check metrics, and the parser of Prometheus' Python client
  folded      flamegraph.pl, as Debian has it in libdevel-nytprof-perl

Each is compared with seep's own JSON of the same recording, to the byte. Recordings are those of
the unit tests. Programs that are not installed are taken out of Debian's packages into BUILD/cache
without installing these; a reader that cannot be had is said to be SKIPped. Needs no root.
"""

import collections
import json
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
BUILD = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else "build")
CACHE = os.path.join(BUILD, "cache", "viewers")
WORK = os.path.join(BUILD, "viewers")
SEEP = os.path.join(BUILD, "seep")
SPEEDSCOPE = "speedscope@1.25.0"
RECORDINGS = ("demo", "sampled", "python", "hostile")
DIFFERENCE = "difference"  # of two moments of one of them
ENDINGS = ("json", "pb.gz", "speedscope.json", "dhat.json", "om", "folded")

counts = collections.Counter()


class Skip(Exception):
    pass


def run(*command, stdin=None, **more):
    """Output of a command that must succeed."""
    result = subprocess.run(command, stdin=stdin, capture_output=True, text=True, **more)
    assert result.returncode == 0, f"{' '.join(command)}: {result.returncode}\n{result.stderr[-2000:]}"
    return result.stdout


def path_of(name, ending):
    return os.path.join(WORK, f"{name}.{ending}")


def debian_file(package, path):
    """A file of a package: where it is installed, or else taken out of the package."""
    unpacked = os.path.join(CACHE, package)
    for found in (path, unpacked + path):
        if os.path.exists(found):
            return found
    os.makedirs(unpacked, exist_ok=True)
    try:
        try:
            run("apt-get", "-qq", "download", package, cwd=unpacked, timeout=200)
        except AssertionError:  # the list of packages may be older than they are
            run("apt-get", "-qq", "update", timeout=200)
            run("apt-get", "-qq", "download", package, cwd=unpacked, timeout=200)
        archive = [name for name in os.listdir(unpacked) if name.endswith(".deb")][0]
        run("dpkg-deb", "-x", os.path.join(unpacked, archive), unpacked)
        os.unlink(os.path.join(unpacked, archive))
    except (AssertionError, OSError, IndexError, subprocess.TimeoutExpired) as error:
        raise Skip(f"no {os.path.basename(path)}: {package} cannot be had ({str(error)[:200]})")
    assert os.path.exists(unpacked + path), f"{package} holds no {path}"
    return unpacked + path


def program(name):
    for folder in os.environ["PATH"].split(":") + ["/usr/bin", "/usr/local/bin"]:
        if os.access(os.path.join(folder, name), os.X_OK):
            return os.path.join(folder, name)
    raise Skip(f"{name} is not installed")


def report(name, ending):
    with open(path_of(name, ending)) as file:
        return json.load(file)


def total(name, key):
    return sum(site[key] for site in report(name, "json")["sites"])


def equal(seen, expected, what):
    assert seen == expected, f"{what}: {seen!r}, expected {expected!r}"


# ---- pprof ---------------------------------------------------------------------------------------

PPROF_VALUES = ("alloc_blocks", "alloc_bytes", "growth_blocks", "growth_bytes", "live_blocks",
                "live_bytes")
PPROF_TYPES = ("alloc_objects", "alloc_space", "growth_objects", "growth_space", "inuse_objects",
               "inuse_space")


def pprof(*arguments):
    return run(program("go"), "tool", "pprof", *arguments,
               env=dict(os.environ, PPROF_BINARY_PATH=WORK, HOME=WORK, GOFLAGS="", GO111MODULE="off"))


def pprof_samples(text):
    """Of -raw: (values, number of locations) of each sample, sorted."""
    samples = re.findall(r"^ *((?:-?\d+ +){5}-?\d+): ([\d ]*)$", text, re.M)
    return sorted((tuple(int(value) for value in values.split()), len(locations.split()))
                  for values, locations in samples)


def locations_of(site):
    """Frames that pprof shows as one location are inlined into each other."""
    frames = site["frames"]
    together = sum(frame["inlined"] and (frame["module"], frame["offset"]) ==
                   (frames[i + 1]["module"], frames[i + 1]["offset"])
                   for i, frame in enumerate(frames[:-1]))
    return max(len(frames), 1) - together + (site["truncated"] and len(frames) > 1)


def test_pprof_raw(name):
    text = pprof("-raw", path_of(name, "pb.gz"))
    expected = sorted((tuple(site[key] for key in PPROF_VALUES), locations_of(site))
                      for site in report(name, "json")["sites"])
    equal(pprof_samples(text), expected, "samples")
    shown = "growth_space" if name == DIFFERENCE else "inuse_space"
    assert f"{shown}/bytes[dflt]" in text, text[:500]


def test_pprof_labels(name):
    text = pprof("-raw", path_of(name, "pb.gz"))
    sites = report(name, "json")["sites"]
    for key in ("pid", "class", "change" if name == DIFFERENCE else "verdict"):
        seen = collections.Counter(re.findall(rf"\b{key}:\[(\w+)\]", text))
        equal(seen, collections.Counter(str(site[key]) for site in sites), key)


def test_pprof_merged(name):
    """No label has more than there is."""
    path = path_of(name, "merged.pb.gz")
    run(SEEP, "report", "--merge-processes", "-o", path, path_of(name, "seep"))
    tags = pprof("-tags", "-unit=B", path)
    live = total(name, "live_bytes")
    totals = dict(re.findall(r"^ *(\w+): Total ([\d.]+)B", tags, re.M))
    equal(float(totals["class"]), float(live), "class")
    assert all(float(value) <= live for value in totals.values()), totals


def flat_values(text):
    """Of -top: what each function has by itself, without those that have nothing."""
    rows = re.findall(r"^ *(-?\d+)B? +-?[\d.]+% +-?[\d.]+% +-?\d+B? +-?[\d.]+%(?:  (.*))?$", text, re.M)
    flat = collections.Counter()
    for value, function in rows:
        flat[function.replace(" (inline)", "")] += int(value)
    return {function: value for function, value in flat.items() if value}


def leaf_values(sites, key):
    flat = collections.Counter()
    for site in sites:
        flat[site["frames"][0]["function"]] += site[key]
    return {function: value for function, value in flat.items() if value}


def flat_equal(name, seen, expected, what):
    """Hostile names are cleaned, which JSON does in another way; there is one a site."""
    if name == "hostile":
        seen, expected = sorted(seen.values()), sorted(expected.values())
    equal(seen, expected, what)


def pprof_top(kind, *arguments):
    return flat_values(pprof("-top", "-unit=B", "-nodecount=1000", "-nodefraction=0", "-edgefraction=0",
                             "-symbolize=none", f"-sample_index={kind}", *arguments))


def test_pprof_top(name):
    sites = report(name, "json")["sites"]
    for kind, key in zip(PPROF_TYPES, PPROF_VALUES):
        flat_equal(name, pprof_top(kind, path_of(name, "pb.gz")), leaf_values(sites, key), kind)


def test_pprof_diff_base(name):
    """The base holds the first two sites, so the others are the difference."""
    base = path_of(name, "base.pb.gz")
    run(SEEP, "report", "--native", "-n", "2", "-o", base, path_of(name, "seep"))
    seen = pprof_top("inuse_space", f"-diff_base={base}", path_of(name, "pb.gz"))
    flat_equal(name, seen, leaf_values(report(name, "json")["sites"][2:], "live_bytes"), "difference")


def test_pprof_comments(name):
    text = pprof("-comments", path_of(name, "pb.gz"))
    for process in report(name, "json")["processes"]:
        assert f"(pid {process['pid']})" in text, text
    for loss, count in report(name, "json")["losses"].items():
        assert re.search(rf"^lost: {count} ", text, re.M), f"{loss}: {text}"


# ---- speedscope ----------------------------------------------------------------------------------


def speedscope_schema():
    folder = os.path.join(CACHE, "speedscope")
    path = os.path.join(folder, "package", "dist", "release", "file-format-schema.json")
    if not os.path.exists(path):
        os.makedirs(folder, exist_ok=True)
        try:
            archive = run(program("npm"), "pack", "--silent", SPEEDSCOPE, cwd=folder,
                          timeout=120).split()[-1]
        except (AssertionError, subprocess.TimeoutExpired) as error:
            raise Skip(f"npm cannot fetch {SPEEDSCOPE} ({str(error)[:200]})")
        run("tar", "xzf", archive, cwd=folder)
        os.unlink(os.path.join(folder, archive))
    with open(path) as file:
        return json.load(file)


def test_speedscope_schema(name):
    try:
        import jsonschema
    except ImportError:
        raise Skip("python3-jsonschema is not installed")
    schema = speedscope_schema()
    data = report(name, "speedscope.json")
    jsonschema.validate(data, schema)
    data["profiles"][0]["unit"] = "byte"  # so that we know that it looks
    try:
        jsonschema.validate(data, schema)
    except jsonschema.ValidationError:
        return
    raise AssertionError("the schema accepts anything")


def test_speedscope_values(name):
    data = report(name, "speedscope.json")
    sites = report(name, "json")["sites"]
    profiles = {profile["name"]: profile for profile in data["profiles"]}
    second, gone = (" in the second", "vanished") if name == DIFFERENCE else ("", "shrunk")
    for key, face in (("growth_bytes", "growth"), ("live_bytes", "live" + second),
                      ("alloc_bytes", "allocated" + second), ("growth_blocks", "growth in blocks"),
                      ("live_blocks", "live blocks" + second),
                      ("alloc_blocks", "allocated blocks" + second)):
        expected = [site[key] for site in sites if site[key] > 0]
        equal(profiles.get(face, {}).get("weights", []), expected, face)
    shrunk = [-site["growth_bytes"] for site in sites if site["growth_bytes"] < 0]
    equal(profiles.get(gone, {}).get("weights", []), shrunk, gone)
    for profile in data["profiles"]:
        equal(profile["unit"], "none" if "blocks" in profile["name"] else "bytes", "unit")
        equal(profile["endValue"], sum(profile["weights"]), "endValue")
        equal(len(profile["samples"]), len(profile["weights"]), "samples")
        for sample in profile["samples"]:
            assert sample and all(0 <= frame < len(data["shared"]["frames"]) for frame in sample)


# ---- DHAT ----------------------------------------------------------------------------------------


def test_dhat(name):
    viewer = debian_file("valgrind", "/usr/libexec/valgrind/dh_view.js")
    seen = json.loads(run(program("node"), os.path.join(HERE, "dhat.js"), viewer,
                          path_of(name, "dhat.json")))
    assert seen["drawn"], "the viewer shows no tree"
    equal(sum(seen["leaves"]), seen["total_bytes"], "leaves")
    if name == DIFFERENCE:
        grown = [site for site in report(name, "json")["sites"] if site["growth_bytes"] > 0]
        equal(seen["total_bytes"], sum(site["growth_bytes"] for site in grown), "growth")
        equal(seen["total_blocks"], sum(site["growth_blocks"] for site in grown), "blocks")
        return
    for key, value in (("total_bytes", "alloc_bytes"), ("total_blocks", "alloc_blocks"),
                       ("end_bytes", "live_bytes"), ("end_blocks", "live_blocks")):
        equal(seen[key], total(name, value), key)
    assert seen["peak_bytes"] >= seen["end_bytes"], "the peak is below the end"


# ---- OpenMetrics ---------------------------------------------------------------------------------


def test_promtool(name):
    promtool = debian_file("prometheus", "/usr/bin/promtool")
    with open(path_of(name, "om")) as file:
        run(promtool, "check", "metrics", stdin=file)


def test_openmetrics_values(name):
    try:
        from prometheus_client.openmetrics import parser
    except ImportError:
        raise Skip("python3-prometheus-client is not installed")
    sums = collections.Counter()
    with open(path_of(name, "om")) as file:
        for family in parser.text_string_to_metric_families(file.read()):
            for sample in family.samples:
                sums[sample.name] += sample.value
                sums[sample.name, sample.labels.get("pid"), sample.labels.get("class")] += sample.value
    for metric, key in (("live", "live"), ("growth", "growth"), ("allocated", "alloc")):
        for unit in ("bytes", "blocks"):
            equal(sums[f"seep_{metric}_{unit}"], total(name, f"{key}_{unit}"), metric)
    for process in report(name, "json")["processes"]:
        equal(sums["seep_resident_bytes", str(process["pid"]), None], process["end_rss_bytes"], "rss")
        for class_, figures in process["classes"].items():
            equal(sums["seep_growth_bytes", str(process["pid"]), class_], figures["growth_bytes"],
                  f"{process['pid']} {class_}")
    equal(sums["seep_losses"], sum(report(name, "json")["losses"].values()), "losses")
    equal(sums["seep_sites"], len(report(name, "json")["sites"]), "sites")


# ---- folded --------------------------------------------------------------------------------------


def flamegraph(path, *options):
    script = debian_file("libdevel-nytprof-perl", "/usr/share/perl5/Devel/NYTProf/flamegraph.pl")
    return run(program("perl"), script, "--minwidth=0", "--countname=bytes", *options, path)


def all_frame(svg):
    return int(re.search(r"<title>all \(([\d,]+) bytes", svg).group(1).replace(",", ""))


def test_flamegraph(name):
    sites = report(name, "json")["sites"]
    grown = sum(site["growth_bytes"] for site in sites if site["growth_bytes"] > 0)
    equal(all_frame(flamegraph(path_of(name, "folded"))), grown, "growth")


def test_flamegraph_diff(name):
    sites = report(name, "json")["sites"]
    path = path_of(name, "diff.folded")
    svg = flamegraph(path)
    equal(all_frame(svg), total(name, "live_bytes"), "live")
    assert re.search(r"<title>.*; [+-][\d.]+%\)", svg), "no frame differs"
    with open(path) as file:
        columns = [tuple(int(word) for word in line.split()[-2:]) for line in file]
    expected = [(site["live_bytes"] - site["growth_bytes"], site["live_bytes"]) for site in sites]
    equal(columns, [pair for pair in expected if any(pair)], "columns")


# ---- the command line ----------------------------------------------------------------------------


def refused(name, *options):
    """The error of a report that must not be written."""
    result = subprocess.run([SEEP, "report", *options, path_of(name, "seep")], capture_output=True,
                            text=True)
    assert result.returncode in (1, 2) and not result.stdout, f"{options}: {result}"
    assert result.stderr.count("\n") == 1, result.stderr
    return result.stderr


def test_what_is_left_out_is_said(name):
    """In the metrics and in pprof's comments, so that sums can be trusted."""
    metrics = path_of(name, "filtered.om")
    samples = path_of(name, "filtered.pb.gz")
    with open(path_of(name, "filter"), "w") as file:
        file.write("leak:*\n")
    for path in metrics, samples:
        run(SEEP, "report", "--suppressions", path_of(name, "filter"), "-o", path, path_of(name, "seep"))
    with open(metrics) as file:
        text = file.read()
    left_out = re.search(r'^seep_left_out_live_bytes{by="suppression"} (\d+)$', text, re.M)
    shown = re.findall(r"^seep_live_bytes{.*} (\d+)$", text, re.M)
    assert int(left_out.group(1)) > 0, text
    equal(int(left_out.group(1)) + sum(map(int, shown)), total(name, "live_bytes"), "live bytes")
    assert "suppressed: " in pprof("-comments", samples)


def test_what_makes_no_sense_is_refused(name):
    assert "sums of all sites" in refused(name, "--format", "openmetrics", "-n", "3")
    assert "sums of all sites" in refused(name, "-o", path_of(name, "om"), "--merge-processes")
    assert "No space left" in refused(name, "--format", "pprof", "-o", "/dev/full")
    assert "cannot create" in refused(name, "-o", "/nowhere/x.pb.gz")
    terminal, other = os.openpty()
    result = subprocess.run([SEEP, "report", "--format", "pprof", path_of(name, "seep")],
                            stdout=other, stderr=subprocess.PIPE, text=True)
    os.close(terminal)
    os.close(other)
    equal(result.returncode, 2, "status")
    assert "not for terminals" in result.stderr, result.stderr


# ---- all of it -----------------------------------------------------------------------------------


def write_all():
    os.makedirs(WORK, exist_ok=True)
    os.makedirs(CACHE, exist_ok=True)
    run("make", "-s", f"BUILD={BUILD}", os.path.join(BUILD, "tools", "recordings"), cwd=TOP)
    run(os.path.join(BUILD, "tools", "recordings"), WORK)
    for name in RECORDINGS:
        for ending in ENDINGS:
            run(SEEP, "report", "--native", "-o", path_of(name, ending), path_of(name, "seep"))
        run(SEEP, "report", "--native", "--format", "folded", "--value", "diff", "-o",
            path_of(name, "diff.folded"), path_of(name, "seep"))
    moments = path_of("python", "seep") + "@20s", path_of("python", "seep")
    for ending in ENDINGS:
        run(SEEP, "diff", "--native", "-o", path_of(DIFFERENCE, ending), *moments)
    run(SEEP, "diff", "--native", "--format", "folded", "--value", "diff", "-o",
        path_of(DIFFERENCE, "diff.folded"), *moments)


def check(test, name):
    try:
        test(name)
        counts["passed"] += 1
    except Skip as reason:
        print(f"SKIP {test.__name__[5:]} {name}: {reason}")
        counts["skipped"] += 1
    except Exception as error:
        print(f"FAIL {test.__name__[5:]} {name}: {type(error).__name__}: {str(error)[:3000]}")
        counts["failed"] += 1


def main():
    write_all()
    tests = [test for test in globals().values() if getattr(test, "__name__", "").startswith("test_")]
    of_recordings = (test_pprof_diff_base, test_pprof_merged, test_what_is_left_out_is_said,
                     test_what_makes_no_sense_is_refused)
    for test in tests:
        before = counts["failed"] + counts["skipped"]
        for name in RECORDINGS + (DIFFERENCE,):
            if name != DIFFERENCE or test not in of_recordings:
                check(test, name)
        if counts["failed"] + counts["skipped"] == before:
            print(f"ok   {test.__name__[5:]}")
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    return counts["failed"] != 0


sys.exit(main())
