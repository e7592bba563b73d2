#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# run-all.sh [BUILD] - every test there is; the last line is "N passed, N failed, N skipped".
#
#   layers, unit tests (ASan, UBSan), BPF tests (root), allocators, fuzzers for FUZZ_SECONDS each
#   (default 60 with CI=true, else 10; 0 leaves them out)
set -u
cd "$(dirname "$0")/.." || exit 1
export BUILD=${1:-build}
export FUZZ_SECONDS=${FUZZ_SECONDS:-$([ "${CI:-}" = true ] && echo 60 || echo 10)}
# set by the make that runs us; the makes below are their own
unset MAKEFLAGS MAKELEVEL MFLAGS
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
passed=0 failed=0 skipped=0

# part NAME COMMAND...: run it, show it, add what its last counting line says; a command that
# fails (77: it skipped) without saying so, or that counts nothing, is one failure.
part()
{
	local name=$1 log=$logs/log status p f s
	shift
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
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
}

part "layers" tests/layers.sh
part "unit tests" make --no-print-directory -j"$(nproc)" BUILD="$BUILD" unit
part "BPF tests" tests/run-bpf.sh
part "documentation" tests/docs.sh "$BUILD"
[ ! -x tests/allocators.sh ] || part "allocators" tests/allocators.sh
[ "$FUZZ_SECONDS" = 0 ] || part "fuzzers" make --no-print-directory BUILD="$BUILD" fuzz

printf '\n%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" = 0 ]
