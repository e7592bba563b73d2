#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# run.sh BUILD - the demonstration: a small service that leaks, under load, recorded from outside.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
build=$(cd "${1:?usage: tests/demo/run.sh BUILD}" && pwd)
seep=$build/seep
dir=$build/demo
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

[ -x "$seep" ] || { echo "demo: '$seep' is missing: run make first" >&2; exit 1; }
[ "$(id -u)" = 0 ] || { echo "demo: probes need root: sudo make demo" >&2; exit 1; }
mkdir -p "$dir"
cd "$dir"

say "Building the service: HTTP sessions, a page cache, a log. Plain -O2, no frame pointers."
for program in sessiond visitors; do
	gcc -O2 -g -std=gnu11 -D_GNU_SOURCE -Wall -Wextra -o "$program" "$here/$program.c"
done

rm -f port
./sessiond access.log >port &
server=$!
for _ in 1 2 3 4 5 6 7 8 9 10; do
	[ -s port ] && break
	sleep 0.1
done
[ -s port ] || { echo "demo: sessiond did not start" >&2; exit 1; }
./visitors "$(cat port)" 26 &
visitors=$!
say "sessiond runs as process $server on 127.0.0.1:$(cat port), 1000 requests/s, some visitors hang up early."
echo "   Its memory grows: by a cache that will fill, a log buffer, open sessions - and a leak."

say "Watching it from outside for 20 s; it is not restarted, changed or stopped:"
echo "   seep record -p $server -d 20s -i 1s -o demo.seep"
"$seep" record -f -p "$server" -d 20s -i 1s -o demo.seep >demo.txt

say "Who keeps the memory? What will go on growing comes before what is merely large:"
echo "   seep report -n 3 demo.seep"
echo
"$seep" report -n 3 demo.seep
"$seep" report --format folded -o demo.folded demo.seep

say "Written: $dir/demo.seep (the recording) and demo.folded (stacks for flame graphs)"
echo "   Next:  $seep report --by function $dir/demo.seep"
echo "          flamegraph.pl --colors=mem --countname=bytes $dir/demo.folded > demo.svg"
echo "          sudo $seep record -p PID -d 60s      on a process of your own"
