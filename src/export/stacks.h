/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * stacks.h - stacks as lists of numbers, for formats with a table of frames.
 *
 * What looks the same is the same frame: the kernel tells apart every return address, a viewer only
 * names, files and lines. At the root stand, where they say anything, "[truncated]" for a stack
 * without its root and "COMM (pid N)" where there are several processes. A stack without any frame
 * has one, "[no frames]".
 */
#ifndef SEEP_EXPORT_STACKS_H
#define SEEP_EXPORT_STACKS_H

#include <stdbool.h>
#include <stdint.h>

#include "export/texts.h"

struct profile;
struct profile_site;
struct table;

struct stack_frame {
	uint64_t address;	     /* 0 unless addresses were asked for */
	uint32_t name, file, module; /* numbers in 'texts'; 0: none */
	uint32_t line;		     /* 0: unknown */
};

struct stacks {
	const struct profile *profile;
	bool addresses; /* frames at different ones are different */
	struct texts texts;
	struct table *numbers; /* of struct stack_frame */
	struct {
		struct stack_frame *items;
		size_t count, capacity;
	} frames;
	uint32_t *of_frame, *of_process; /* what was numbered already, by index into the profile's;
					  * 0: not yet, else the number + 1 */
	struct {
		uint32_t *items; /* into 'frames', leaf first; the stack that was read last */
		size_t count, capacity;
	} stack;
};

/* Returns 0 or -ENOMEM; stacks_deinit() in either case. */
int stacks_init(struct stacks *stacks, const struct profile *profile, bool addresses);
void stacks_deinit(struct stacks *stacks);

/* Number the frames of a site into 'stack'. Returns 0 or -ENOMEM. */
int stacks_read(struct stacks *stacks, const struct profile_site *site);

/* The number of a frame that is only a name, -1 when memory is out. */
ssize_t stacks_name(struct stacks *stacks, const char *name);

/* A text of a frame: name, file or module. */
const char *stacks_text(const struct stacks *stacks, uint32_t text);

#endif
