# SPDX-License-Identifier: GPL-2.0-only
#
# roots.sh - Debian's mirror, and the Pythons that tests run on; sourced with 'cache' set to a folder
# that may be kept.
#
#	roots_mirror	     prints the Debian mirror that apt uses here
#	machine_pythons	     prints the paths of Debian's python3 and of those below
#			     $HOME/.pyenv/versions, one per line
#	python_root SUITE    prints the folder of a small Debian of that suite with its python3
#			     (chroot FOLDER /usr/bin/python3), made once by mmdebstrap from the
#			     mirror that apt uses here; fails when it cannot be had
python_suites="bullseye trixie sid" # 3.9, 3.13, 3.14; sid also has the next one

machine_pythons() {
	local python
	for python in /usr/bin/python3 "$HOME"/.pyenv/versions/3.*/bin/python3; do
		[ -x "$python" ] && echo "$python"
	done
}

roots_mirror() {
	cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources \
		2>/dev/null | grep -v '^#' | grep -o '[a-z]*:[^ ]*/debian/\?\( \|$\)' | head -1 |
		tr -d ' '
}

make_root() { # SUITE ROOT PACKAGES
	rm -rf "$2"
	nice mmdebstrap --quiet --aptopt='Acquire::Check-Valid-Until "false"' --variant=extract \
		--include="$3" "$1" "$2" "$(roots_mirror)" >"$cache/python-$1.log" 2>&1
}

python_root() { # SUITE
	local root=$cache/python-$1 next=
	local packages=base-files,libc6,dash,coreutils,python3-minimal,libpython3-stdlib
	if [ ! -e "$root/.complete" ]; then
		[ "$(id -u)" = 0 ] && command -v mmdebstrap >/dev/null || return 1
		mkdir -p "$cache"
		[ "$1" != sid ] || next=,python3.15-minimal,libpython3.15-stdlib
		make_root "$1" "$root" "$packages$next" ||
			{ [ -n "$next" ] && make_root "$1" "$root" "$packages"; } || return 1
		touch "$root/.complete"
	fi
	(cd "$root" && pwd)
}
