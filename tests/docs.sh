#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# docs.sh BUILD - the manual page and the README say what the program says: every option of --help, every
# reason of a loss, verdict word, kernel feature, key of JSON and kind of event; and the README quotes the
# columns of today's report. Needs no root.
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

for verb in record top report doctor diff; do
	options=$("$seep" "$verb" --help | grep -oE '^ +(-., )?--[a-z-]+' | grep -oE -- '--[a-z-]+')
	[ -n "$options" ] || fail "seep $verb --help lists no options"
	[ "$verb" = diff ] && verb=report # it has the options of that
	for option in $options; do
		section "$verb" | grep -qE -- "^\.It .*Fl -${option#--}( |\$)" ||
			fail "seep.8 does not describe '$option' of seep $verb"
	done
done

formats=$("$seep" report --help | sed -nE 's/^ +--format auto\|(.*)/\1/p' | tr '|' ' ')
[ -n "$formats" ] || fail "seep report --help lists no formats"
for format in $formats; do
	sed -n '/^\.Sh FORMATS$/,/^\.Sh JSON$/p' "$man" | grep -qE "^\.It Cm $format( |\$)" ||
		fail "seep.8 does not describe the format '$format'"
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

# Lines of the manual page between two headings.
part() { sed -n "/^\.S[sh] $1\$/,/^\.S[sh] /{/^\.S[sh] $1\$/p;/^\.S[sh] /!p;}" "$man"; }

features=$(grep -oE '^	X\([A-Z_]+, "[a-z_]+"' "$here/src/probe/features.h" | cut -d'"' -f2)
[ -n "$features" ] || fail "found no features in src/probe/features.h"
for feature in $features; do
	part ENVIRONMENT | grep -qE "^\.Cm (.*[ ,])?$feature([ ,]|\$)" ||
		fail "seep.8 does not name the feature '$feature' under SEEP_WITHOUT"
done

keys=$(grep -oE '(set|put)(_[a-z]+)?\([a-z]+, ([a-z]+, )?"[a-z_]+"' "$here/src/export/json.c" | cut -d'"' -f2)
[ -n "$keys" ] || fail "found no keys in src/export/json.c"
for key in $keys sites frames; do
	part JSON | grep -qE "^\.(Va|Pq).*[ ,(]$key( |,|\$)" || fail "seep.8 does not name the JSON key '$key'"
done

kinds=$(cat "$here"/src/store/recorder.c "$here"/src/cli/live.c | tr -s '\n\t ' ' ' |
	grep -oE 'recorder_event\([a-z>-]+, "[a-z]+"' | cut -d'"' -f2)
[ -n "$kinds" ] || fail "found no kinds of events in src/store and src/cli"
for kind in $kinds exec exit; do
	part JSON | grep -qE "^\.Cm (.*[ ,])?$kind([ ,]|\$)" || fail "seep.8 does not name the event '$kind'"
done

# The heads of the table that the README shows are those of the golden report, whatever their widths;
# the class stands there only where there are several.
heads() { grep -E '^ *# +growth' "$1" | head -n 1 | tr -s ' ' | sed 's/^ //; s/ class / /'; }
[ "$(heads "$here/README.md")" = "$(heads "$here/tests/golden/demo.txt")" ] ||
	fail "README.md shows other columns than tests/golden/demo.txt"

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
