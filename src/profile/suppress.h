/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * suppress.h - sites that nobody wants to see: what a person suppresses, in LeakSanitizer's words,
 * and what is known to be kept.
 *
 * A file of suppressions has lines "leak:PATTERN"; '#' begins a comment line. A site is suppressed
 * when the pattern matches the function, the source file or the module of any of its frames: it is
 * found anywhere in the name, '*' stands for any characters, '^' and '$' for its ends
 * (compiler-rt/lib/lsan, sanitizer_common/sanitizer_suppressions.cpp).
 *
 * The list that is built in is more careful, since nobody chose it:
 *   - it looks at the code that allocated, not at who called it: from the leaf on at frames of the
 *     interpreter and of the C library, and at the first frame beyond them. A module that leaks
 *     while it is imported is not the import machinery
 *   - it holds only for what does not go on growing: per process, class and kind of the list all
 *     sites are judged together (rank.h), and shown if their sum is called leak or growing
 */
#ifndef SEEP_PROFILE_SUPPRESS_H
#define SEEP_PROFILE_SUPPRESS_H

#include "profile/profile.h"
#include "profile/view.h"

struct err;

struct suppressions {
	char **items; /* patterns, without "leak:" */
	size_t count, capacity;
	bool built_in; /* use the list that is built in, too */
};

/* Add the patterns of a file. Returns 0 or -errno; errors name the line. */
int suppressions_load(struct suppressions *suppressions, const char *path, struct err *err);
void suppressions_free(struct suppressions *suppressions);

/* Does a pattern, as of a file, match the text? NULL matches nothing. */
bool suppression_matches(const char *pattern, const char *text);

/* Does a pattern of a file match the site? The list that is built in is not asked. */
bool site_suppressed(const struct suppressions *suppressions, const struct profile *profile,
		     const struct profile_site *site);

/*
 * 'kept' becomes 'profile' without what is suppressed, and 'rest' says what that is. 'kept' shares
 * all but the array of sites with 'profile', which must live longer. Give it back with
 * profile_deinit(). Returns 0 or -ENOMEM.
 */
int profile_suppress(const struct profile *profile, const struct suppressions *suppressions,
		     struct profile *kept, struct view_rest *rest, struct err *err);

#endif
