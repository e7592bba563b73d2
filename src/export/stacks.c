/* SPDX-License-Identifier: GPL-2.0-only */
/* stacks.c - see stacks.h */
#include "export/stacks.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/table.h"
#include "base/vec.h"
#include "profile/profile.h"

int stacks_init(struct stacks *stacks, const struct profile *profile, bool addresses)
{
	*stacks = (struct stacks){
	    .profile = profile,
	    .addresses = addresses,
	    .numbers = table_new(sizeof(struct stack_frame)),
	    .of_frame = calloc(profile->frame_count + 1UL, sizeof(uint32_t)),
	    .of_process = calloc(profile->process_count + 1UL, sizeof(uint32_t)),
	};
	if (texts_init(&stacks->texts) || !stacks->numbers || !stacks->of_frame ||
	    !stacks->of_process)
		return -ENOMEM;
	return 0;
}

void stacks_deinit(struct stacks *stacks)
{
	texts_deinit(&stacks->texts);
	table_free(stacks->numbers);
	free(stacks->frames.items);
	free(stacks->of_frame);
	free(stacks->of_process);
	free(stacks->stack.items);
	*stacks = (struct stacks){0};
}

static ssize_t frame_add(struct stacks *stacks, const struct stack_frame *frame)
{
	bool added;
	ssize_t number = table_add(stacks->numbers, frame, &added);

	if (number >= 0 && added) {
		struct stack_frame *item = vec_add(&stacks->frames);

		if (!item)
			return -1;
		*item = *frame;
	}
	return number;
}

ssize_t stacks_name(struct stacks *stacks, const char *name)
{
	ssize_t text = texts_add(&stacks->texts, name);

	if (text < 0)
		return -1;
	return frame_add(stacks, &(struct stack_frame){.name = text});
}

static ssize_t frame_number(struct stacks *stacks, uint32_t index)
{
	const struct profile_frame *frame = &stacks->profile->frames[index];
	ssize_t name = texts_add(&stacks->texts, frame->function);
	ssize_t file = texts_add(&stacks->texts, frame->file);
	ssize_t module = texts_add(&stacks->texts, frame->module);

	if (name < 0 || file < 0 || module < 0)
		return -1;
	return frame_add(stacks,
			 &(struct stack_frame){
			     .address = stacks->addresses && !frame->python ? frame->offset : 0,
			     .name = name,
			     .file = file,
			     .module = module,
			     .line = frame->line,
			 });
}

static ssize_t process_number(struct stacks *stacks, uint32_t index)
{
	_cleanup_free_ char *label = process_label(&stacks->profile->processes[index]);

	return label ? stacks_name(stacks, label) : -1;
}

static int push(struct stacks *stacks, ssize_t number)
{
	uint32_t *item = number < 0 ? NULL : vec_add(&stacks->stack);

	if (!item)
		return -ENOMEM;
	*item = number;
	return 0;
}

/* As push(), of something that is numbered once. */
static int push_once(struct stacks *stacks, uint32_t *known, uint32_t index,
		     ssize_t (*number)(struct stacks *stacks, uint32_t index))
{
	if (!known[index])
		known[index] = number(stacks, index) + 1;
	return push(stacks, (ssize_t)known[index] - 1);
}

int stacks_read(struct stacks *stacks, const struct profile_site *site)
{
	int status = 0;

	stacks->stack.count = 0;
	for (uint32_t i = 0; i < site->frame_count && !status; i++)
		status = push_once(stacks, stacks->of_frame, site->frames[i], frame_number);
	if (!status && !site->frame_count)
		status = push(stacks, stacks_name(stacks, "[no frames]"));
	if (!status && site->truncated && site->frame_count > 1)
		status = push(stacks, stacks_name(stacks, "[truncated]"));
	if (!status && stacks->profile->process_count > 1)
		status = push_once(stacks, stacks->of_process, site->process, process_number);
	return status;
}

const char *stacks_text(const struct stacks *stacks, uint32_t text)
{
	return stacks->texts.items[text];
}
