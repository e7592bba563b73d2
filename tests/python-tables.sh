#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# python-tables.sh [BUILD] - allocator tables of real interpreters: Debian's python3, those below
# $HOME/.pyenv/versions, and Debian's of other suites (tests/roots.sh, kept in BUILD/cache). Needs
# root. What seep finds without symbols is compared with .symtab where there is one; each mode of
# PYTHONMALLOC and tracemalloc is recognised; a Python whose four threads allocate is redirected and
# restored many times, by two at once, and by one that is killed.
set -u
cd "$(dirname "$0")/.."
build=${1:-build}
cache=$build/cache
tool=$build/tests/pytables
work=$(mktemp -d)
locks=$work/locks
passed=0 failed=0 skipped=0
started=()
hold_to=
. tests/roots.sh

end_all() {
	local pid
	for pid in "${started[@]}"; do kill -9 "$pid" 2>/dev/null; done
	rm -rf "$work"
}
trap end_all EXIT

skip() {
	echo "skip $*"
	skipped=$((skipped + 1))
}

check() { # TITLE GOT WANTED
	if [ "$2" = "$3" ]; then
		echo "ok $1"
		passed=$((passed + 1))
	else
		echo "FAIL $1: '$2', wanted '$3'"
		failed=$((failed + 1))
	fi
}

build_tool() {
	mkdir -p "$build/tests"
	${CC:-gcc} -std=gnu11 -D_GNU_SOURCE -O1 -g -Isrc -Iinclude -o "$tool" \
		tests/tools/pytables.c "$build/libseep.a" -ldw -lelf -lZydis -liberty -llzma -lz \
		-lpthread
}

# ---- interpreters --------------------------------------------------------------------------------

cat >"$work/wait.py" <<'X'
import sys
if "late" in sys.argv:
    import tracemalloc
    tracemalloc.start()
print("ready", flush=True)
sys.stdin.readline()
X

# Four threads that allocate in the sizes of pymalloc and above, and know what must come out. Lines
# on standard input: "start", "stop" tracemalloc, "check"; the end of it ends the program.
cat >"$work/load.py" <<'X'
import sys, threading
running = True
wrong = []
rounds = [0] * 4

def work(number):
    while running:
        keep = []
        for i in range(97):
            keep.append((i, str(i) * 7, [i] * (i % 13), {i: bytes(i * 11)}))
        data = bytearray()
        for i in range(101):
            data += b"x" * i
        if sum(k[0] for k in keep) != 4656 or len(data) != 5050:
            wrong.append(number)
        if [k[1] for k in keep] != [str(i) * 7 for i in range(97)]:
            wrong.append(number)
        rounds[number] += 1

threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
for t in threads:
    t.start()
print("ready", flush=True)
for line in sys.stdin:
    if line == "start\n":
        import tracemalloc
        tracemalloc.start()
    elif line == "stop\n":
        tracemalloc.stop()
    print("done", flush=True)
running = False
for t in threads:
    t.join()
print("wrong" if wrong or not all(rounds) else "right", flush=True)
X

# Starts "$@ FILE ARGS" with pipes as fds 'to' and 'from' (variables), and its pid in 'pid'.
start_python() { # FILE ARGUMENT -- COMMAND...
	local file=$1 argument=$2
	shift 3
	rm -f "$work/in" "$work/out"
	mkfifo "$work/in" "$work/out"
	"$@" -c "$(cat "$file")" $argument <"$work/in" >"$work/out" 2>"$work/stderr" &
	pid=$!
	started+=("$pid")
	exec {to}>"$work/in" {from}<"$work/out"
	read -r -t 60 -u "$from" line && [ "$line" = ready ]
}

end_python() {
	exec {to}>&-
	line=
	read -r -t 60 -u "$from" line
	exec {from}<&-
	wait "$pid"
}

tell() { # LINE
	echo "$1" >&"$to"
	read -r -t 60 -u "$from" line
}

show() { "$tool" -d "$locks" show "$pid" >"$work/show" 2>&1; }
value() { sed -n "s/^$1 //p" "$work/show"; }

# ---- what is found -------------------------------------------------------------------------------

# Functions of .symtab by domain and call, as the tool prints them.
symbols() { # FILE
	nm "$1" 2>/dev/null | sed 's/^0*//; s/\.lto_priv\.[0-9]*$//' | awk '
	$3 ~ /^_Py(Object_|Mem_Raw)(Malloc|Calloc|Realloc|Free)$/ {
		call = tolower($3)
		sub(/^_py(object_|mem_raw)/, "", call)
		if ($3 ~ /Raw/) print "implementation raw_" call " " $1
		else print "implementation mem_" call " " $1 "\nimplementation obj_" call " " $1
	}' | sort
}

check_functions() { # TITLE
	local wanted
	wanted=$(symbols "$(readlink -f "/proc/$pid/root$(value python | cut -d' ' -f2-)")")
	if [ -n "$wanted" ]; then
		check "$1: functions are those of .symtab" \
			"$(grep '^implementation' "$work/show" | sort)" "$wanted"
	fi
	check "$1: probes" "$(grep -c '^point.* emulated' "$work/show")" 4
}

mode() { # TITLE WANTED ARGUMENT -- COMMAND...
	local title=$1 wanted=$2 argument=$3
	shift 4
	if start_python "$work/wait.py" "$argument" -- "$@"; then
		show
		check "$title" \
			"$(value mode) $(value way) $(value extra) $(value hook)" "$wanted"
	else
		check "$title: starts" "$(tail -1 "$work/stderr")" ""
	fi
	end_python 2>/dev/null
}

check_modes() { # TITLE INLINED MINOR COMMAND...
	local title=$1 inlined=$2 minor=$3 extra=24 way=entry debug_extra
	shift 3
	[ "$minor" -ge 8 ] || extra=32
	debug_extra=$extra
	[ "$inlined" = 0 ] || { way=redirect debug_extra=0; }
	mode "$title: PYTHONMALLOC=malloc" "malloc none 0 " "" -- env PYTHONMALLOC=malloc "$@"
	# "debug" alone is malloc behind checks in 3.6 (Programs/python.c sets malloc first)
	mode "$title: PYTHONMALLOC=pymalloc_debug" "debug entry $debug_extra " "" -- \
		env PYTHONMALLOC=pymalloc_debug "$@"
	mode "$title: PYTHONMALLOC=malloc_debug" "malloc none 0 " "" -- \
		env PYTHONMALLOC=malloc_debug "$@"
	mode "$title: -X tracemalloc" "hooked $way 0 tracemalloc" "" -- "$@" -X tracemalloc
	mode "$title: tracemalloc.start()" "hooked $way 0 tracemalloc" late -- "$@"
	mode "$title: tracemalloc in front of malloc" "malloc none 0 " "" -- \
		env PYTHONMALLOC=malloc "$@" -X tracemalloc
	[ "$inlined" = 1 ] || mode "$title: tracemalloc in front of debug" \
		"hooked entry $extra tracemalloc" "" -- env PYTHONMALLOC=pymalloc_debug "$@" \
		-X tracemalloc
	[ "$minor" -lt 13 ] || mode "$title: PYTHONMALLOC=mimalloc" "mimalloc entry 0 " "" -- \
		env PYTHONMALLOC=mimalloc "$@"
}

check_interpreter() { # TITLE INLINED COMMAND...
	local title=$1 inlined=$2 minor way=entry
	shift 2
	[ "$inlined" = 0 ] || way=redirect
	if ! start_python "$work/wait.py" "" -- "$@"; then
		skip "$title: does not run: $(tail -1 "$work/stderr")"
		return
	fi
	show
	check "$title: mode and way" "$(value mode) $(value way) $(value redirected)" \
		"pymalloc $way 0"
	check "$title: inlined" "$(value inlined)" "$inlined"
	check_functions "$title"
	minor=$(value python | sed 's/^3\.\([0-9]*\).*/\1/')
	end_python
	check_modes "$title" "$inlined" "$minor" "$@"
}

# ---- redirecting ---------------------------------------------------------------------------------

# Starts a holder: its pid in 'holder', its pipes in 'hold_to' and 'hold_from'.
hold() { # TITLE
	rm -f "$work/hold.in" "$work/hold.out"
	mkfifo "$work/hold.in" "$work/hold.out"
	(
		exec {to}>&-
		[ -z "$hold_to" ] || exec {hold_to}>&-
		exec "$tool" -d "$locks" hold "$pid"
	) <"$work/hold.in" >"$work/hold.out" 2>&1 &
	holder=$!
	started+=("$holder")
	exec {hold_to}>"$work/hold.in" {hold_from}<"$work/hold.out"
	read -r -t 60 -u "$hold_from" line
	check "$1" "$line" redirected
}

leave() { # TITLE WANTED
	exec {hold_to}>&-
	hold_to= line=
	read -r -t 60 -u "$hold_from" line
	exec {hold_from}<&-
	wait "$holder"
	check "$1" "$line" "$2"
}

redirected() { # TITLE WANTED
	show
	check "$1" "$(value redirected)" "$2"
}

check_killed() { # TITLE
	hold "$1: redirected by one that will be killed"
	kill -9 "$holder"
	wait "$holder" 2>/dev/null
	exec {hold_to}>&- {hold_from}<&-
	hold_to=
	redirected "$1: slots of a killed one stay" 1
	check "$1: the next start restores them" "$("$tool" -d "$locks" recover)" "recovered 1"
	redirected "$1: restored by the next start" 0
	check "$1: recovered once" "$("$tool" -d "$locks" recover)" "recovered 0"
}

check_two() { # TITLE
	local first first_to first_from
	hold "$1: first of two"
	first=$holder first_to=$hold_to first_from=$hold_from
	hold "$1: second of two"
	exec {first_to}>&-
	read -r -t 60 -u "$first_from" line
	exec {first_from}<&-
	wait "$first"
	check "$1: the first leaves the slots to the second" "$line" "restored 0"
	redirected "$1: still redirected for the second" 1
	check "$1: nothing to recover while it is in use" "$("$tool" -d "$locks" recover)" \
		"recovered 0"
	leave "$1: the second restores" "restored 8"
	redirected "$1: restored by the last" 0
}

check_tracemalloc() { # TITLE
	hold "$1: redirected before tracemalloc starts"
	tell start
	show
	check "$1: tracemalloc started while redirected" "$(value mode) $(value redirected)" \
		"hooked 1"
	leave "$1: what tracemalloc put aside is restored" "restored 8"
	show
	check "$1: tracemalloc with restored tables" "$(value mode) $(value redirected)" "hooked 0"
	hold "$1: what tracemalloc put aside is redirected"
	redirected "$1: redirected behind tracemalloc" 1
	tell stop
	show
	check "$1: tracemalloc stopped while redirected" "$(value mode) $(value redirected)" \
		"pymalloc 1"
	leave "$1: restored after tracemalloc" "restored 16"
	redirected "$1: nothing left after tracemalloc" 0
}

check_redirect() { # TITLE COMMAND...
	local title=$1
	shift
	start_python "$work/load.py" "" -- "$@" || { skip "$title: load does not run"; return; }
	check "$title: redirected and restored 200 times" \
		"$("$tool" -d "$locks" cycle "$pid" 200)" "cycles 200"
	check_killed "$title"
	check_two "$title"
	check_tracemalloc "$title"
	check "$title: no lock is left" "$(ls "$locks")" ""
	end_python
	check "$title: the program was not harmed" "$? $line" "0 right"
	start_python "$work/load.py" "" -- "$@"
	hold "$title: redirected when it ends"
	end_python
	check "$title: ends while redirected" "$? $line" "0 right"
	leave "$title: a process that is gone needs nothing" "restored 0"
	check "$title: no lock of a process that is gone" "$(ls "$locks")" ""
}

# ---- all of it -----------------------------------------------------------------------------------

if [ "$(id -u)" != 0 ]; then
	echo "skip all: needs root"
	exit 77
fi
build_tool || exit 1
while read -r python; do
	inlined=0
	[ "$python" != /usr/bin/python3 ] || inlined=1
	check_interpreter "$python" "$inlined" "$python"
	[ $inlined = 0 ] || check_redirect "$python" "$python"
done < <(machine_pythons)
for suite in $python_suites; do
	if root=$(python_root "$suite"); then
		check_interpreter "$suite" 1 chroot "$root" /usr/bin/env python3
		check_redirect "$suite" chroot "$root" /usr/bin/env python3
	else
		skip "$suite: no root: $(tail -1 "$cache/python-$suite.log" 2>/dev/null)"
	fi
done
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
