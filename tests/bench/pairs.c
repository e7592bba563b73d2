/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * pairs.c - what the bench measures: a program that allocates and frees on demand.
 *
 * Reads commands from stdin, one a line, and answers each with one line:
 *
 *	pairs COUNT DEPTH	malloc(64)+free, DEPTH calls deep	-> CPU time of a pair, ns
 *	hold COUNT		keep as many blocks of 64 bytes		-> ok
 *	drop			free them				-> ok
 *	paced RATE SECONDS	RATE pairs a second from 256 stacks	-> pairs made
 *	libraries COUNT DIR	map the code of as many libraries	-> libraries mapped
 *
 * Built with -O2 and without frame pointers, as distributions build.
 */
#include <dirent.h>
#include <elf.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S    1000000000ULL
#define BLOCK_BYTES 64
#define TICK_NS	    1000000ULL /* paced: pairs are made once in so long */

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * NS_PER_S + now.tv_nsec;
}

/* ---- a stack of chosen depth, of functions with frames of different sizes ----------------------
 */

struct errand {
	uint64_t pairs;
	uint32_t path; /* two bits for each level: which function comes next */
};

static void descend(struct errand *errand, unsigned int depth);

/* The compiler may neither drop the pair nor turn the call into a jump. */
#define KEEP(pointer) asm volatile("" : "+r"(pointer) : : "memory")

static __attribute__((noinline)) void make_pairs(const struct errand *errand)
{
	for (uint64_t i = 0; i < errand->pairs; i++) {
		void *block = malloc(BLOCK_BYTES);

		KEEP(block);
		free(block);
	}
	asm volatile("" : : : "memory");
}

#define LEVEL(number, bytes)                                                                       \
	static __attribute__((noinline)) void level_##number(struct errand *errand,                \
							     unsigned int depth)                   \
	{                                                                                          \
		char frame[bytes];                                                                 \
		char *start = frame;                                                               \
		KEEP(start);                                                                       \
		descend(errand, depth - 1);                                                        \
		KEEP(start);                                                                       \
	}
LEVEL(0, 24)
LEVEL(1, 72)
LEVEL(2, 136)
LEVEL(3, 264)

static inline __attribute__((always_inline)) void descend(struct errand *errand, unsigned int depth)
{
	static void (*const levels[])(struct errand *, unsigned int) = {level_0, level_1, level_2,
									level_3};

	if (!depth)
		make_pairs(errand);
	else
		levels[errand->path >> (2 * depth % 32) & 3](errand, depth);
}

/* ---- commands ----------------------------------------------------------------------------------
 */

static void measure_pairs(uint64_t count, unsigned int depth)
{
	struct errand errand = {.pairs = count, .path = 0x1be4d827};
	uint64_t begin = clock_ns(CLOCK_THREAD_CPUTIME_ID);

	descend(&errand, depth);
	printf("%.1f\n", (double)(clock_ns(CLOCK_THREAD_CPUTIME_ID) - begin) / count);
}

static void **held;
static size_t held_count;

static void hold(size_t count)
{
	held = calloc(count, sizeof(*held));
	for (held_count = 0; held && held_count < count; held_count++)
		held[held_count] = malloc(BLOCK_BYTES);
	puts("ok");
}

static void drop(void)
{
	while (held_count)
		free(held[--held_count]);
	free(held);
	held = NULL;
	puts("ok");
}

static void run_paced(uint64_t rate, uint64_t seconds)
{
	uint64_t begin = clock_ns(CLOCK_MONOTONIC), end = begin + seconds * NS_PER_S, made = 0;
	struct timespec pause = {0, TICK_NS};

	for (uint64_t now = begin; now < end; now = clock_ns(CLOCK_MONOTONIC)) {
		uint64_t due = (now - begin) / 1000 * rate / (NS_PER_S / 1000);

		while (made < due) { /* a burst of at most 16 from each stack */
			struct errand errand = {.path = (uint32_t)(made / 16) << 8};

			errand.pairs = due - made < 16 ? due - made : 16;
			descend(&errand, 8);
			made += errand.pairs;
		}
		nanosleep(&pause, NULL);
	}
	printf("%llu\n", (unsigned long long)made);
}

/* Maps what the dynamic linker would map executable, without running constructors. */
static int map_library(const char *path)
{
	unsigned char head[4096];
	const Elf64_Ehdr *elf = (const void *)head;
	const Elf64_Phdr *segments;
	int fd = open(path, O_RDONLY), mapped = 0;
	ssize_t bytes = fd < 0 ? -1 : read(fd, head, sizeof(head));

	if (bytes < (ssize_t)sizeof(*elf) || memcmp(head, ELFMAG, SELFMAG) ||
	    elf->e_ident[EI_CLASS] != ELFCLASS64 || elf->e_type != ET_DYN ||
	    elf->e_phoff + elf->e_phnum * sizeof(*segments) > (size_t)bytes) {
		if (fd >= 0)
			close(fd);
		return 0;
	}
	segments = (const void *)(head + elf->e_phoff);
	for (int i = 0; i < elf->e_phnum; i++)
		if (segments[i].p_type == PT_LOAD && segments[i].p_flags & PF_X)
			mapped |= mmap(NULL, segments[i].p_filesz + (segments[i].p_offset & 4095),
				       PROT_READ | PROT_EXEC, MAP_PRIVATE, fd,
				       segments[i].p_offset & ~4095ULL) != MAP_FAILED;
	close(fd);
	return mapped;
}

static int is_library(const struct dirent *entry)
{
	return strncmp(entry->d_name, "lib", 3) == 0 && strstr(entry->d_name, ".so.") &&
	       entry->d_type == DT_REG;
}

/* Every so many of all in the directory, so that small and large ones are among them. */
static void map_libraries(int count, const char *dir)
{
	struct dirent **entries;
	int total = scandir(dir, &entries, is_library, alphasort), mapped = 0;
	char path[8192];

	for (int i = 0; total > 0 && i < total && mapped < count; i++) {
		if (i * count / total < mapped)
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, entries[i]->d_name);
		mapped += map_library(path);
	}
	printf("%d\n", mapped);
}

int main(void)
{
	unsigned long long first, second;
	char line[4096], text[4096];

	setvbuf(stdout, NULL, _IOLBF, 0);
	while (fgets(line, sizeof(line), stdin)) {
		if (sscanf(line, "pairs %llu %llu", &first, &second) == 2)
			measure_pairs(first, second);
		else if (sscanf(line, "hold %llu", &first) == 1)
			hold(first);
		else if (strcmp(line, "drop\n") == 0)
			drop();
		else if (sscanf(line, "paced %llu %llu", &first, &second) == 2)
			run_paced(first, second);
		else if (sscanf(line, "libraries %llu %4095s", &first, text) == 2)
			map_libraries(first, text);
		else
			puts("?");
	}
	return 0;
}
