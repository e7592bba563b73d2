#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# run.sh BUILD SECONDS - runs each fuzzer of BUILD for SECONDS, two at a time, from seeds made of
# what the machine has. A crash, a leak or a time-out of one input fails it; the input is kept.
set -u
build=$1 seconds=$2
seeds=$build/seeds
mkdir -p "$seeds"/{elf,eh_frame,insn,maps,python,recording} "$build/crashes"

# the smallest few binaries, this process' maps, a recording made by the tests if there is one
find /usr/bin /usr/lib/x86_64-linux-gnu -maxdepth 1 -type f -size -24k 2>/dev/null | head -n 40 |
	while read -r file; do cp "$file" "$seeds/elf/"; done
cp /proc/self/maps "$seeds/maps/maps"
cp /proc/self/smaps "$seeds/maps/smaps"
for recording in "${TMPDIR:-/tmp}"/*.seep "$build"/../*.seep; do
	[ -f "$recording" ] && cp "$recording" "$seeds/recording/"
done

run_one()
{
	local fuzzer=$1 name log
	name=$(basename "$fuzzer")
	log=$build/$name.log
	if "$fuzzer" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
		-artifact_prefix="$build/crashes/$name-" "$seeds/${name#fuzz_}" >"$log" 2>&1; then
		printf 'ok   %-18s %s runs\n' "$name" \
			"$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")"
	else
		printf 'FAIL %s\n' "$name"
		grep -E 'ERROR|SUMMARY|runtime error|Test unit written' "$log" | head -n 5
	fi
}

results=$build/results
: >"$results"
for fuzzer in "$build"/fuzz_*; do
	[ -x "$fuzzer" ] && [ -f "$fuzzer" ] || continue
	while [ "$(jobs -rp | wc -l)" -ge 2 ]; do wait -n; done
	run_one "$fuzzer" >>"$results" &
done
wait
cat "$results"
failed=$(grep -c '^FAIL' "$results")
echo "$(grep -c '^ok' "$results") passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
