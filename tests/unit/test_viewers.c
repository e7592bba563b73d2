/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * test_viewers.c - what is written for other viewers: golden files, hostile names, the same totals
 * in every format. tests/viewers/run.py lets the viewers themselves read it.
 */
#include "unit/recordings.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <zlib.h>

#include "base/cleanup.h"
#include "cli/output.h"
#include "export/dhat.h"
#include "export/folded.h"
#include "export/openmetrics.h"
#include "export/pprof.h"
#include "export/protobuf.h"
#include "export/speedscope.h"
#include "profile/rank.h"
#include "profile/verdict.h"
#include "profile/view.h"
#include "unit/golden.h"
#include "unit/random.h"

#define FIGURES 6 /* of a site, in the order of pprof */

struct written {
	char *bytes;
	size_t length;
};

typedef int exporter(FILE *out, const struct export_input *input);

static int folded_diff(FILE *out, const struct export_input *input)
{
	return export_folded(out, input, FOLDED_DIFF);
}

static struct written write_view(const struct profile *whole, enum view_frames frames,
				 exporter *export, bool differential)
{
	const struct rank_options order = {.order = RANK_GROWTH};
	const struct view_options options = {.frames = frames};
	struct ranking ranking;
	struct view_rest rest;
	struct profile view;
	const struct export_input input = {.profile = &view,
					   .ranking = &ranking,
					   .limit = SIZE_MAX,
					   .whole = whole,
					   .differential = differential};
	struct written written = {0};
	FILE *out = open_memstream(&written.bytes, &written.length);

	assert_int_equal(profile_view(whole, &options, &view, &rest, NULL), 0);
	assert_int_equal(ranking_build(&view, &order, &ranking, NULL), 0);
	assert_int_equal(export(out, &input), 0);
	fclose(out);
	ranking_free(&ranking);
	profile_deinit(&view);
	return written;
}

static struct written write_as(const struct profile *whole, exporter *export)
{
	return write_view(whole, VIEW_ALL, export, false);
}

/* ---- a reader of protocol buffers
 * ----------------------------------------------------------------
 */

struct reader {
	const uint8_t *at, *end;
};

static uint64_t read_varint(struct reader *reader)
{
	uint64_t value = 0;

	for (unsigned int shift = 0; shift < 64; shift += 7) {
		assert_true(reader->at < reader->end);
		value |= (uint64_t)(*reader->at & 0x7f) << shift;
		if (!(*reader->at++ & 0x80))
			return value;
	}
	fail_msg("a number of more than 64 bits");
	return 0;
}

/* The next field: its number, and '*value' or '*bytes'. False at the end. */
static bool read_field(struct reader *reader, uint64_t *field, uint64_t *value,
		       struct reader *bytes)
{
	uint64_t tag, length;

	if (reader->at == reader->end)
		return false;
	tag = read_varint(reader);
	*field = tag >> 3;
	assert_true((tag & 7) == 0 || (tag & 7) == 2);
	*bytes = (struct reader){0};
	*value = 0;
	if ((tag & 7) == 0) {
		*value = read_varint(reader);
		return true;
	}
	length = read_varint(reader);
	assert_true(length <= (uint64_t)(reader->end - reader->at));
	*bytes = (struct reader){reader->at, reader->at + length};
	reader->at += length;
	return true;
}

static struct written gunzip(struct written zipped)
{
	struct written plain = {calloc(1, 1 << 22), 1 << 22};
	z_stream stream = {.next_in = (uint8_t *)zipped.bytes,
			   .avail_in = zipped.length,
			   .next_out = (uint8_t *)plain.bytes,
			   .avail_out = plain.length};

	assert_int_equal(inflateInit2(&stream, MAX_WBITS + 16), Z_OK);
	assert_int_equal(inflate(&stream, Z_FINISH), Z_STREAM_END);
	assert_int_equal(stream.avail_in, 0);
	plain.length = stream.total_out;
	inflateEnd(&stream);
	free(zipped.bytes);
	return plain;
}

#define STRINGS_MAX 2000
#define SAMPLES_MAX 200

/* A profile of pprof, taken apart. */
struct parsed {
	struct written plain;
	char *strings[STRINGS_MAX];
	size_t strings_count;
	int64_t samples[SAMPLES_MAX][FIGURES];
	size_t samples_count;
};

static void parse_values(struct parsed *parsed, struct reader sample)
{
	struct reader bytes;
	uint64_t field, value;

	while (read_field(&sample, &field, &value, &bytes)) {
		if (field != 2)
			continue;
		for (size_t i = 0; i < FIGURES; i++)
			parsed->samples[parsed->samples_count][i] = read_varint(&bytes);
		assert_ptr_equal(bytes.at, bytes.end);
	}
	parsed->samples_count++;
}

static void pprof_parse(struct written zipped, struct parsed *parsed)
{
	struct reader reader, bytes;
	uint64_t field, value;

	*parsed = (struct parsed){.plain = gunzip(zipped)};
	reader = (struct reader){(uint8_t *)parsed->plain.bytes,
				 (uint8_t *)parsed->plain.bytes + parsed->plain.length};
	while (read_field(&reader, &field, &value, &bytes)) {
		if (field == 6) {
			assert_true(parsed->strings_count < STRINGS_MAX);
			parsed->strings[parsed->strings_count++] =
			    strndup((const char *)bytes.at, bytes.end - bytes.at);
		}
		if (field == 2) {
			assert_true(parsed->samples_count < SAMPLES_MAX);
			parse_values(parsed, bytes);
		}
	}
}

static void parsed_free(struct parsed *parsed)
{
	for (size_t i = 0; i < parsed->strings_count; i++)
		free(parsed->strings[i]);
	free(parsed->plain.bytes);
}

/* What stands in a field of a message, by name of the message. */
static const struct shape {
	const char *name;
	struct {
		const char *name;
		char kind; /* n: a number, s: of a string, p: packed, m: a message; 0: none */
		const struct shape *of;
	} fields[16];
} shape_value_type = {"", {[1] = {"type", 's'}, [2] = {"unit", 's'}}},
  shape_label = {"", {[1] = {"key", 's'}, [2] = {"str", 's'}}},
  shape_sample =
      {"", {[1] = {"location", 'p'}, [2] = {"value", 'p'}, [3] = {"label", 'm', &shape_label}}},
  shape_mapping = {"",
		   {[1] = {"id", 'n'},
		    [3] = {"limit", 'n'},
		    [5] = {"file", 's'},
		    [7] = {"functions", 'n'},
		    [8] = {"files", 'n'},
		    [9] = {"lines", 'n'},
		    [10] = {"inlined", 'n'}}},
  shape_line = {"", {[1] = {"function", 'n'}, [2] = {"line", 'n'}}},
  shape_location = {"",
		    {[1] = {"id", 'n'},
		     [2] = {"mapping", 'n'},
		     [3] = {"address", 'n'},
		     [4] = {"line", 'm', &shape_line}}},
  shape_function =
      {"",
       {[1] = {"id", 'n'}, [2] = {"name", 's'}, [3] = {"system_name", 's'}, [4] = {"file", 's'}}},
  shape_profile = {"profile",
		   {[1] = {"sample_type", 'm', &shape_value_type},
		    [2] = {"sample", 'm', &shape_sample},
		    [3] = {"mapping", 'm', &shape_mapping},
		    [4] = {"location", 'm', &shape_location},
		    [5] = {"function", 'm', &shape_function},
		    [6] = {"string", 0},
		    [9] = {"time", 'n'},
		    [10] = {"duration", 'n'},
		    [11] = {"period_type", 'm', &shape_value_type},
		    [12] = {"period", 'n'},
		    [13] = {"comment", 's'},
		    [14] = {"default_sample_type", 's'}}};

static void message_print(FILE *out, const struct parsed *parsed, struct reader reader,
			  const struct shape *shape)
{
	struct reader bytes;
	uint64_t field, value;

	while (read_field(&reader, &field, &value, &bytes)) {
		assert_true(field < 16 && shape->fields[field].name);
		if (!shape->fields[field].kind)
			continue;
		fprintf(out, " %s", shape->fields[field].name);
		switch (shape->fields[field].kind) {
		case 'n':
			fprintf(out, "=%" PRIu64, value);
			break;
		case 's':
			assert_true(value < parsed->strings_count);
			fprintf(out, "=\"%s\"", parsed->strings[value]);
			break;
		case 'p':
			while (bytes.at < bytes.end)
				fprintf(out, " %" PRId64, (int64_t)read_varint(&bytes));
			break;
		case 'm':
			fputs(" {", out);
			message_print(out, parsed, bytes, shape->fields[field].of);
			fputs(" }", out);
			break;
		}
		fputs(shape == &shape_profile ? "\n" : "", out);
	}
}

/* A pprof file as text, for golden files. */
static struct written pprof_print(struct written zipped)
{
	struct written text = {0};
	FILE *out = open_memstream(&text.bytes, &text.length);
	struct parsed parsed;

	pprof_parse(zipped, &parsed);
	message_print(out, &parsed,
		      (struct reader){(uint8_t *)parsed.plain.bytes,
				      (uint8_t *)parsed.plain.bytes + parsed.plain.length},
		      &shape_profile);
	fclose(out);
	parsed_free(&parsed);
	return text;
}

/* ---- golden files -------------------------------------------------------------------------------
 */

static void assert_written(const char *name, struct written written)
{
	_cleanup_free_ char *bytes = written.bytes;

	assert_golden(name, bytes);
}

static void files_look_as_they_did(void **state)
{
	struct profile demo, python;

	demo_write(test_path("demo.seep"), false);
	python_write(test_path("python.seep"));
	test_load(test_path("demo.seep"), &demo);
	test_load(test_path("python.seep"), &python);
	assert_written("demo.pprof.txt", pprof_print(write_as(&demo, export_pprof)));
	assert_written("demo.speedscope.json", write_as(&demo, export_speedscope));
	assert_written("demo.dhat.json", write_as(&demo, export_dhat));
	assert_written("demo.om", write_as(&demo, export_openmetrics));
	assert_written("python.pprof.txt",
		      pprof_print(write_view(&python, VIEW_PLAIN, export_pprof, false)));
	assert_written("python.speedscope.json",
		      write_view(&python, VIEW_PLAIN, export_speedscope, false));
	assert_written("python.dhat.json", write_view(&python, VIEW_PLAIN, export_dhat, false));
	assert_written("python.om", write_view(&python, VIEW_PLAIN, export_openmetrics, false));
	assert_written("python-diff.folded", write_view(&python, VIEW_PLAIN, folded_diff, false));
	assert_written("differential.pprof.txt",
		      pprof_print(write_view(&python, VIEW_PYTHON, export_pprof, true)));
	assert_written("differential.speedscope.json",
		      write_view(&python, VIEW_PYTHON, export_speedscope, true));
	assert_written("differential.dhat.json",
		      write_view(&python, VIEW_PYTHON, export_dhat, true));
	profile_deinit(&demo);
	profile_deinit(&python);
}

static void a_recording_without_sites_can_be_written(void **state)
{
	struct recording *recording = test_create(test_path("empty.seep"), &test_meta);
	struct profile profile;
	exporter *const all[] = {export_speedscope, export_dhat};

	test_close(recording);
	test_load(test_path("empty.seep"), &profile);
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		struct written written = write_as(&profile, all[i]);
		json_t *root = json_loads(written.bytes, 0, NULL);

		assert_non_null(root);
		assert_int_equal(json_array_size(json_object_get(root, "profiles")), !i);
		json_decref(root);
		free(written.bytes);
	}
	free(pprof_print(write_as(&profile, export_pprof)).bytes);
	free(write_as(&profile, export_openmetrics).bytes);
	profile_deinit(&profile);
}

/* An inlined function whose caller a view has left out stands before another instruction. */
static void only_what_is_inlined_shares_a_location(void **state)
{
	struct profile profile;
	struct written text;

	demo_write(test_path("inlined.seep"), false);
	test_load(test_path("inlined.seep"), &profile);
	profile.site_count = 1;
	profile.sites[0] =
	    profile.sites[1]; /* operator new, Cache::insert in Server::handle, main */
	assert_int_equal(profile.sites[0].frame_count, 4);
	text = pprof_print(write_as(&profile, export_pprof));
	assert_non_null(strstr(text.bytes, " sample { location 1 2 3 value "));
	free(text.bytes);
	for (uint32_t i = 0; i < profile.frame_count; i++)
		if (!profile.frames[i].inlined && profile.frames[i].offset == 0x1200)
			profile.frames[i].offset = 0x1201;
	text = pprof_print(write_as(&profile, export_pprof));
	assert_non_null(strstr(text.bytes, " sample { location 1 2 3 4 value "));
	free(text.bytes);
	profile_deinit(&profile);
}

/* ---- hostile names ------------------------------------------------------------------------------
 */

static void assert_shown(const char *text)
{
	json_t *valid = json_string(text);

	assert_non_null(valid); /* UTF-8 */
	json_decref(valid);
	for (; *text; text++)
		assert_true((unsigned char)*text >= 0x20 && *text != 0x7f);
}

static void hostile_names_survive_in_pprof(void **state)
{
	struct profile profile;
	struct parsed parsed;
	size_t longest = 0;

	hostile_write(test_path("hostile.seep"));
	test_load(test_path("hostile.seep"), &profile);
	pprof_parse(write_as(&profile, export_pprof), &parsed);
	assert_int_equal(parsed.samples_count, 12);
	assert_string_equal(parsed.strings[0], "");
	for (size_t i = 0; i < parsed.strings_count; i++) {
		size_t length = strlen(parsed.strings[i]);

		assert_shown(parsed.strings[i]);
		longest = length > longest ? length : longest;
		for (size_t k = 0; k < i; k++)
			assert_string_not_equal(parsed.strings[i], parsed.strings[k]);
	}
	assert_int_equal(longest, LONG_NAME);
	parsed_free(&parsed);
	profile_deinit(&profile);
}

static void hostile_names_survive_in_speedscope_and_dhat(void **state)
{
	struct written written;
	struct profile profile;
	json_t *root, *item;
	size_t index;

	hostile_write(test_path("hostile.seep"));
	test_load(test_path("hostile.seep"), &profile);
	written = write_as(&profile, export_speedscope);
	root = json_loads(written.bytes, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(root);
	item = json_object_get(json_object_get(root, "shared"), "frames");
	assert_int_equal(json_array_size(item), 12 + 2); /* and two processes */
	json_array_foreach(json_object_get(json_object_get(root, "shared"), "frames"), index, item)
	{
		assert_shown(json_string_value(json_object_get(item, "name")));
		assert_int_not_equal(json_string_length(json_object_get(item, "name")), 0);
	}
	json_decref(root);
	free(written.bytes);
	written = write_as(&profile, export_dhat);
	root = json_loads(written.bytes, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(root);
	assert_int_equal(json_array_size(json_object_get(root, "pps")), 12);
	json_array_foreach(json_object_get(root, "ftbl"), index, item)
	    assert_shown(json_string_value(item));
	json_decref(root);
	free(written.bytes);
	profile_deinit(&profile);
}

/* name{label="...",...} number, one a line */
static void assert_metric(const char *line)
{
	const char *at = line + strspn(line, "abcdefghijklmnopqrstuvwxyz_");
	char *end;

	if (line[0] == '#')
		return;
	assert_int_equal(strncmp(line, "seep_", 5), 0);
	if (*at == '{') {
		do {
			at += 1 + strspn(at + 1, "abcdefghijklmnopqrstuvwxyz_");
			assert_int_equal(strncmp(at, "=\"", 2), 0);
			for (at += 2; *at && *at != '"'; at++)
				if (*at == '\\')
					assert_non_null(strchr("\\\"n", *++at));
			assert_int_equal(*at++, '"');
		} while (*at == ',');
		assert_int_equal(*at++, '}');
	}
	assert_int_equal(*at, ' ');
	strtod(at + 1, &end);
	assert_int_equal(*end, '\0');
}

/* Names of a loss and of a process that differ only in what cannot be shown, too. */
static void hostile_names_survive_in_openmetrics(void **state)
{
	struct profile_loss losses[] = {{"a\n", "", 3}, {"a\r", "", 5}, {"\"\\", "", 7}};
	struct profile_event events[] = {{0, "x\"", ""}, {0, "x\"", ""}};
	struct profile profile;
	struct written written;
	char *line, *rest;

	hostile_write(test_path("hostile.seep"));
	test_load(test_path("hostile.seep"), &profile);
	profile.losses = losses;
	profile.loss_count = ARRAY_LEN(losses);
	profile.events = events;
	profile.event_count = ARRAY_LEN(events);
	profile.processes[1] = profile.processes[0];
	strcpy(profile.processes[0].comm, "\x1b");
	strcpy(profile.processes[1].comm, "\x1c");
	written = write_as(&profile, export_openmetrics);
	assert_non_null(strstr(written.bytes, "\nseep_losses{reason=\"a?\"} 8\n"));
	assert_non_null(strstr(written.bytes, "\nseep_losses{reason=\"\\\"\\\\\"} 7\n"));
	assert_non_null(strstr(written.bytes, "\nseep_events{kind=\"x\\\"\"} 2\n"));
	assert_non_null(strstr(
	    written.bytes, "\nseep_live_bytes{pid=\"811\",comm=\"?\",class=\"malloc\"} 9906\n"));
	assert_string_equal(written.bytes + written.length - 7, "\n# EOF\n");
	line = strtok_r(written.bytes, "\n", &rest);
	for (; line; line = strtok_r(NULL, "\n", &rest))
		assert_metric(line);
	free(written.bytes);
	profile_deinit(&profile);
}

/* ---- the same totals everywhere
 * ------------------------------------------------------------------
 */

/* Names that are often the same, inlined functions, processes of one pid, growth of either sign. */
static void random_write(const char *path, uint64_t seed)
{
	static const char *const names[] = {"f", "g;", "operator new", "f", ""};
	struct recording *recording = test_create(path, &test_meta);
	struct prng prng = {seed};
	uint32_t sites = random_below(&prng, 60), snapshots = 2 + random_below(&prng, 9);
	uint32_t processes = 1 + random_below(&prng, 3);

	for (uint32_t i = 0; i < processes; i++)
		put_process(recording, i, i == 2 ? 811 : 811 + i, "x");
	for (uint32_t i = 0; i < snapshots; i++) {
		const struct profile_snapshot snapshot = {.time_ns = i * NS_PER_S};

		recording_put_snapshot(recording, i, &snapshot);
	}
	for (uint32_t i = 0; i < 20; i++) {
		const struct profile_frame frames[] = {
		    {.function = names[i % 5], .module = "/m", .offset = i % 7, .inlined = true},
		    {.function = names[i % 3], .module = "/m", .offset = i % 7, .line = i % 2},
		};

		recording_put_frame(recording, NATIVE(1, i), frames + i % 2, 2 - i % 2);
	}
	for (uint32_t i = 0; i < sites; i++) {
		uint32_t depth = random_below(&prng, 5);
		uint64_t frames[5];
		double blocks = 0, freed = 0;

		for (uint32_t k = 0; k < depth; k++)
			frames[k] = NATIVE(1, random_below(&prng, 20));
		recording_put_stack(recording, i, frames, depth, i % 7 == 0, WALK_END_DEPTH);
		recording_put_site(recording, i, i % processes, random_below(&prng, CLASS_COUNT),
				   i);
		for (uint32_t k = random_below(&prng, 2); k < snapshots; k += 1 + i % 4) {
			blocks += random_below(&prng, k ? 100 : 1000);
			freed += floor((blocks - freed) * random_below(&prng, 5) / 4);
			put_point(recording, i, k, blocks, freed, 1009 + i, 0);
		}
	}
	test_close(recording);
}

/* Sums over all sites: of what is there, and of the positive and negative parts. */
struct sums {
	long long all[FIGURES], positive[FIGURES], negative[FIGURES];
};

static void sums_add(struct sums *sums, size_t figure, long long value)
{
	sums->all[figure] += value;
	*(value > 0 ? &sums->positive[figure] : &sums->negative[figure]) += value;
}

/* By the simplest means: first and last points. */
static struct sums sums_read(const struct profile *profile)
{
	struct sums sums = {0};

	for (uint32_t i = 0; i < profile->site_count; i++) {
		const struct profile_site *site = &profile->sites[i];
		struct site_totals first = profile_site_at(site, 0);
		struct site_totals last = profile_site_at(site, profile->snapshot_count - 1);

		sums_add(&sums, 0, last.alloc_blocks);
		sums_add(&sums, 1, last.alloc_bytes);
		sums_add(&sums, 2, live_blocks(last) - live_blocks(first));
		sums_add(&sums, 3, live_bytes(last) - live_bytes(first));
		sums_add(&sums, 4, live_blocks(last));
		sums_add(&sums, 5, live_bytes(last));
	}
	return sums;
}

static void pprof_compare(const struct profile *profile, const struct sums *sums)
{
	struct parsed parsed;
	struct sums seen = {0};

	pprof_parse(write_as(profile, export_pprof), &parsed);
	assert_int_equal(parsed.samples_count, profile->site_count);
	for (size_t i = 0; i < parsed.samples_count; i++)
		for (size_t k = 0; k < FIGURES; k++)
			sums_add(&seen, k, parsed.samples[i][k]);
	assert_memory_equal(&seen, sums, sizeof(seen));
	parsed_free(&parsed);
}

static long long array_sum(const json_t *array)
{
	long long sum = 0;
	size_t index;
	json_t *item;

	json_array_foreach(array, index, item)
	{
		assert_true(json_integer_value(item) > 0);
		sum += json_integer_value(item);
	}
	return sum;
}

static long long speedscope_sum(const json_t *root, const char *name)
{
	json_t *profile;
	size_t index;

	json_array_foreach(json_object_get(root, "profiles"), index, profile)
	{
		const json_t *weights = json_object_get(profile, "weights");

		if (strcmp(json_string_value(json_object_get(profile, "name")), name) != 0)
			continue;
		assert_int_equal(json_array_size(json_object_get(profile, "samples")),
				 json_array_size(weights));
		assert_int_equal(json_integer_value(json_object_get(profile, "endValue")),
				 array_sum(weights));
		return array_sum(weights);
	}
	return 0;
}

static void speedscope_compare(const struct profile *profile, const struct sums *sums)
{
	struct written written = write_as(profile, export_speedscope);
	json_t *root = json_loads(written.bytes, 0, NULL);

	assert_non_null(root);
	assert_int_equal(speedscope_sum(root, "allocated blocks"), sums->all[0]);
	assert_int_equal(speedscope_sum(root, "allocated"), sums->all[1]);
	assert_int_equal(speedscope_sum(root, "growth in blocks"), sums->positive[2]);
	assert_int_equal(speedscope_sum(root, "shrunk by blocks"), -sums->negative[2]);
	assert_int_equal(speedscope_sum(root, "growth"), sums->positive[3]);
	assert_int_equal(speedscope_sum(root, "shrunk"), -sums->negative[3]);
	assert_int_equal(speedscope_sum(root, "live blocks"), sums->all[4]);
	assert_int_equal(speedscope_sum(root, "live"), sums->all[5]);
	json_decref(root);
	free(written.bytes);
}

/* Sum of a figure of the program points, whose stacks are all different. */
static long long dhat_sum(const json_t *root, const char *key)
{
	long long sum = 0;
	json_t *point, *other;
	size_t index, before;

	json_array_foreach(json_object_get(root, "pps"), index, point)
	{
		long long value = json_integer_value(json_object_get(point, key));

		assert_true(value >= 0);
		sum += value;
		json_array_foreach(json_object_get(root, "pps"), before, other)
		    assert_true(before >= index || !json_equal(json_object_get(point, "fs"),
							       json_object_get(other, "fs")));
	}
	return sum;
}

/* The most that was live at once. */
static long long peak_read(const struct profile *profile)
{
	double peak = 0;

	for (uint32_t i = 0; i < profile->snapshot_count; i++) {
		double sum = 0;

		for (uint32_t k = 0; k < profile->site_count; k++)
			sum += live_bytes(profile_site_at(&profile->sites[k], i));
		peak = sum > peak ? sum : peak;
	}
	return peak;
}

static void dhat_compare(const struct profile *profile, const struct sums *sums)
{
	struct written written = write_as(profile, export_dhat);
	json_t *root = json_loads(written.bytes, 0, NULL);

	assert_non_null(root);
	assert_int_equal(dhat_sum(root, "tbk"), sums->all[0]);
	assert_int_equal(dhat_sum(root, "tb"), sums->all[1]);
	assert_int_equal(dhat_sum(root, "ebk"), sums->all[4]);
	assert_int_equal(dhat_sum(root, "eb"), sums->all[5]);
	assert_int_equal(dhat_sum(root, "gb"), peak_read(profile));
	assert_true(dhat_sum(root, "mb") >= peak_read(profile));
	json_decref(root);
	free(written.bytes);
}

/* Sum of all samples of a metric. */
static long long metric_sum(const char *text, const char *name)
{
	long long sum = 0;
	char start[64];

	snprintf(start, sizeof(start), "\n%s{", name);
	for (const char *at = text; (at = strstr(at, start)); at++)
		sum += strtoll(strchr(at, '}') + 2, NULL, 10);
	return sum;
}

static void openmetrics_compare(const struct profile *profile, const struct sums *sums)
{
	struct written written = write_as(profile, export_openmetrics);
	static const char *const names[FIGURES] = {"seep_allocated_blocks", "seep_allocated_bytes",
						   "seep_growth_blocks",    "seep_growth_bytes",
						   "seep_live_blocks",	    "seep_live_bytes"};

	for (size_t i = 0; i < FIGURES; i++)
		assert_int_equal(metric_sum(written.bytes, names[i]), sums->all[i]);
	/* two processes of one pid and name are one series */
	assert_int_equal(metric_sum(written.bytes, "seep_resident_bytes"),
			 (profile->process_count > 1 ? 2 : 1) * (163LL << 20));
	free(written.bytes);
}

static void folded_compare(const struct profile *profile, const struct sums *sums)
{
	struct written written = write_as(profile, folded_diff);
	long long before = 0, after = 0;
	char *line, *rest;

	line = strtok_r(written.bytes, "\n", &rest);
	for (; line; line = strtok_r(NULL, "\n", &rest)) {
		char *second = strrchr(line, ' ');

		after += strtoll(second, NULL, 10);
		*second = '\0';
		before += strtoll(strrchr(line, ' '), NULL, 10);
	}
	assert_int_equal(after, sums->all[5]);
	assert_int_equal(after - before, sums->all[3]);
	free(written.bytes);
}

static void every_format_has_the_same_totals(void **state)
{
	bool shrunk = false;

	for (uint64_t seed = 1; seed <= 60; seed++) {
		struct profile profile;
		struct sums sums;

		random_write(test_path("random.seep"), seed);
		test_load(test_path("random.seep"), &profile);
		sums = sums_read(&profile);
		shrunk |= sums.negative[3] < 0;
		pprof_compare(&profile, &sums);
		speedscope_compare(&profile, &sums);
		dhat_compare(&profile, &sums);
		openmetrics_compare(&profile, &sums);
		folded_compare(&profile, &sums);
		profile_deinit(&profile);
	}
	assert_true(shrunk);
}

/* ---- the parts ----------------------------------------------------------------------------------
 */

static void numbers_are_written_as_protobuf_wants_them(void **state)
{
	static const uint64_t numbers[] = {1,	      127,	  128,	      300,
					   16383,     16384,	  UINT32_MAX, 1ULL << 62,
					   INT64_MAX, 1ULL << 63, UINT64_MAX, -4099LL};
	struct message message = {0};
	struct reader reader, bytes;
	uint64_t field, value;

	for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
		message_number(&message, i + 1, numbers[i]);
	message_number(&message, 100, 0);
	reader = (struct reader){message.bytes, message.bytes + message.length};
	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		assert_true(read_field(&reader, &field, &value, &bytes));
		assert_int_equal(field, i + 1);
		assert_true(value == numbers[i]);
	}
	assert_false(read_field(&reader, &field, &value, &bytes));
	message_clear(&message);
	message_varint(&message, 300); /* the example of the specification */
	assert_int_equal(message.length, 2);
	assert_memory_equal(message.bytes, "\xac\x02", 2);
	message_free(&message);
}

static void formats_follow_the_ending(void **state)
{
	static const struct {
		enum output_format given;
		const char *path;
		enum output_format found;
	} cases[] = {
	    {FORMAT_AUTO, "-", FORMAT_TEXT},
	    {FORMAT_AUTO, "x", FORMAT_TEXT},
	    {FORMAT_AUTO, "x.txt", FORMAT_TEXT},
	    {FORMAT_AUTO, "a.b/x.json", FORMAT_JSON},
	    {FORMAT_AUTO, "x.speedscope.json", FORMAT_SPEEDSCOPE},
	    {FORMAT_AUTO, "speedscope.json", FORMAT_JSON},
	    {FORMAT_AUTO, "x.dhat.json", FORMAT_DHAT},
	    {FORMAT_AUTO, "x.JSON", FORMAT_JSON},
	    {FORMAT_AUTO, "x.folded", FORMAT_FOLDED},
	    {FORMAT_AUTO, "x.pb.gz", FORMAT_PPROF},
	    {FORMAT_AUTO, "x.gz", FORMAT_TEXT},
	    {FORMAT_AUTO, "x.om", FORMAT_OPENMETRICS},
	    {FORMAT_AUTO, "x.prom", FORMAT_OPENMETRICS},
	    {FORMAT_AUTO, "x.html", FORMAT_HTML},
	    {FORMAT_FOLDED, "x.json", FORMAT_FOLDED},
	    {FORMAT_TEXT, "x.pb.gz", FORMAT_TEXT},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		if (output_format_find(cases[i].given, cases[i].path) != cases[i].found)
			fail_msg("%s: %d", cases[i].path,
				 output_format_find(cases[i].given, cases[i].path));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(files_look_as_they_did),
	    cmocka_unit_test(a_recording_without_sites_can_be_written),
	    cmocka_unit_test(only_what_is_inlined_shares_a_location),
	    cmocka_unit_test(hostile_names_survive_in_pprof),
	    cmocka_unit_test(hostile_names_survive_in_speedscope_and_dhat),
	    cmocka_unit_test(hostile_names_survive_in_openmetrics),
	    cmocka_unit_test(every_format_has_the_same_totals),
	    cmocka_unit_test(numbers_are_written_as_protobuf_wants_them),
	    cmocka_unit_test(formats_follow_the_ending),
	};

	return cmocka_run_group_tests(tests, NULL, test_folder_remove);
}
