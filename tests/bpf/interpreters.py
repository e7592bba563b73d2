# SPDX-License-Identifier: GPL-2.0-only
"""The CPythons that the tests run on: Debian's of this machine and of other suites, and pyenv's.

every()          names of all that are wanted, whether they are here or not
Interpreter(name).start("judge.py", ...)   a Target that runs a program of tests/python

    debian                    /usr/bin/python3
    pyenv-3.6 .. pyenv-3.14   the newest of each minor in $PYENV_ROOT or $HOME/.pyenv
    bullseye, trixie, sid     python3 of these suites, unpacked once into BUILD/cache/python-SUITE
    sid-3.15                  python3.15 of sid

What is not here raises Skip.
"""
import glob
import os
import re
import shutil
import subprocess

from harness import BUILD, ROOT, Skip, Target, check, need, on_cleanup, run, scratch_dir

PROGRAMS = os.path.join(ROOT, "tests", "python")
PYENV = os.environ.get("PYENV_ROOT") or os.path.join(os.path.expanduser("~"), ".pyenv")
SUITES = ("bullseye", "trixie", "sid")  # 3.9, 3.13, 3.14: built with PGO and LTO, as Debian does
MINORS = range(6, 15)
LONG = os.environ.get("SEEP_LONG") == "1"

# of the tests' own environment nothing may change what an interpreter does
ENVIRONMENT = {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
UNWANTED = ("PYTHONMALLOC", "PYTHONTRACEMALLOC", "PYTHONDEVMODE", "PYTHONPATH", "PYTHONHOME")


def every():
    return ["debian"] + ["pyenv-3.%d" % minor for minor in MINORS] + list(SUITES)


def identifier(name):
    """As part of a test's name."""
    return re.sub(r"\W", "_", name)


# ---- roots of other suites ------------------------------------------------------------------------

def suite_root(suite):
    """A directory with the suite's python3, libc and not much else: tests/roots.sh."""
    command = "cache=%s; . %s/tests/roots.sh; python_root %s" % (
        os.path.join(BUILD, "cache"), ROOT, suite)
    try:
        result = run([need("bash"), "-c", command], timeout=110)
    except subprocess.TimeoutExpired:
        raise Skip("the mirror gave no root of %s in time" % suite) from None
    if result.returncode:
        raise Skip("no root of %s: mmdebstrap or the mirror refused: %s/cache/python-%s.log" % (
            suite, BUILD, suite))
    return result.stdout.strip()


# ---- one interpreter ------------------------------------------------------------------------------

def pyenv_path(minor):
    found = glob.glob(os.path.join(PYENV, "versions", "3.%s.*" % minor, "bin", "python3"))
    if not found:
        raise Skip("no CPython 3.%s in %s/versions" % (minor, PYENV))
    return max(found, key=lambda path: [int(n) for n in re.findall(r"\d+", path.split("/")[-3])])


class Interpreter:
    def __init__(self, name):
        self.name = name
        self.root = None
        suite = name.split("-")[0]
        if name == "debian":
            self.path = need("/usr/bin/python3")
        elif suite in SUITES:
            self.root = suite_root(suite)
            self.path = "/usr/bin/python" + (name.split("-")[1] if "-" in name else "3")
            need(self.root + self.path)
        else:
            self.path = pyenv_path(name.split(".")[-1])
        self.version = self._version()

    def _version(self):
        result = run(self.command("-c", "import sys; print('%d %d %d' % sys.version_info[:3])"))
        check(result.returncode == 0, "%s does not run: %s" % (self.path, result.stderr))
        return tuple(int(n) for n in result.stdout.split())

    def command(self, *args):
        prefix = ["chroot", self.root] if self.root else []
        return prefix + [self.path, *args]

    def place(self, path):
        """Make a file or directory visible to the interpreter; returns where it sees it."""
        if not self.root:
            return path
        inside = os.path.join("/tmp", os.path.basename(path))
        outside = self.root + inside
        if os.path.isdir(path):
            shutil.rmtree(outside, True)
            shutil.copytree(path, outside)
            on_cleanup(shutil.rmtree, outside, True)
        else:
            shutil.copy(path, outside)
        return inside

    def start(self, program, *args, env=None, options=(), **more):
        """A program of tests/python as a Target."""
        where = program if os.path.isabs(program) else os.path.join(self.place(PROGRAMS), program)
        argv = self.command(*options, where, *args)
        environment = dict(ENVIRONMENT, **(env or {}))
        for name in UNWANTED:
            if name not in environment:
                os.environ.pop(name, None)
        return Target(need(argv[0]), *argv[1:], env=environment, **more)


# ---- compiled helpers -----------------------------------------------------------------------------

def library(source, *options):
    """A shared library of tests/python without the C library, fit for every root."""
    path = os.path.join(scratch_dir(), os.path.basename(source).replace(".c", ".so"))
    result = run([need("gcc"), "-O2", "-g", "-fomit-frame-pointer", "-Wall", "-Wextra", "-shared",
                  "-fPIC", *options, "-o", path, os.path.join(PROGRAMS, source)])
    check(result.returncode == 0, "gcc: %s" % result.stderr)
    return path
