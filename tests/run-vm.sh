#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# run-vm.sh [SUITE...] - runs BPF tests under other kernels: the newest of these Debian suites, by
# default bookworm (6.1: no uprobe_multi), trixie (6.12: no sessions) and sid, in qemu, software
# emulation. Ends with "N passed, N failed, N skipped".
#
# The guest sees this machine's files (9p, read-only, a tmpfs on top) and runs BUILD/seep and the
# tests on them. BUILD (default build) must be built; no root needed. Kernels come from the Debian
# mirror that apt uses here and are kept in BUILD/vm; what is missing is said and skipped.
#
#   VM_TESTS     patterns of tests/bpf/run.py instead of the choice below
#   VM_SECONDS   limit for one guest [420]
set -u
cd "$(dirname "$0")/.." || exit 1
BUILD=${BUILD:-build}
cache=$BUILD/vm
top=$PWD
mirror="" passed=0 failed=0 skipped=0

# A choice that takes few minutes: every way to allocate, stacks, life cycle, full tables.
choice="two_callers exact.realloc_in_four every_c_allocation_function_counts operator_new_in_all_forms
	blocks_freed_by_another exact.class_mmap exact.static_program two_processes_in
	life.child_of_fork_is_followed exec_in_place library_loaded_after target_that_exits
	kill_of_seep stop_leaves forty_frames inlined_functions signal_handler_between
	full_ledger_refuses frees_of_blocks_older sampled_totals command_is_watched
	doctor_without_a_target"
tests=${VM_TESTS:-$choice}

skip()
{
	echo "SKIP $*"
	skipped=$((skipped + 1))
}

# ---- kernels ----------------------------------------------------------------------------------

find_mirror()
{
	cat /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list /etc/apt/sources.list \
		2>/dev/null | sed -nE 's,^(URIs:|deb( \[[^]]*\])?) *([^ ]*/debian)/?( .*)?$,\3,p' | head -n 1
}

# apt_in SUITE COMMAND...: an apt tool with settings of its own; the machine's stay untouched
apt_in()
{
	local root=$top/$cache/apt-$1 suite=$1

	shift
	mkdir -p "$root"/etc/{apt.conf.d,preferences.d,sources.list.d} \
		"$root"/{state/lists/partial,cache/archives/partial}
	: >>"$root/status"
	echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" \
		>"$root/etc/sources.list"
	cat >"$root/apt.conf" <<-CONF
		Dir::Etc "$root/etc";
		Dir::State "$root/state";
		Dir::State::status "$root/status";
		Dir::Cache "$root/cache";
		APT::Architecture "amd64";
		APT::Architectures { "amd64"; };
		APT::Sandbox::User "root";
		Acquire::Languages "none";
		Acquire::Check-Valid-Until "false";
	CONF
	APT_CONFIG=$root/apt.conf "$@"
}

# unpack SUITE DIR: the newest kernel of the suite into DIR
unpack()
{
	local suite=$1 dir=$2 depends version part names package

	apt_in "$suite" apt-get -qq update || return
	depends=$(apt_in "$suite" apt-cache show --no-all-versions linux-image-amd64)
	version=$(sed -nE 's/^Depends:.*linux-image-([0-9][^ ,]*).*/\1/p' <<<"$depends" | head -n 1)
	[ -n "$version" ] || return
	names=linux-image-$version # newer suites: kernel and modules in packages of their own
	for part in binary modules; do
		[ -z "$(apt_in "$suite" apt-cache pkgnames "linux-$part-$version")" ] ||
			names="$names linux-$part-$version"
	done
	# shellcheck disable=SC2086 # several names
	(cd "$dir" && apt_in "$suite" apt-get -qq download $names) >/dev/null || return
	for package in "$dir"/*.deb; do
		dpkg-deb -x "$package" "$dir" && rm "$package" || return
	done
	mv "$(find "$dir" -name 'vmlinuz*' -type f | head -n 1)" "$dir/vmlinuz" || return
	echo "$version" >"$dir/version"
}

# fetch SUITE: BUILD/vm/SUITE gets a kernel, all or nothing
fetch()
{
	[ -s "$cache/$1/version" ] && return
	rm -rf "${cache:?}/$1" "$cache/$1.part"
	mkdir -p "$cache/$1.part" && unpack "$1" "$cache/$1.part" && mv "$cache/$1.part" "$cache/$1"
}

# ---- guests -----------------------------------------------------------------------------------

# add_module DIR NAME ROOT: unpacked into the initramfs, in the order of the calls
add_module()
{
	local file

	file=$(find "$1" -name "$2.ko*" -type f | head -n 1)
	case $file in
	"") return ;; # built in
	*.xz) xz -dc "$file" ;;
	*.zst) zstd -qdc "$file" ;;
	*) cat "$file" ;;
	esac >"$3/modules/$2.ko"
	echo "$2" >>"$3/modules/order"
}

# make_initramfs KERNEL_DIR ROOT FILE
make_initramfs()
{
	local name

	mkdir -p "$2"/{bin,dev,host,modules,over,proc,sys}
	cp /bin/busybox "$2/bin/busybox"
	for name in netfs fscache virtio virtio_ring virtio_pci_modern_dev virtio_pci_legacy_dev \
		virtio_pci 9pnet 9pnet_virtio 9p overlay; do
		add_module "$1" "$name" "$2"
	done
	cat >"$2/init" <<-'INIT'
		#!/bin/busybox sh
		/bin/busybox --install -s /bin
		mount -t proc proc /proc
		mount -t sysfs sysfs /sys
		mount -t devtmpfs dev /dev
		mount -t tracefs tracefs /sys/kernel/tracing
		for name in $(cat /modules/order); do insmod /modules/$name.ko; done
		mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,cache=loose,ro host /host
		mount -t tmpfs over /over
		mkdir /over/upper /over/work /over/root
		mount -t overlay overlay -o lowerdir=/host,upperdir=/over/upper,workdir=/over/work /over/root
		for name in dev proc sys; do mount --rbind /$name /over/root/$name; done
		for name in run tmp var/tmp; do mount -t tmpfs tmpfs /over/root/$name; done
		ip link set lo up
		cp /command /over/root/run/command
		chroot /over/root /bin/bash /run/command
		echo "guest: status $?"
		poweroff -f
	INIT
	chmod +x "$2/init"
	cp "$2/../command" "$2/command"
	(cd "$2" && find . | cpio -o -H newc --quiet | gzip -1) >"$3"
}

# What the guest does, with our paths: each pattern is a run of its own.
write_command()
{
	cat <<-COMMAND
		cd $(printf %q "$PWD") || exit 1
		export BUILD=$(printf %q "$BUILD") PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
		export PYTHONDONTWRITEBYTECODE=1
		"\$BUILD/seep" doctor 2>&1
		for pattern in ${tests//$'\n'/ }; do
			/usr/bin/python3 tests/bpf/run.py \$pattern
		done
	COMMAND
}

# boot KERNEL_DIR WORK: runs WORK/command; the console goes to stdout
boot()
{
	mkdir -p "$2/root"
	make_initramfs "$1" "$2/root" "$2/initramfs" || return
	timeout -k 5 "${VM_SECONDS:-420}" qemu-system-x86_64 -M q35 -cpu max -accel tcg,thread=multi \
		-smp 2 -m 2500 -display none -serial stdio -monitor none -no-reboot -nic none \
		-fsdev local,id=host,path=/,security_model=none,readonly=on,multidevs=remap \
		-device virtio-9p-pci,fsdev=host,mount_tag=host \
		-kernel "$1/vmlinuz" -initrd "$2/initramfs" \
		-append "console=ttyS0 quiet loglevel=3 panic=-1 mitigations=off nokaslr random.trust_cpu=on" \
		</dev/null 2>&1 | sed -u 's,\r,,g'
}

# add_counts LOG: from the lines of single tests; a guest that does not end is one failure
add_counts()
{
	passed=$((passed + $(grep -c '^ok  ' "$1")))
	failed=$((failed + $(grep -c '^FAIL' "$1")))
	skipped=$((skipped + $(grep -c '^skip' "$1")))
	if grep -q '^0 passed, 0 failed, 0 skipped' "$1"; then
		echo "FAIL a pattern of tests that matches none"
		failed=$((failed + 1))
	fi
	grep -q '^guest: status' "$1" && return
	echo "FAIL the guest did not end within ${VM_SECONDS:-420} s"
	failed=$((failed + 1))
}

run_suite()
{
	local work

	fetch "$1" || { skip "$1: its kernel cannot be fetched"; return; }
	printf '\n-- Linux %s (%s)\n' "$(cat "$cache/$1/version")" "$1"
	work=$(mktemp -d "$cache/work.XXXXXX") || exit 1
	write_command >"$work/command"
	boot "$cache/$1" "$work" | tee "$work/log" |
		grep --line-buffered -E '^(ok  |FAIL|skip|kernel|seep:|guest:| +(yes|no) +uprobe)'
	add_counts "$work/log"
	cp "$work/log" "$cache/$1.log"
	rm -rf "$work"
}

missing_tool()
{
	local tool

	for tool in qemu-system-x86_64 cpio xz zstd gzip dpkg-deb apt-get timeout /bin/busybox; do
		command -v "$tool" >/dev/null || { echo "$tool"; return; }
	done
	return 1
}

main()
{
	local tool suite

	[ -x "$BUILD/seep" ] || { echo "run-vm.sh: $BUILD/seep is not built" >&2; exit 1; }
	mkdir -p "$cache"
	mirror=$(find_mirror)
	if tool=$(missing_tool); then
		skip "kernels: $tool is not installed (qemu-system-x86 busybox-static cpio xz-utils zstd)"
	elif [ -z "$mirror" ]; then
		skip "kernels: apt has no Debian mirror here"
	else
		tests/targets/build.sh "$BUILD/targets" || exit 1
		[ $# != 0 ] || set -- bookworm trixie sid
		for suite; do run_suite "$suite"; done
	fi
	printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
	[ "$failed" = 0 ] || exit 1
	[ "$passed" != 0 ] || exit 77
}

main "$@"
