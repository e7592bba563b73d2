#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# python-detect.sh [BUILD] - every CPython that is here, seen from outside: its version, and the
# frames of its threads as tests/targets/frames.py prints them from inside (names, files, lines,
# instructions, code objects). Debian's, those in $HOME/.pyenv/versions, those of other
# Debian suites (roots fetched once into BUILD/cache from the mirror that apt uses here), venvs,
# renamed and deleted ones, programs that embed libpython, other mount namespaces. For 3.6 to 3.9
# gdb tells the native frames that must lie in the code of the evaluation loop. What is not there is
# skipped. Roots need root.
set -u
cd "$(dirname "$0")/.." || exit 1
build=${1:-build}
cache=$build/cache
tool=$build/tests/pydetect
failed=0 passed=0 skipped=0
. tests/roots.sh
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
script=$work/frames.py
pid=

ok() {
	echo "ok $*"
	passed=$((passed + 1))
}

fail() {
	echo "FAIL $*"
	failed=$((failed + 1))
}

skip() {
	echo "skip $*"
	skipped=$((skipped + 1))
}

build_tool() {
	mkdir -p "$build/tests" "$cache"
	${CC:-gcc} -std=gnu11 -D_GNU_SOURCE -O1 -g -Isrc -Iinclude -o "$tool" tests/tools/pydetect.c \
		"$build/libseep.a" -ldw -lelf -lZydis -liberty -llzma -lz -lm
}

# ---- one process ---------------------------------------------------------------------------------

start() { # COMMAND...: its standard input is descriptor 9, its output $work/out
	rm -f "$work/in"
	mkfifo "$work/in"
	: >"$work/out"
	"$@" <"$work/in" >"$work/out" 2>"$work/err" &
	pid=$!
	exec 9>"$work/in"
}

wait_for() { # WORD that the process prints; fails if it exits or takes two minutes
	local i
	for ((i = 0; i < 2400; i++)); do
		grep -q "^$1" "$work/out" && return
		[ -d "/proc/$pid" ] || return 1
		sleep 0.05
	done
	return 1
}

stop() { # 0 if the process ended well by itself
	exec 9>&-
	wait "$pid"
}

threads() {
	sed -n 's/^thread //p' "$work/out"
}

# What differs between what the process printed and what was seen of it; nothing if all is well.
compare() {
	# the innermost instruction of each thread goes on
	awk '/^thread/ { first = 1 } /^frame/ { if (first) $5 = "-"; first = 0 }
		!/^(version|path|state|reason|slot|eval) / { print }' "$work/seen" >"$work/frames"
	grep -E '^(thread|frame) ' "$work/out" | diff - "$work/frames" | head -5
	[ "$(threads | wc -l)" = 2 ] || echo "not two threads"
	[ "$(sed -n 's/^version //p' "$work/out")" = \
		"$(sed -n 's/^version \([^ ]*\) .*/\1/p' "$work/seen")" ] ||
		grep '^version' "$work/out" "$work/seen"
}

# Native frames of each thread with a pc in the ranges, innermost thread first, as gdb unwinds them.
native_frames() { # [ROOT]: of the process
	local exe pc start length count
	exe=$(readlink "/proc/$pid/exe")
	gdb -nx -batch ${1:+-ex "set sysroot $1"} "${exe}" -p "$pid" \
		-ex 'thread apply all bt -frame-info location-and-address' 2>/dev/null |
		grep -oE '^(Thread|#[0-9]+ +0x[0-9a-f]+ in (\?\?|_PyEval_EvalFrameDefault))' |
		sed 's/^#[0-9]* *//' >"$work/native"
	while read -r pc _; do
		[ "$pc" = Thread ] && { echo "${count:-}"; count=0; continue; }
		while read -r _ start length; do
			((pc >= start && pc < start + length)) && count=$((count + 1))
		done < <(grep '^eval ' "$work/seen")
	done <"$work/native"
	echo "${count:-}"
}

python_frames() {
	awk '/^thread/ { if (count) print count; count = 0 } /^frame/ { count++ }
		END { print count }' "$work/out" | sort
}

check_native() { # NAME [ROOT]: each Python frame of 3.6-3.9 has one native frame
	local found
	command -v gdb >/dev/null || { skip "$1, native frames: there is no gdb"; return; }
	found=$(native_frames "${2:-}" | grep . | sort)
	if [ "$found" = "$(python_frames)" ]; then
		ok "$1, native frames:" $found
	else
		fail "$1, native frames:" $found "but Python has" $(python_frames)
	fi
}

# NAME ROOT|"" COMMAND...: seen as it says itself. $also: a line that must be seen, too.
frames() {
	local name=$1 root=$2 wrong
	shift 2
	start "$@"
	if wait_for ready; then
		"$tool" "$pid" $(threads) >"$work/seen" 2>&1
		wrong=$(grep -v '^state initialized ' "$work/seen" | grep '^state')$(compare)
		[ -z "${also:-}" ] || grep -q "$also" "$work/seen" || wrong+="no '$also'"
		[ -z "$wrong" ] || wrong+=" $(grep '^reason' "$work/seen")"
	else
		wrong="did not start: $(tail -1 "$work/err")"
	fi
	if [ -z "$wrong" ]; then ok "$name"; else fail "$name: $wrong"; fi
	if [ -z "$wrong" ] && grep -q '^eval ' "$work/seen"; then check_native "$name" "$root"; fi
	stop || fail "$name: harmed: $(tail -1 "$work/err")"
}

# NAME VERSION REASON COMMAND...: found, with this reason
refused() {
	local name=$1 version=$2 reason=$3
	shift 3
	start "$@"
	if ! wait_for ready; then
		fail "$name: did not start: $(tail -1 "$work/err")"
	elif "$tool" "$pid" $(threads) >"$work/seen" && grep -q "^version $version" "$work/seen" &&
		grep -qxF "reason $reason" "$work/seen"; then
		ok "$name: $reason"
	else
		fail "$name: $(tr '\n' ' ' <"$work/seen")"
	fi
	stop || fail "$name: harmed"
}

# NAME COMMAND...: detected before it begins, its key found later
late() {
	local name=$1 feeder wrong
	shift
	start "$@"
	if wait_for before; then
		rm -f "$work/threads"
		mkfifo "$work/threads"
		: >"$work/seen" # of the test before
		"$tool" "$pid" - <"$work/threads" >"$work/seen" 2>&1 &
		feeder=$!
		exec 8>"$work/threads"
		for ((i = 0; i < 1200; i++)); do
			grep -q '^slot' "$work/seen" && break
			sleep 0.05
		done
		echo >&9
		wait_for ready
		threads >&8
		exec 8>&-
		wait $feeder
		wrong=$(grep -v '^state waiting ' "$work/seen" | grep '^state')$(compare)
	else
		wrong="did not start: $(tail -1 "$work/err")"
	fi
	if [ -z "$wrong" ]; then ok "$name"; else fail "$name: $wrong"; fi
	stop || fail "$name: harmed"
}

# ---- the matrix ----------------------------------------------------------------------------------

# PREFIX OUTPUT FLAGS...: tests/targets/embed.c linked with its libpython
build_embed() {
	local prefix=$1 output=$2 config libraries
	shift 2
	config=$(ls "$prefix"/bin/python3.*-config 2>/dev/null | grep -v 'm-config' | head -1)
	[ -n "$config" ] || return 1
	# --embed is of 3.8 on; before, --ldflags says it all
	libraries=$("$config" --embed --ldflags 2>/dev/null) || libraries=$("$config" --ldflags)
	${CC:-gcc} -O1 "$@" $("$config" --includes) -o "$output" tests/targets/embed.c \
		-Wl,-rpath,"$("$config" --prefix)/lib" $libraries -lpthread >"$work/embed.log" 2>&1
}

embedded() { # NAME PREFIX
	if ! build_embed "$2" "$work/embed" || ! build_embed "$2" "$work/embed-fixed" -no-pie -fno-pic
	then
		skip "$1, embedded: no libpython to link with"
		return
	fi
	frames "$1, embedded" "" "$work/embed" "$script"
	also="slot indirect" frames "$1, embedded, 37 keys before" "" "$work/embed" "$script" keys
	frames "$1, embedded at a fixed address" "" "$work/embed-fixed" "$script" copies
	late "$1, embedded, seen before it begins" "$work/embed" "$script" late
}

subinterpreter() { # NAME PYTHON: there are two, but the one that runs is the main one
	if ! "$2" -c 'import _xxsubinterpreters' 2>/dev/null &&
		! "$2" -c 'import _interpreters' 2>/dev/null; then
		skip "$1, two interpreters: no module for it"
	elif "$2" -c 'import sys; sys.exit(sys.version_info < (3, 12))'; then
		frames "$1, two interpreters" "" "$2" "$script" subinterpreter
	else
		also="slot .* current" frames "$1, two interpreters" "" "$2" "$script" subinterpreter
	fi
}

machine() {
	local python=/usr/bin/python3 real libpython
	[ -x $python ] || { skip "Debian's python3: not installed"; return; }
	real=$(readlink -f $python)
	frames "Debian's python3" "" $python "$script"
	frames "python3 -X dev" "" env PYTHONMALLOC=debug $python -X dev "$script"
	subinterpreter "Debian's python3" $python
	if $python -m venv --without-pip "$work/venv" 2>/dev/null; then
		frames "a venv" "" "$work/venv/bin/python" "$script"
	else
		skip "a venv: python3-venv is not installed"
	fi
	cp "$real" "$work/worker"
	frames "a renamed python3" "" "$work/worker" "$script"
	libpython=$(ls /usr/lib/x86_64-linux-gnu/libpython3.*.so.1.0 2>/dev/null | head -1)
	if [ -n "$libpython" ]; then
		sed "1i import ctypes; ctypes.CDLL('$libpython')" "$script" >"$work/both.py"
		also="^path $real" frames "python3 that loads libpython as well" "" $python \
			"$work/both.py"
	else
		skip "python3 that loads libpython as well: no libpython"
	fi
	embedded "Debian's libpython" /usr
}

deleted() { # the file of a running interpreter is removed
	local real
	real=$(readlink -f /usr/bin/python3)
	cp "$real" "$work/gone" || return
	start "$work/gone" "$script"
	wait_for ready
	rm "$work/gone"
	if "$tool" "$pid" $(threads) >"$work/seen" 2>&1 && [ -z "$(compare)" ]; then
		ok "a deleted python3"
	elif [ "$(id -u)" != 0 ]; then
		skip "a deleted python3: only root can open its file"
	else
		fail "a deleted python3: $(compare)"
	fi
	stop
}

pyenv() {
	local version name
	for version in "$HOME"/.pyenv/versions/3.*; do
		[ -x "$version/bin/python3" ] || { skip "pyenv: none"; continue; }
		name=${version##*/}
		case $name in
		*t)
			refused "pyenv $name" "${name%t}" "CPython ${name%t} is built without the GIL \
(free-threaded): native stacks only" "$version/bin/python3" "$script"
			;;
		*)
			frames "pyenv $name" "" "$version/bin/python3" "$script"
			subinterpreter "pyenv $name" "$version/bin/python3"
			embedded "pyenv $name" "$version"
			;;
		esac
	done
	version=$(ls -d "$HOME"/.pyenv/versions/2.7* 2>/dev/null | head -1)
	if [ -n "$version" ]; then
		refused "CPython 2.7" "${version##*/}" "CPython 2.7 is not supported: native stacks only" \
			"$version/bin/python2.7" -c 'import os; os.write(1, "ready\n"); os.read(0, 1)'
	else
		skip "CPython 2.7: not installed"
	fi
}

# A root of bookworm with a debug build as well.
debug_root() {
	local root=$cache/python-bookworm
	if [ ! -e "$root/.complete" ]; then
		command -v mmdebstrap >/dev/null && make_root bookworm "$root" \
			base-files,libc6,dash,coreutils,python3-minimal,python3-dbg || return 1
		touch "$root/.complete"
	fi
	(cd "$root" && pwd)
}

other_suite() { # SUITE FUNCTION: that prints its root
	local root python version
	[ "$(id -u)" = 0 ] || { skip "$1: roots need root"; return; }
	root=$("$2" "$1") || { skip "$1: $(tail -1 "$cache/python-$1.log" 2>&1)"; return; }
	cp "$script" "$root/frames.py"
	for python in "$root"/usr/bin/python3.[0-9]*; do
		python=${python##*/}
		case $python in
		python3.15)
			refused "$1's $python" 3.15 "CPython 3.15 is not known to this version of seep: \
native stacks only" chroot "$root" "/usr/bin/$python" /frames.py
			;;
		python3.*-dbg | python3.*d)
			version=$(chroot "$root" "/usr/bin/$python" -c 'import sys; print("%d.%d.%d" %
sys.version_info[:3])')
			refused "$1's $python" "$version" \
				"CPython $version is a debug build: native stacks only" \
				chroot "$root" "/usr/bin/$python" /frames.py
			;;
		*-config) ;;
		*)
			frames "$1's $python" "$root" chroot "$root" "/usr/bin/$python" /frames.py
			cp "$root/usr/bin/$python" "$root/usr/bin/worker"
			frames "$1's $python, renamed" "$root" chroot "$root" /usr/bin/worker /frames.py
			mkdir -p "$work/mount"
			frames "$1's $python in a mount namespace" "$root" unshare -m sh -c \
				"mount --bind '$root' '$work/mount' && exec chroot '$work/mount' \
				/usr/bin/$python /frames.py"
			;;
		esac
	done
}

not_python() {
	start sh -c 'echo ready; read -r _; true'
	wait_for ready
	if [ "$("$tool" "$pid")" = none ]; then ok "a shell is none"; else fail "a shell is one"; fi
	stop
	if command -v pypy3 >/dev/null; then
		start pypy3 "$script"
		wait_for ready
		if [ "$("$tool" "$pid")" = none ]; then ok "PyPy is none"; else fail "PyPy is one"; fi
		stop
	else
		skip "PyPy: not installed"
	fi
}

build_tool || exit 1
cp tests/targets/frames.py "$script"
machine
deleted
pyenv
for suite in $python_suites; do
	other_suite "$suite" python_root
done
other_suite bookworm debug_root
not_python

echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
