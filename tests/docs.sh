#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# docs.sh BUILD - the manual page and the README say what the program says: every option of --help,
# every reason of a loss, every verdict word, every kernel feature. Needs no root.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
seep=$(cd "${1:?usage: tests/docs.sh BUILD}" && pwd)/seep
man=$here/src/man/seep.8
failures=0

fail() {
	echo "docs: $*" >&2
	failures=$((failures + 1))
}

# Options stand in the page as "Fl d , Fl -duration", and in the section of their verb.
section() { sed -n "/^\.Ss Options of $1\$/,/^\.S[sh] [^O]/p" "$man"; }

for verb in record report doctor; do
	options=$("$seep" "$verb" --help | grep -oE '^ +(-., )?--[a-z-]+' | grep -oE -- '--[a-z-]+')
	[ -n "$options" ] || fail "seep $verb --help lists no options"
	for option in $options; do
		section "$verb" | grep -qE -- "^\.It .*Fl -${option#--}( |\$)" ||
			fail "seep.8 does not describe '$option' of seep $verb"
	done
done

for key in $(grep -oE 'X\([A-Z_]+, "[a-z_]+"' "$here/include/abi.h" | cut -d'"' -f2); do
	grep -q "^\.It Cm $key\$" "$man" || fail "seep.8 does not explain the loss '$key'"
done

words=$(sed -n '/site_verdict_name/,/};/p' "$here/src/profile/rank.c" | grep -oE '"[a-z]+"' | tr -d '"')
[ -n "$words" ] || fail "found no verdict words in src/profile/rank.c"
for word in $words; do
	grep -q "^\.It Cm $word\$" "$man" || fail "seep.8 does not explain the verdict '$word'"
	grep -q "^| \`$word\`" "$here/README.md" || fail "README.md does not explain '$word'"
done

if command -v groff >/dev/null; then
	warnings=$(groff -mandoc -ww -Tutf8 "$man" 2>&1 >/dev/null)
	[ -z "$warnings" ] || fail "seep.8: $warnings"
fi

# Files that the README points to are there.
for file in $(grep -oE '\]\([A-Za-z][A-Za-z0-9_./-]*\)' "$here/README.md" | tr -d ']()'); do
	[ -e "$here/$file" ] || fail "README.md points to '$file', which is not there"
done

[ "$failures" = 0 ] && echo "docs: manual page and README agree with the program"
[ "$failures" = 0 ]
