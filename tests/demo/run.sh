#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# run.sh BUILD - the demonstration: a small shop on tornado that leaks in Python and in C, under load,
# recorded from outside.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "${1:?usage: tests/demo/run.sh BUILD}" && pwd)
seep=$build/seep
dir=$build/demo
python=/usr/bin/python3
server='' visitors=''

# Ends what was started here, by its id.
cleanup() {
	trap - EXIT INT TERM
	for pid in $visitors $server; do
		kill "$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	done
}
trap cleanup EXIT
trap 'exit 130' INT TERM

say() { printf '\n== %s\n' "$*"; }
fail() { echo "demo: $*" >&2; exit 1; }

[ -x "$seep" ] || fail "'$seep' is missing: run make first"
[ "$(id -u)" = 0 ] || fail "probes need root: sudo make demo"
"$python" -c 'import tornado' 2>/dev/null ||
	fail "tornado is missing: apt-get install python3-tornado"
mkdir -p "$dir"
cd "$dir"

rm -f port access.log
"$python" -B "$here/shop.py" access.log >port &
server=$!
for _ in $(seq 300); do
	[ -s port ] && break
	sleep 0.1
done
[ -s port ] || fail "shop.py did not start"
"$python" -B "$here/visitors.py" "$(cat port)" 120 & # to the end of the recording, and no longer
visitors=$!
say "A shop on tornado, Debian's python3 and OpenSSL, all stripped: process $server, 100 requests/s."
echo "   Its memory grows: by a cache of pages that will fill, a log buffer, baskets, OpenSSL's contexts."

say "Watching it from outside for 20 s; it is not restarted, changed or stopped:"
echo "   seep record -p $server -d 20s -i 1s -o demo.seep"
"$seep" record -f -p "$server" -d 20s -i 1s -o demo.seep >demo.txt

say "Who keeps the memory? What will go on growing comes before what is merely large:"
echo "   seep report -n 3 demo.seep"
echo
"$seep" report -n 3 demo.seep
say "By size alone, as tracemalloc would tell it, the page cache is in front; it has filled:"
echo "   seep report --by line -n 3 demo.seep"
"$seep" report --by line -n 3 demo.seep | sed '1,/^$/d'
"$seep" report --format folded -o demo.folded demo.seep

say "Written: $dir/demo.seep (the recording) and demo.folded (stacks for flame graphs)"
echo "   Next:  $seep report -o demo.html $dir/demo.seep"
echo "          (opens in any browser: timeline, flame graph, each stack's curve)"
echo "          $seep report --by culprit $dir/demo.seep"
echo "          flamegraph.pl --colors=mem --countname=bytes $dir/demo.folded > demo.svg"
echo "          sudo $seep record -p PID -d 60s      on a process of your own"
