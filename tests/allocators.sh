#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# allocators.sh [BUILD] - the probes that would be put on real allocators, checked with objdump as
# an independent decoder: each stands at an instruction that the kernel emulates, which is reached
# from the function's entry without a branch (but free's test for NULL) and with the arguments and
# the stack pointer where the plan says. Looks at the machine's glibc, musl, jemalloc, tcmalloc,
# mimalloc and libstdc++, and at the glibc of other Debian suites, fetched once into BUILD/cache
# from the mirror that apt uses here. Says SKIP for what is not there. Needs no root.
set -u
cd "$(dirname "$0")/.."
build=${1:-build}
cache=$build/cache
suites="bullseye trixie sid" # glibc 2.31, 2.41, 2.43
libraries=/usr/lib/x86_64-linux-gnu
plan=$build/tests/plan
failed=0 passed=0 skipped=0
. tests/roots.sh

skip() {
	echo "SKIP $*"
	skipped=$((skipped + 1))
}

fail() {
	echo "FAIL $*"
	failed=$((failed + 1))
}

build_plan() {
	mkdir -p "$build/tests" "$cache"
	${CC:-gcc} -std=gnu11 -D_GNU_SOURCE -O1 -g -Isrc -Iinclude -o "$plan" tests/tools/plan.c \
		"$build/libseep.a" -ldw -lelf -lZydis -liberty -llzma -lz
}

# ---- libc6 of other suites -----------------------------------------------------------------------

# A private apt root: nothing of the machine's own apt changes.
apt_root() { # SUITE
	local root=$PWD/$cache/apt-$1
	mkdir -p "$root"/etc/apt/{apt.conf.d,preferences.d,sources.list.d,trusted.gpg.d} \
		"$root"/var/lib/{apt/lists/partial,dpkg} "$root"/var/cache/apt/archives/partial \
		"$root"/var/log/apt
	: >"$root/var/lib/dpkg/status"
	echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(roots_mirror) $1 main" \
		>"$root/etc/apt/sources.list"
	cat >"$root/apt.conf" <<-X
		Dir "$root/";
		Dir::State::status "$root/var/lib/dpkg/status";
		APT::Architecture "amd64";
		APT::Architectures { "amd64"; };
		APT::Sandbox::User "root";
		Acquire::Languages "none";
		Acquire::Check-Valid-Until "false";
	X
	echo "$root/apt.conf"
}

fetch_libc() { # SUITE: prints the path of its libc.so.6
	local suite=$1 root=$cache/libc-$1 conf libc
	libc=$(find "$root" -name libc.so.6 2>/dev/null | head -1)
	if [ -z "$libc" ]; then
		conf=$(apt_root "$suite")
		mkdir -p "$root"
		(cd "$root" && export APT_CONFIG=$conf && apt-get -qq update &&
			apt-get -qq download libc6 && dpkg-deb -x libc6_*.deb . && rm libc6_*.deb) \
			>"$cache/fetch-$suite.log" 2>&1 || return 1
		rm -rf "$cache/apt-$suite"
		libc=$(find "$root" -name libc.so.6 | head -1)
	fi
	readlink -f "$libc"
}

# ---- one probe -----------------------------------------------------------------------------------

# The function's code from its entry to behind the site: "offset instruction" per line.
disassemble() { # FILE VADDR OFFSET
	local entry=$((0x$2)) at insn
	objdump -d --no-show-raw-insn --start-address=$entry --stop-address=$((entry + $3 + 16)) "$1" |
		sed -n 's/^ *\([0-9a-f]*\):\t\([^<#]*\).*/\1 \2/p' |
		while read -r at insn; do echo "$((0x$at - entry)) $insn"; done
}

# Says what is wrong with a site, nothing if all is well. Input: disassemble's lines.
check_site() { # OFFSET emulated|stepped null|all return|- REGISTERS
	awk -v site="$1" -v cost="$2" -v nulls="$3" -v returns="$4" -v registers="$5" '
	function emulated(op, args) {
		if (op == "push") return args ~ /^%r[a-z0-9]+$/
		if (op == "nop") return args == ""
		if (op == "bnd") return 1
		if (op ~ /^(j[a-z]+|call)$/) return args ~ /^[0-9a-f]+$/ && op !~ /^j(r|e)?cxz$/
		return op ~ /^nop/
	}
	# the register that an instruction writes, by its last operand
	function written(op, args,   n, list) {
		if (op ~ /^(cmp|test|push|j|call|ret|nop|bt$)/) return ""
		if (op ~ /^(mul|div|idiv)q?$/) return "%rdx"
		n = split(args, list, ",")
		return list[n]
	}
	BEGIN {
		alias["%rdi"] = alias["%edi"] = alias["%di"] = alias["%dil"] = 5
		alias["%rsi"] = alias["%esi"] = alias["%si"] = alias["%sil"] = 4
		alias["%rdx"] = alias["%edx"] = alias["%dx"] = alias["%dl"] = alias["%dh"] = 1
		split(registers, held, ",")
	}
	{ at = $1; op = $2; args = $3; line = $0 }
	at == site {
		found = 1
		if (cost == "emulated" && !emulated(op, args)) print "not emulated: " line
		if (cost == "stepped" && emulated(op, args) && op !~ /^nop./) print "is emulated: " line
		if (op ~ /^(lock|cs|ds|es|ss|data16|int3|ud2|hlt)/) print "refused: " line
		exit
	}
	at > site { exit }
	op ~ /^(j|call|ret|loop|syscall|ud2|hlt|int)/ {
		if (nulls == "null" && op == "je" && tested && !passed) passed = 1
		else print "behind a branch: " line
	}
	op == "test" { split(args, pair, ","); tested = pair[1] == pair[2] && pair[1] ~ /^%r/ }
	returns == "return" && cost == "emulated" {
		if (op ~ /^(push|pop)/) moved += op ~ /^push/ ? 1 : -1
		else if (written(op, args) == "%rsp") print "rsp moved: " line
	}
	written(op, args) in alias { lost[alias[written(op, args)]] = line }
	END {
		if (!found) print "no instruction starts there"
		if (moved) print "rsp moved"
		if (nulls == "null" && !passed) print "passes no test for NULL"
		for (i in held)
			if (lost[held[i]] != "" && lost[held[i]] !~ /^[0-9]+ mov +%r[a-z0-9]+,%r[a-z0-9]+$/)
				print "argument register written: " lost[held[i]]
	}'
}

check_plan() { # TITLE FILE WANTED...: functions that must have an emulated site
	local title=$1 file=$2 wrong kind name role vaddr offset registers sp cost nulls returns text
	local -A found=()
	shift 2
	echo "== $title: $file"
	while read -r kind name role vaddr offset registers sp cost nulls returns text; do
		[ "$kind" = point ] || continue
		printf '   %-36s +%-3s %-9s %-5s %s\n' "$name" "$offset" "$cost" "$nulls" "$text"
		found[$name]=$cost
		wrong=$(disassemble "$file" "$vaddr" "$offset" |
			check_site "$offset" "$cost" "$nulls" "$returns" "$registers")
		if [ -n "$wrong" ]; then fail "$title: $name+$offset: $wrong"; else passed=$((passed + 1)); fi
	done < <("$plan" "$file")
	for name; do
		if [ "${found[$name]-none}" = emulated ]; then
			passed=$((passed + 1))
		else
			fail "$title: $name has ${found[$name]-no} site, wanted an emulated one"
		fi
	done
}

check_if_there() { # TITLE FILE WANTED...
	if [ -e "$2" ]; then check_plan "$@"; else skip "$1: no $2"; fi
}

check_nothing() { # TITLE FILE
	[ -e "$2" ] || { skip "$1: no $2"; return; }
	if [ "$("$plan" "$2" | grep -c '^point')" = 0 ]; then
		echo "== $1: no probes"
		passed=$((passed + 1))
	else
		fail "$1: probes where malloc has them already"
	fi
}

# ---- the matrix ----------------------------------------------------------------------------------

build_plan || exit 1
libc="malloc calloc realloc free"
operators="_Znwm _ZdlPvm"

check_if_there "glibc of this machine" "$(readlink -f $libraries/libc.so.6)" \
	$libc posix_memalign memalign mmap sbrk
check_if_there musl /usr/lib/x86_64-linux-musl/libc.so malloc realloc free aligned_alloc mmap munmap
check_if_there jemalloc $libraries/libjemalloc.so.2 $libc posix_memalign mallocx dallocx $operators
check_if_there "tcmalloc minimal" $libraries/libtcmalloc_minimal.so.4 $libc tc_new mmap
check_if_there tcmalloc $libraries/libtcmalloc.so.4 $libc tc_new mmap
check_if_there mimalloc $libraries/libmimalloc.so.2 malloc calloc mi_heap_realloc free mi_new
check_nothing libstdc++ $libraries/libstdc++.so.6
check_nothing libc++ $libraries/libc++.so.1
check_nothing libc++abi $libraries/libc++abi.so.1
for suite in $suites; do
	if file=$(fetch_libc "$suite") && [ -n "$file" ]; then
		check_plan "glibc of $suite" "$file" $libc
	else
		skip "glibc of $suite: download failed: $(tail -1 "$cache/fetch-$suite.log")"
	fi
done

echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
