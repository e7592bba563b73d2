/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * fuzz_maps.c - /proc/PID/maps and smaps: any text is parsed into ordered regions and into parts
 * of memory that add up to the whole. Seeds: /proc/self/maps and /proc/self/smaps.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "target/proc_maps.h"
#include "target/process.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
	if (!holds)
		abort();
}

static void fuzz_maps(const char *text, size_t size)
{
	struct proc_maps maps;
	size_t bad_lines;

	check(!proc_maps_parse(text, size, &maps, &bad_lines));
	for (size_t i = 0; i < maps.count; i++) {
		const struct vm_region *region = &maps.items[i];

		check(region->start < region->end);
		check(!i || maps.items[i - 1].end <= region->start);
		check(proc_maps_at(&maps, region->start) == region);
		check(proc_maps_at(&maps, region->end - 1) == region);
		check(strlen(region->path) <= size);
	}
	proc_maps_free(&maps);
}

static void fuzz_smaps(const char *text, size_t size)
{
	struct memory_breakdown memory;

	check(!process_memory_parse(text, size, &memory));
	check(memory.allocator_bytes == memory.heap_bytes + memory.arena_bytes + memory.anon_bytes);
	check(memory.rss_bytes == memory.allocator_bytes + memory.file_bytes + memory.stack_bytes +
				      memory.shared_bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_maps((const char *)data, size);
	fuzz_smaps((const char *)data, size);
	return 0;
}
