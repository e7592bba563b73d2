/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * fuzz_insn.c - any bytes as a function: a site lies inside of it and never on a 5-byte nop, and
 * the sweep for transfers ends. Seeds: code of /bin/sh.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "elf/insn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
	if (!holds)
		abort();
}

/* The first byte says what is needed of the site. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct probe_needs needs = {0};
	struct transfer transfer;
	struct probe_site site;
	size_t offset = 0;
	uint64_t target;

	if (!size)
		return 0;
	needs.arg_mask = data[0] & 15;
	needs.return_address = data[0] & 16;
	needs.null_may_skip = data[0] & 32;
	data++;
	size--;
	if (!insn_choose_site(data, size, 0x401000, &needs, &site)) {
		check(site.offset < size && site.offset < 64);
		check(size - site.offset < 5 ||
		      memcmp(data + site.offset, "\x0f\x1f\x44\x00\x00", 5));
		check(site.regs[0] < 16 && site.regs[1] < 16 && site.regs[2] < 16);
		check(!needs.return_address || !site.sp_delta8);
		check(needs.null_may_skip || !site.skips_null);
		check(memchr(site.text, 0, sizeof(site.text)));
	}
	insn_is_thunk(data, size, 0x401000, &target);
	while (insn_next_transfer(data, size, 0x401000, &offset, &transfer))
		check(offset <= size);
	return 0;
}
