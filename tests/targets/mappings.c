/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * mappings.c - 2003 executable mappings of its own file, then 101 more under observation.
 *
 * build: $CC -o $OUT/mappings $SRC
 *
 * leak_between 1009 x 1013 after the last of them.
 */
#include <fcntl.h>
#include <sys/mman.h>

#include "target.h"

void leak_between(void);

static void map_own_code(int count)
{
	int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		_exit(3);
	for (int i = 0; i < count; i++)
		if (mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0) == MAP_FAILED)
			_exit(3);
	close(fd);
}

NOIPA void leak_between(void)
{
	for (int i = 0; i < 1009; i++) {
		char *block = malloc(1013);

		HOLD(block);
	}
}

int main(void)
{
	map_own_code(2003);
	target_ready();
	map_own_code(101);
	leak_between();
	target_done();
	return 0;
}
