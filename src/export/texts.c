/* SPDX-License-Identifier: GPL-2.0-only */
/* texts.c - see texts.h */
#include "export/texts.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/cleanup.h"
#include "base/table.h"
#include "base/vec.h"
#include "export/utf8.h"

int texts_init(struct texts *texts)
{
	*texts = (struct texts){.arena = arena_new(), .numbers = table_new(sizeof(const char *))};
	if (!texts->arena || !texts->numbers)
		return -ENOMEM;
	return texts_add(texts, "") ? -ENOMEM : 0;
}

void texts_deinit(struct texts *texts)
{
	arena_free(texts->arena);
	table_free(texts->numbers);
	free(texts->items);
	*texts = (struct texts){0};
}

ssize_t texts_add(struct texts *texts, const char *text)
{
	_cleanup_free_ char *clean = utf8_clean(text ? text : "", 0);
	const char *interned = clean ? arena_intern(texts->arena, clean) : NULL;
	bool added;
	ssize_t number = interned ? table_add(texts->numbers, &interned, &added) : -1;

	if (number >= 0 && added) {
		const char **item = vec_add(texts);

		if (!item)
			return -1;
		*item = interned;
	}
	return number;
}
