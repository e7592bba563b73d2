/* SPDX-License-Identifier: GPL-2.0-only */
/* suppress.c - see suppress.h */
#include "profile/suppress.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/cleanup.h"
#include "base/err.h"
#include "base/path.h"
#include "base/vec.h"
#include "profile/merge.h"
#include "profile/rank.h"

#define PATTERNS_MOST 4096

/* ---- files ------------------------------------------------------------------------------------
 */

static char *line_trim(char *line)
{
	size_t length = strlen(line);

	while (length && isspace((unsigned char)line[length - 1]))
		line[--length] = '\0';
	while (isspace((unsigned char)*line))
		line++;
	return line;
}

static int pattern_add(struct suppressions *suppressions, const char *pattern, struct err *err)
{
	char **item = vec_add(suppressions);

	if (item)
		*item = strdup(pattern);
	return item && *item ? 0 : err_set(err, ENOMEM, "out of memory");
}

static int line_take(struct suppressions *suppressions, char *text, const char *path,
		     unsigned int number, struct err *err)
{
	const char *line = line_trim(text);

	if (!line[0] || line[0] == '#')
		return 0;
	if (strncmp(line, "leak:", 5) || !line[5])
		return err_set(err, EINVAL, "'%s' line %u: '%.60s' is not 'leak:PATTERN'", path,
			       number, line);
	if (suppressions->count >= PATTERNS_MOST)
		return err_set(err, E2BIG, "'%s' line %u: more than %d suppressions", path, number,
			       PATTERNS_MOST);
	return pattern_add(suppressions, line + 5, err);
}

int suppressions_load(struct suppressions *suppressions, const char *path, struct err *err)
{
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	_cleanup_free_ char *line = NULL;
	unsigned int number = 0;
	size_t capacity = 0;
	int status = 0;

	if (!file)
		return err_set(err, errno, "cannot open '%s': %m", path);
	errno = 0;
	while (!status && getline(&line, &capacity, file) >= 0)
		status = line_take(suppressions, line, path, ++number, err);
	if (!status && ferror(file))
		return err_set(err, errno ? errno : EIO, "cannot read '%s': %m", path);
	return status;
}

void suppressions_free(struct suppressions *suppressions)
{
	for (size_t i = 0; i < suppressions->count; i++)
		free(suppressions->items[i]);
	free(suppressions->items);
	*suppressions = (struct suppressions){0};
}

/* ---- patterns ---------------------------------------------------------------------------------
 */

/* A piece between '*' and '*': where it ends in 'text', NULL when it is not there. 'at_begin' and
 * 'at_end': only there. */
static const char *piece_find(const char *text, const char *piece, size_t length, bool at_begin,
			      bool at_end)
{
	size_t rest = strlen(text);
	const char *found;

	if (length > rest)
		return NULL;
	if (at_begin || at_end) {
		found = at_end ? text + rest - length : text;
		if (memcmp(found, piece, length) || (at_begin && found != text))
			return NULL;
	} else {
		found = memmem(text, rest, piece, length);
	}
	return found ? found + length : NULL;
}

bool suppression_matches(const char *pattern, const char *text)
{
	bool at_begin = pattern[0] == '^';

	if (!text)
		return false;
	pattern += at_begin;
	for (;;) {
		size_t length = strcspn(pattern, "*$");
		bool at_end = pattern[length] == '$';

		text = piece_find(text, pattern, length, at_begin, at_end);
		if (!text)
			return false;
		if (pattern[length] != '*')
			return true;
		pattern += length + 1;
		at_begin = false;
	}
}

static bool frame_suppressed(const struct suppressions *suppressions,
			     const struct profile_frame *frame)
{
	for (size_t i = 0; i < suppressions->count; i++) {
		const char *pattern = suppressions->items[i];

		if (suppression_matches(pattern, frame->function) ||
		    suppression_matches(pattern, frame->file) ||
		    suppression_matches(pattern, frame->module))
			return true;
	}
	return false;
}

bool site_suppressed(const struct suppressions *suppressions, const struct profile *profile,
		     const struct profile_site *site)
{
	for (uint32_t i = 0; i < site->frame_count; i++)
		if (frame_suppressed(suppressions, &profile->frames[site->frames[i]]))
			return true;
	return false;
}

/* ---- what is built in -------------------------------------------------------------------------
 */

enum kept_kind {
	KEPT_NOTHING,
	KEPT_IMPORT, /* sys.modules, code objects, caches of paths */
	KEPT_RE,     /* re caches up to 512 patterns */
	KEPT_LINES,  /* linecache: sources of tracebacks */
	KEPT_LOCALE, /* of C and of Python; encodings */
	KEPT_TIME,   /* time zones */
	KEPT_LOADER, /* dlopen */
	KEPT_ABC,    /* caches of isinstance() */
	KEPT_INTERN, /* the table of interned strings */
	KEPT_KINDS,
};

/* Modules of Python's own library, below ".../python3.N/"; 3.6 to 3.14. */
static enum kept_kind library_kind(const char *file)
{
	static const struct {
		const char *name;
		enum kept_kind kind;
	} files[] = {
	    {"re.py", KEPT_RE},
	    {"re/__init__.py", KEPT_RE},
	    {"re/_compiler.py", KEPT_RE},
	    {"re/_parser.py", KEPT_RE},
	    {"sre_compile.py", KEPT_RE},
	    {"sre_parse.py", KEPT_RE},
	    {"linecache.py", KEPT_LINES},
	    {"locale.py", KEPT_LOCALE},
	    {"encodings/__init__.py", KEPT_LOCALE},
	    {"zoneinfo/__init__.py", KEPT_TIME},
	    {"zoneinfo/_common.py", KEPT_TIME},
	    {"zoneinfo/_zoneinfo.py", KEPT_TIME},
	    {"abc.py", KEPT_ABC},
	    {"_py_abc.py", KEPT_ABC},
	};
	const char *at = strstr(file, "/python3.");

	if (!at)
		return KEPT_NOTHING;
	at += strlen("/python3.");
	at += strcspn(at, "/");
	for (size_t i = 0; *at && i < ARRAY_LEN(files); i++)
		if (!strcmp(at + 1, files[i].name))
			return files[i].kind;
	return KEPT_NOTHING;
}

static enum kept_kind python_kind(const char *file)
{
	if (!strncmp(file, "<frozen importlib._bootstrap", 28) ||
	    !strcmp(file, "<frozen zipimport>"))
		return KEPT_IMPORT;
	if (!strcmp(file, "<frozen abc>"))
		return KEPT_ABC;
	return library_kind(file);
}

static bool is_c_library(const struct profile_frame *frame)
{
	static const char *const modules[] = {"libc.so.",   "libc-2.", "ld-linux", "ld-2.",
					      "ld-musl-",   "libc.musl-", "libdl.so.", "libdl-2."};
	const char *name = frame->module ? path_base(frame->module) : "";

	for (size_t i = 0; !frame->python && i < ARRAY_LEN(modules); i++)
		if (!strncmp(name, modules[i], strlen(modules[i])))
			return true;
	return false;
}

/* Functions of the C library; a name that ends in '_' is a prefix. */
static enum kept_kind c_library_kind(const char *function)
{
	static const struct {
		const char *name;
		enum kept_kind kind;
	} functions[] = {
	    {"dlopen", KEPT_LOADER},	  {"dlmopen", KEPT_LOADER},   {"_dl_", KEPT_LOADER},
	    {"dl_open_", KEPT_LOADER},	  {"setlocale", KEPT_LOCALE}, {"newlocale", KEPT_LOCALE},
	    {"_nl_", KEPT_LOCALE},	  {"tzset", KEPT_TIME},	      {"__tz_", KEPT_TIME},
	    {"__tzfile_", KEPT_TIME},	  {"localtime", KEPT_TIME},   {"localtime_r", KEPT_TIME},
	    {"__gconv_", KEPT_LOCALE},
	};

	for (size_t i = 0; i < ARRAY_LEN(functions); i++) {
		size_t length = strlen(functions[i].name);

		if (functions[i].name[length - 1] == '_'
			? !strncmp(function, functions[i].name, length)
			: !strcmp(function, functions[i].name))
			return functions[i].kind;
	}
	return KEPT_NOTHING;
}

static enum kept_kind frame_kind(const struct profile_frame *frame)
{
	if (frame->python)
		return frame->file ? python_kind(frame->file) : KEPT_NOTHING;
	if (frame->internal && (!strcmp(frame->function, "PyUnicode_InternInPlace") ||
				!strcmp(frame->function, "_PyUnicode_InternMortal") ||
				!strcmp(frame->function, "_PyUnicode_InternImmortal")))
		return KEPT_INTERN;
	return is_c_library(frame) ? c_library_kind(frame->function) : KEPT_NOTHING;
}

static enum kept_kind site_kind(const struct profile *profile, const struct profile_site *site)
{
	for (uint32_t i = 0; i < site->frame_count; i++) {
		const struct profile_frame *frame = &profile->frames[site->frames[i]];
		enum kept_kind kind = frame_kind(frame);

		if (kind || !(frame->internal || is_c_library(frame)))
			return kind;
	}
	return KEPT_NOTHING;
}

/* ---- sites ------------------------------------------------------------------------------------
 */

struct sieve {
	const struct profile *profile;
	const struct suppressions *suppressions;
	bool *frames;	/* suppressed by a pattern of a file */
	uint8_t *kinds; /* by site */
	bool *out;	/* by site */
	size_t kind_count;
};

static bool any_frame(const struct sieve *sieve, const struct profile_site *site)
{
	for (uint32_t i = 0; i < site->frame_count; i++)
		if (sieve->frames[site->frames[i]])
			return true;
	return false;
}

static void sites_match(struct sieve *sieve)
{
	const struct profile *profile = sieve->profile;

	for (uint32_t i = 0; i < profile->frame_count; i++)
		sieve->frames[i] = frame_suppressed(sieve->suppressions, &profile->frames[i]);
	for (uint32_t i = 0; i < profile->site_count; i++) {
		sieve->out[i] =
		    sieve->suppressions->count && any_frame(sieve, &profile->sites[i]);
		if (sieve->out[i] || !sieve->suppressions->built_in)
			continue;
		sieve->kinds[i] = site_kind(profile, &profile->sites[i]);
		sieve->kind_count += sieve->kinds[i] != KEPT_NOTHING;
	}
}

/* One site for each kind, process and class, named by the kind's number as a line. Returns 0 or
 * -ENOMEM. */
static int kinds_merge(const struct sieve *sieve, struct profile *merged)
{
	const struct profile *profile = sieve->profile;
	struct merger *merger = merger_new(profile, merged, MERGE_PLACES);

	if (!merger)
		return -ENOMEM;
	for (uint32_t i = 0; i < profile->site_count; i++) {
		const struct profile_frame frame = {.function = "kept", .line = sieve->kinds[i]};
		int64_t id = sieve->kinds[i] ? merger_frame(merger, &frame, &frame) : 0;
		uint32_t index = id;

		if (id < 0 ||
		    (sieve->kinds[i] &&
		     merger_site(merger, i, profile->sites[i].process, &index, 1))) {
			merger_drop(merger);
			return -ENOMEM;
		}
	}
	return merger_finish(merger, false);
}

/* Sites of a kind that goes on growing are not known to be kept. */
static void kind_forget(struct sieve *sieve, const struct profile_site *group, uint32_t kind)
{
	for (uint32_t i = 0; i < sieve->profile->site_count; i++) {
		const struct profile_site *site = &sieve->profile->sites[i];

		if (sieve->kinds[i] == kind && site->process == group->process &&
		    site->alloc_class == group->alloc_class)
			sieve->kinds[i] = KEPT_NOTHING;
	}
}

static int kinds_judge(struct sieve *sieve, struct err *err)
{
	const struct rank_options options = {.order = RANK_GROWTH};
	_cleanup_(profile_deinit) struct profile merged = {0};
	_cleanup_(ranking_free) struct ranking ranking = {0};

	if (!sieve->kind_count)
		return 0;
	if (kinds_merge(sieve, &merged))
		return err_set(err, ENOMEM, "out of memory");
	if (ranking_build(&merged, &options, &ranking, err))
		return -ENOMEM;
	for (size_t i = 0; i < ranking.count; i++) {
		const struct ranked_site *ranked = &ranking.items[i];

		if (ranked->verdict == VERDICT_LEAK || ranked->verdict == VERDICT_GROWING)
			kind_forget(sieve, ranked->site,
				    merged.frames[ranked->site->frames[0]].line);
	}
	return 0;
}

static int sites_keep(const struct sieve *sieve, struct profile *kept, struct view_rest *rest,
		      struct err *err)
{
	const struct profile *profile = sieve->profile;
	uint32_t last = profile->snapshot_count ? profile->snapshot_count - 1 : 0;
	struct profile_site *sites;

	kept->arena = arena_new();
	sites = kept->arena
		    ? arena_array(kept->arena, struct profile_site, profile->site_count + 1UL)
		    : NULL;
	if (!sites) {
		profile_deinit(kept);
		return err_set(err, ENOMEM, "out of memory");
	}
	kept->sites = sites;
	kept->site_count = 0;
	for (uint32_t i = 0; i < profile->site_count; i++) {
		const struct profile_site *site = &profile->sites[i];
		double live = live_bytes(profile_site_at(site, last));

		if (!sieve->out[i] && !sieve->kinds[i]) {
			sites[kept->site_count++] = *site;
			continue;
		}
		rest->sites++;
		rest->live_bytes += live;
		rest->growth_bytes += live - live_bytes(profile_site_at(site, 0));
	}
	return 0;
}

int profile_suppress(const struct profile *profile, const struct suppressions *suppressions,
		     struct profile *kept, struct view_rest *rest, struct err *err)
{
	_cleanup_free_ bool *frames = calloc(profile->frame_count + 1UL, sizeof(*frames));
	_cleanup_free_ uint8_t *kinds = calloc(profile->site_count + 1UL, sizeof(*kinds));
	_cleanup_free_ bool *out = calloc(profile->site_count + 1UL, sizeof(*out));
	struct sieve sieve = {profile, suppressions, frames, kinds, out, 0};

	*kept = *profile;
	kept->arena = NULL;
	*rest = (struct view_rest){0};
	if (!frames || !kinds || !out)
		return err_set(err, ENOMEM, "out of memory");
	sites_match(&sieve);
	if (kinds_judge(&sieve, err))
		return -ENOMEM;
	return sites_keep(&sieve, kept, rest, err);
}
