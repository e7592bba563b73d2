#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Runs the given cmocka programs one after the other; ends with "N passed, N failed, N skipped".
passed=0 failed=0 skipped=0
for test in "$@"; do
	out=$("$test" 2>&1) || true
	p=$(grep -c '^\[       OK \]' <<<"$out")
	f=$(grep -c '^\[  FAILED  \] [a-z_0-9]*$' <<<"$out")
	s=$(grep -c '^\[  SKIPPED \] [a-z_0-9]*$' <<<"$out")
	# a program that crashed (sanitizer, signal) or ran nothing has failed
	if ! grep -q '^\[==========\] .* run\.' <<<"$out" || [ $((p + f + s)) = 0 ]; then f=$((f + 1)); fi
	[ "$f" = 0 ] || printf '%s\n' "$out"
	[ "$s" = 0 ] || grep -i 'skip' <<<"$out"
	printf '%-28s %3d passed %3d failed %3d skipped\n' "$(basename "$test")" "$p" "$f" "$s"
	passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
