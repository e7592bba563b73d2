#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# build.sh OUT - builds the test programs by the "build:" lines in their top comments, where $CC, $CXX
# and $MUSL are the compilers below: optimized, no frame pointers.
# What is newer than its source stays. A compiler that is not installed is said and skipped; the
# tests that want its program then skip, too.
set -u
here=$(cd "$(dirname "$0")" && pwd)
OUT=${1:?usage: build.sh OUT}
mkdir -p "$OUT" && OUT=$(cd "$OUT" && pwd) || exit 1
failed=0
# shellcheck disable=SC2034 # used by the lines
CC="gcc -O2 -fomit-frame-pointer -Wall -Wextra"
# shellcheck disable=SC2034
CXX="g++ -O2 -fomit-frame-pointer -Wall -Wextra"
# shellcheck disable=SC2034
MUSL="musl-gcc -O2 -fomit-frame-pointer -fasynchronous-unwind-tables -Wall -Wextra"
for SRC in "$here"/*.c "$here"/*.cc; do
	while read -r line; do
		product=$(sed -n 's/.* -o \$OUT\/\([^ ]*\).*/\1/p' <<<"$line")
		[ "$OUT/$product" -nt "$SRC" ] && [ "$OUT/$product" -nt "$here/target.h" ] && continue
		compiler=${line%% *} compiler=${compiler#$}
		compiler=${!compiler%% *}
		if ! command -v "$compiler" >/dev/null; then
			echo "build.sh: $compiler is not installed: no $product" >&2
			continue
		fi
		line=${line//\$OUT/\"\$OUT\"}
		line=${line//\$SRC/\"\$SRC\"}
		eval "$line" || { rm -f "$OUT/$product"; failed=1; }
	done < <(sed -n 's/^ \* build: //p' "$SRC")
done
exit $failed
