#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# run.sh BUILD [SECTION...] - print the bench's table (sections: see bench.c). The measured program
# gets a C library and a dynamic linker of its own: probes are put on files, and nobody else's may be
# on these.
set -eu
build=$1
shift
if [ "$(id -u)" != 0 ]; then
	echo "bench: needs root" >&2
	exit 77
fi
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
libc=$(ldd "$build/bench/pairs" | awk '/libc\.so/ { print $3 }')
linker=$(ldd "$build/bench/pairs" | awk '/ld-linux/ { print $1 }')
cp "$build/bench/pairs" "$libc" "$dir/"
cp "$linker" "$dir/ld.so"
"$build/bench/bench" "$dir" "$build/seep" "$@"
