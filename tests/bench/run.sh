#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# run.sh BUILD [SECTION...] - print the bench's table (sections: 'python', 'report', and see bench.c). The
# measured programs get a C library, a dynamic linker and a Python of their own: probes are put on
# files, and nobody else's may be on these.
set -eu
build=$1
shift
here=$(dirname "$0")
if [ "$(id -u)" != 0 ]; then
	echo "bench: needs root" >&2
	exit 77
fi
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# Prints "NAME=HOME", or nothing if there is no such Python.
copy_python() { # NAME PYTHON
	local file home
	[ -x "$2" ] || return 0
	file=$(readlink -f "$2")
	home=$("$2" -c 'import sys; print(sys.base_prefix)')
	mkdir "$dir/$1"
	cp "$file" "$dir/$1/python3"
	cp $(ldd "$file" | awk '/lib(c|python[0-9.]*)\.so/ { print $3 }') "$dir/$1/"
	echo "$1=$home"
}

bench_native() {
	local libc linker
	libc=$(ldd "$build/bench/pairs" | awk '/libc\.so/ { print $3 }')
	linker=$(ldd "$build/bench/pairs" | awk '/ld-linux/ { print $1 }')
	cp "$build/bench/pairs" "$libc" "$dir/"
	cp "$linker" "$dir/ld.so"
	"$build/bench/bench" "$dir" "$build/seep" "$@"
}

# Debian's, in which the compiler inlined the allocator, and another one in which it did not.
bench_python() {
	local pythons version
	pythons=$(copy_python debian /usr/bin/python3)
	for version in 3.13.0 3.12.1 3.11.7; do
		[ -x "$HOME/.pyenv/versions/$version/bin/python3" ] || continue
		pythons="$pythons $(copy_python "pyenv-$version" "$HOME/.pyenv/versions/$version/bin/python3")"
		break
	done
	cp "$here/worker.py" "$here/web.py" "$dir/"
	"$build/bench/python" "$dir" $pythons
}

native=
python=
report=
for section in "$@"; do
	case $section in
	python) python=1 ;;
	report) report=1 ;;
	*) native="$native $section" ;;
	esac
done
[ -n "$python$report" ] && [ -z "$native" ] || bench_native $native
[ -z "$python" ] && [ $# != 0 ] || bench_python
[ -z "$report" ] && [ $# != 0 ] || "$build/bench/report" "$dir" "$build/seep"
