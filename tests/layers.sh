#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# layers.sh [SRC] - a directory of src/ includes headers of itself and of stages to its left only.
# Headers without a directory (abi.h, seep.skel.h, schema.inc) and those of include/ and bpf/, which
# both sides of the kernel border share, belong to nobody. Ends with
# "N passed, N failed, N skipped", one for each directory.
cd "$(dirname "$0")/.." || exit 1
src=${1:-src}
order="base elf target unwind python probe profile export store tui cli"
passed=0 failed=0 left=""
known() { [[ " $order " == *" $1 "* ]]; }

for stage in $order; do
	left+=" $stage "
	[ -d "$src/$stage" ] || continue
	bad=0
	while IFS=: read -r file line text; do
		from=$(sed -nE 's|^[^"]*"(\.\./)*([a-z_0-9]+)/.*|\2|p' <<<"$text")
		known "$from" || continue
		[[ $left == *" $from "* ]] && continue
		echo "$file:$line: $stage includes $from, which is to its right: $text"
		bad=$((bad + 1))
	done < <(grep -rnE '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' "$src/$stage")
	if [ $bad = 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
done
for directory in "$src"/*/; do
	[ -d "$directory" ] || continue
	name=$(basename "$directory")
	if ls "$directory"*.[ch] >/dev/null 2>&1 && ! known "$name"; then
		echo "$directory: not one of the stages: $order"
		failed=$((failed + 1))
	fi
done
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
