#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# run-all.sh [BUILD] - every test there is; the last line is "N passed, N failed, N skipped".
#
#   Three lanes run at the same time: native programs under BPF, Python under BPF (both mostly wait; root),
#   and what computes (unit tests under ASan and UBSan, interpreters, allocators, viewers, fuzzers for
#   FUZZ_SECONDS each: 60 by default with CI=true, else 10; 0 leaves them out). The first is shown as it
#   runs, the others when they are done.
set -u
cd "$(dirname "$0")/.." || exit 1
export BUILD=${1:-build}
export FUZZ_SECONDS=${FUZZ_SECONDS:-$([ "${CI:-}" = true ] && echo 60 || echo 10)}
# set by the make that runs us; the makes below are their own
unset MAKEFLAGS MAKELEVEL MFLAGS
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

# part NAME COMMAND...: run it, show it, note what its last counting line says; a command that
# fails (77: it skipped) without saying so, or that counts nothing, is one failure.
part()
{
	local name=$1 log status p f s
	shift
	log=$(mktemp "$logs/part.XXXXXX")
	printf '\n== %s\n' "$name"
	"$@" 2>&1 | tee "$log"
	status=${PIPESTATUS[0]}
	read -r p f s < <(sed -nE 's/^([0-9]+) passed, ([0-9]+) failed, ([0-9]+) skipped$/\1 \2 \3/p' \
		"$log" | tail -n 1)
	if [ -z "${p:-}" ]; then
		p=0 f=0 s=0
		if [ "$status" = 0 ]; then p=1; else f=1; fi
	elif [ "$status" != 0 ] && [ "$status" != 77 ] && [ "$f" = 0 ]; then
		f=1
	fi
	[ "$f" = 0 ] || echo "FAILED: $name"
	echo "$p $f $s $name" >>"$logs/counts"
}

native_lane()
{
	part "BPF tests" tests/run-bpf.sh '!python'
	part "seep top" tests/top.sh "$BUILD"
}

python_lane()
{
	part "BPF tests: Python" tests/run-bpf.sh python
}

computing_lane()
{
	part "layers" tests/layers.sh
	part "documentation" tests/docs.sh "$BUILD"
	part "JSON schema" /usr/bin/python3 -B tests/schema.py "$BUILD"
	part "unit tests" make --no-print-directory -j"$(nproc)" BUILD="$BUILD" unit
	part "viewers of other tools" tests/viewers/run.py "$BUILD"
	part "Python: lines" tests/python-lines.sh "$BUILD"
	part "Python: interpreters" tests/python-detect.sh "$BUILD"
	part "Python: allocator tables" tests/python-tables.sh "$BUILD"
	part "allocators" tests/allocators.sh
	part "HTML report" tests/html.sh "$BUILD"
	[ "$FUZZ_SECONDS" = 0 ] || part "fuzzers" make --no-print-directory BUILD="$BUILD" fuzz
}

# several want them, and only one may make them
cache=$BUILD/cache
. tests/roots.sh
for suite in $python_suites; do python_root "$suite" >/dev/null; done
tests/targets/build.sh "$BUILD/targets"

computing_lane >"$logs/computing" 2>&1 &
computing=$!
python_lane >"$logs/python" 2>&1 &
python=$!
native_lane
wait "$python"
cat "$logs/python"
wait "$computing"
cat "$logs/computing"

printf '\n'
awk '{ p += $1; f += $2; s += $3 }
	END { printf "%d passed, %d failed, %d skipped\n", p, f, s; exit f != 0 }' "$logs/counts"
