#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# run-bpf.sh [PATTERN] - builds the test programs and runs the tests of seep itself, as root.
# BUILD: the build directory (default build). Ends with "N passed, N failed, N skipped".
set -eu
cd "$(dirname "$0")/.."
export BUILD=${BUILD:-build} PYTHONDONTWRITEBYTECODE=1
if [ "$(id -u)" != 0 ]; then
	echo "skip: the BPF tests need root"
	echo "0 passed, 0 failed, 1 skipped"
	exit 77
fi
[ -x "$BUILD/seep" ] || { echo "run-bpf.sh: $BUILD/seep is not built" >&2; exit 1; }
python=/usr/bin/python3
[ -x $python ] || python=$(command -v python3)
tests/targets/build.sh "$BUILD/targets"
exec "$python" tests/bpf/run.py "$@"
