#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""schema.py BUILD - JSON as it is written against doc/report.schema.json: the golden files, and reports
of a recording with hostile names in each shape. That the schema would notice is shown by documents made
wrong. Needs no root. The last line is "N passed, N failed, N skipped".
"""
import copy
import glob
import json
import os
import subprocess
import sys
import tempfile

import jsonschema

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "html"))
import recordings  # noqa: E402

counts = {"passed": 0, "failed": 0}
with open(os.path.join(ROOT, "doc", "report.schema.json"), encoding="utf-8") as schema_file:
    SCHEMA = json.load(schema_file)
jsonschema.Draft202012Validator.check_schema(SCHEMA)
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def check(name, good, why=""):
    counts["passed" if good else "failed"] += 1
    if not good:
        print("FAILED: %s %s" % (name, why))


def wrong(document):
    error = next(VALIDATOR.iter_errors(document), None)
    return error and "%s: %s" % ("/".join(map(str, error.absolute_path)), error.message[:200])


def check_document(name, text, *keys):
    document = json.loads(text)
    check(name, not wrong(document), wrong(document))
    missing = [key for key in keys if key not in document]
    check(name + ": keys", not missing, missing)
    return document


def report(seep, *arguments):
    return subprocess.run([seep, *arguments, "--format", "json"], check=True, capture_output=True).stdout


def children(value):
    """Every object in a document, once for each set of keys."""
    seen, rest = {}, [value]
    while rest:
        value = rest.pop()
        if isinstance(value, dict):
            seen.setdefault(tuple(value), value)
        if isinstance(value, (dict, list)):
            rest.extend(value.values() if isinstance(value, dict) else value)
    return seen


OPTIONAL = {"since", "diff", "filtered", "suppressed", "change"}
LOSSES = ("ring_full_stack",)  # of the recording; its keys are reasons, any may stand there


def check_mutations(document):
    """Without a key, with one more, with a value of another type, no object may pass."""
    for keys in children(document):
        for key in keys:
            broken = copy.deepcopy(document)
            value = children(broken)[keys]
            value[key] = {"of": "another type"} if not isinstance(value[key], dict) else []
            check("another type of '%s'" % key, wrong(broken))
            if key in OPTIONAL or keys == LOSSES:
                continue
            broken = copy.deepcopy(document)
            del children(broken)[keys][key]
            check("without '%s' in %s" % (key, keys[:3]), wrong(broken))
        broken = copy.deepcopy(document)
        if keys != LOSSES:
            children(broken)[keys]["unknown"] = 7
            check("an unknown key beside '%s'" % keys[0], wrong(broken))


def main():
    seep = os.path.join(sys.argv[1], "seep")
    for path in sorted(glob.glob(os.path.join(ROOT, "tests", "golden", "*.json"))):
        if os.path.basename(path).count(".") > 1:
            continue  # of another format
        with open(path, encoding="utf-8") as file:
            check_document(os.path.basename(path), file.read())
    with tempfile.TemporaryDirectory() as folder:
        service, patterns = os.path.join(folder, "service.seep"), os.path.join(folder, "patterns")
        recordings.service(service)
        with open(patterns, "w", encoding="utf-8") as file:
            file.write("# pages are kept\nleak:^render$\n")
        full = None
        for name, options, keys in (
                ("as recorded", (), ("culprits", "suppressed")),
                ("grouped", ("--by", "line"), ("culprits",)),
                ("by culprit", ("--by", "culprit"), ("culprits",)),
                ("by process", ("--by", "process"), ()),
                ("Python", ("--python",), ("culprits",)),
                ("merged", ("--merge-processes",), ()),
                ("filtered", ("--include", "/srv/*"), ("filtered",)),
                ("suppressed", ("--suppressions", patterns), ("suppressed",)),
                ("since a mark", ("--since", "mark1"), ("since",))):
            document = check_document(name, report(seep, "report", *options, service), *keys)
            full = full or document
            if name == "suppressed":
                check("what is suppressed", document["suppressed"]["sites"] == 1, document["suppressed"])
            if name == "merged":
                check("pids of a merged site", any(site.get("pids") == [811, 977] for site in document["sites"]))
        document = report(seep, "report", "--no-suppressions", service)
        check("no suppressions", "suppressed" not in json.loads(document))
        document = check_document("difference", report(seep, "diff", service + "@mark1", service + "@mark2"), "diff")
        check("changes", all("change" in site for site in document["sites"]))
        check_mutations(full)
    print("%d passed, %d failed, 0 skipped" % (counts["passed"], counts["failed"]))
    return counts["failed"] != 0


if __name__ == "__main__":
    sys.exit(main())
