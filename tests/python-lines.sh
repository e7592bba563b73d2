#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# python-lines.sh [BUILD] - lines of instructions as src/python/lines.c finds them, against those
# that each interpreter here finds in its own tables (co_lines, dis.findlinestarts), for the code
# of its standard library: Debian's, those in $HOME/.pyenv, and those in roots of other Debian
# suites that other tests have left in BUILD/cache. At most SECONDS_EACH (default 8; 30 take in all of it). Says
# SKIP for minor versions of which there is none. Needs no root.
set -u
cd "$(dirname "$0")/.." || exit 1
build=${1:-build}
seconds=${SECONDS_EACH:-8}
compare=$build/tests/pylines
passed=0 failed=0 skipped=0
declare -A seen

mkdir -p "$build/tests"
${CC:-gcc} -std=gnu11 -D_GNU_SOURCE -O1 -g -fsanitize=address,undefined \
	-fno-sanitize-recover=undefined -Isrc -Iinclude -o "$compare" tests/tools/pylines.c \
	src/python/lines.c || exit 1

check() { # TITLE COMMAND...: an interpreter
	local title=$1 version result
	shift
	version=$("$@" -ISBc 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null)
	case $version in
	3.[6-9].* | 3.1[0-4].*) ;;
	*) # another version, or it does not start
		echo "SKIP $title: ${version:-$1 does not run}"
		skipped=$((skipped + 1))
		return
		;;
	esac
	seen[${version%.*}]=1
	if result=$(set -o pipefail; timeout $((seconds * 20)) nice "$@" -ISBW ignore \
		tests/tools/pylines.py "$seconds" | "$compare"); then
		echo "ok   $title ($version): $result"
		passed=$((passed + 1))
	else
		echo "FAIL $title ($version): $result"
		failed=$((failed + 1))
	fi
}

check_root() { # DIRECTORY: a Debian root, its own libc and library
	local root loader python
	root=$(readlink -f "$1")
	for loader in "$root"/{usr/,}lib/x86_64-linux-gnu/ld-{linux-x86-64.so.2,2.*.so}; do
		[ ! -x "$loader" ] || break
	done
	for python in "$root"/usr/bin/python3.[0-9] "$root"/usr/bin/python3.[0-9][0-9]; do
		[ -x "$python" ] || continue
		check "${root##*/}" "$loader" --library-path \
			"$root/lib/x86_64-linux-gnu:$root/usr/lib/x86_64-linux-gnu" "$python"
	done
}

check "Debian's" /usr/bin/python3
for python in "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.*/bin/python3; do
	[ -x "$python" ] && check pyenv "$python"
done
for root in "$build"/cache/*; do
	[ -d "$root/usr/bin" ] && check_root "$root"
done
for minor in 6 7 8 9 10 11 12 13 14; do
	[ -n "${seen[3.$minor]-}" ] || { echo "SKIP no CPython 3.$minor here"; skipped=$((skipped + 1)); }
done

echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
