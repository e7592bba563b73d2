/* SPDX-License-Identifier: GPL-2.0-only */
/* speedscope.c - see speedscope.h */
#include "export/speedscope.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "export/stacks.h"
#include "export/utf8.h"
#include "profile/profile.h"
#include "profile/rank.h"

#define SCHEMA "https://www.speedscope.app/file-format-schema.json"

/* One profile of the file; weights that are not positive are left out. */
struct face {
	const char *name, *unit;
	size_t value; /* offset of it in struct site_values */
	int sign;     /* -1: what is lost counts */
};

#define BYTES(name, value, sign)  {name, "bytes", offsetof(struct site_values, value), sign}
#define BLOCKS(name, value, sign) {name, "none", offsetof(struct site_values, value), sign}

static const struct face faces[] = {
    BYTES("growth", growth_bytes, 1),
    BYTES("live", live_bytes, 1),
    BYTES("allocated", alloc_bytes, 1),
    BYTES("shrunk", growth_bytes, -1),
    BLOCKS("growth in blocks", growth_blocks, 1),
    BLOCKS("live blocks", live_blocks, 1),
    BLOCKS("allocated blocks", alloc_blocks, 1),
    BLOCKS("shrunk by blocks", growth_blocks, -1),
};

static const struct face differential_faces[] = {
    BYTES("growth", growth_bytes, 1),
    BYTES("vanished", growth_bytes, -1),
    BYTES("live in the second", live_bytes, 1),
    BYTES("allocated in the second", alloc_bytes, 1),
    BLOCKS("growth in blocks", growth_blocks, 1),
    BLOCKS("vanished blocks", growth_blocks, -1),
    BLOCKS("live blocks in the second", live_blocks, 1),
    BLOCKS("allocated blocks in the second", alloc_blocks, 1),
};
#undef BYTES
#undef BLOCKS
#define FACES ARRAY_LEN(faces)
_Static_assert(ARRAY_LEN(differential_faces) == FACES, "written by the same loop");

static long long weight_of(const struct face *face, const struct ranked_site *ranked)
{
	const struct site_values values = site_values(ranked);

	return *(const long long *)((const char *)&values + face->value) * face->sign;
}

static long long face_total(const struct export_input *input, const struct face *face)
{
	long long total = 0;

	for (size_t i = 0; i < export_count(input); i++) {
		long long weight = weight_of(face, &input->ranking->items[i]);

		total += weight > 0 ? weight : 0;
	}
	return total;
}

static int samples_write(FILE *out, const struct export_input *input, const struct face *face,
			 struct stacks *stacks)
{
	const char *separator = "";

	for (size_t i = 0; i < export_count(input); i++) {
		const struct ranked_site *ranked = &input->ranking->items[i];

		if (weight_of(face, ranked) <= 0)
			continue;
		if (stacks_read(stacks, ranked->site))
			return -ENOMEM;
		fprintf(out, "%s[", separator);
		for (size_t k = stacks->stack.count; k-- > 0;)
			fprintf(out, "%u%s", stacks->stack.items[k], k ? "," : "]");
		separator = ",\n";
	}
	return 0;
}

static int face_write(FILE *out, const struct export_input *input, const struct face *face,
		      struct stacks *stacks)
{
	const char *separator = "";

	fprintf(out,
		"{\"type\":\"sampled\",\"name\":\"%s\",\"unit\":\"%s\",\"startValue\":0,"
		"\"endValue\":%lld,\"samples\":[",
		face->name, face->unit, face_total(input, face));
	if (samples_write(out, input, face, stacks))
		return -ENOMEM;
	fputs("],\n\"weights\":[", out);
	for (size_t i = 0; i < export_count(input); i++) {
		long long weight = weight_of(face, &input->ranking->items[i]);

		if (weight <= 0)
			continue;
		fprintf(out, "%s%lld", separator, weight);
		separator = ",";
	}
	fputs("]}", out);
	return 0;
}

/* Native code without a source file has its binary in that place. */
static void frame_write(FILE *out, const struct stacks *stacks, const struct stack_frame *frame)
{
	uint32_t file = frame->file ? frame->file : frame->module;

	fputs("{\"name\":", out);
	utf8_print_json(out, stacks_text(stacks, frame->name));
	if (file) {
		fputs(",\"file\":", out);
		utf8_print_json(out, stacks_text(stacks, file));
	}
	if (frame->line)
		fprintf(out, ",\"line\":%u", frame->line);
	fputc('}', out);
}

static int head_write(FILE *out, const struct export_input *input)
{
	const struct profile *profile = input->whole;
	_cleanup_free_ char *label =
	    profile->process_count ? process_label(&profile->processes[0]) : NULL;
	_cleanup_free_ char *name = NULL;
	int status;

	if (profile->process_count > 1)
		status = asprintf(&name, "%s and %u more", label ? label : "",
				  profile->process_count - 1);
	else
		status = asprintf(&name, "%s", label ? label : "no process");
	if (status < 0)
		return -ENOMEM;
	fprintf(out, "{\"$schema\":\"%s\",\"exporter\":\"seep@%s\",\"name\":", SCHEMA,
		SEEP_VERSION);
	utf8_print_json(out, name);
	fputs(",\"activeProfileIndex\":0,\n\"profiles\":[\n", out);
	return 0;
}

/* Growth is always there, whatever else is empty: the file needs a profile. */
static int faces_write(FILE *out, const struct export_input *input, struct stacks *stacks)
{
	const struct face *face = input->differential ? differential_faces : faces;

	for (size_t i = 0; i < FACES; i++) {
		if (i && !face_total(input, &face[i]))
			continue;
		fputs(i ? ",\n" : "", out);
		if (face_write(out, input, &face[i], stacks))
			return -ENOMEM;
	}
	return 0;
}

int export_speedscope(FILE *out, const struct export_input *input)
{
	_cleanup_(stacks_deinit) struct stacks stacks;

	if (stacks_init(&stacks, input->profile, false) || head_write(out, input) ||
	    faces_write(out, input, &stacks))
		return -ENOMEM;
	fputs("],\n\"shared\":{\"frames\":[", out);
	for (size_t i = 0; i < stacks.frames.count; i++) {
		fputs(i ? ",\n" : "\n", out);
		frame_write(out, &stacks, &stacks.frames.items[i]);
	}
	fputs("]}}\n", out);
	return 0;
}
