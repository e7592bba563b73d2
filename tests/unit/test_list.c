/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * test_list.c - the rows of seep top: their order, filters and groups, what is behind them, and that
 * they are found again after the file was read anew.
 */
#include <errno.h>

#include "recordings.h"

#include "base/cleanup.h"
#include "tui/list.h"

static const struct list_options everything = {.alloc_class = CLASS_COUNT};

static void load(struct list *list, const char *path)
{
	struct err err = {0};

	*list = (struct list){0};
	if (list_load(list, path, &err))
		fail_msg("%s", err.text);
}

static void arrange(struct list *list, struct list_options options)
{
	struct err err = {0};

	if (list_arrange(list, &options, &err))
		fail_msg("%s", err.text);
}

static void assert_row(const struct list *list, size_t row, const char *name, const char *place)
{
	char *a, *b;

	assert_true(row < list->count);
	assert_int_equal(list_name(list, row, &a, &b), 0);
	assert_string_equal(a, name);
	assert_string_equal(b, place);
	free(a);
	free(b);
}

#define CACHE_PLACE "/build/leaky/src/storage/backend/cache/lru_cache.cc:211"

static void order_is_what_was_chosen(void **state)
{
	struct list_options options = everything;
	struct list list;

	demo_write(test_path("order.seep"), false);
	load(&list, test_path("order.seep"));
	arrange(&list, options);
	assert_int_equal(list.count, 5);
	assert_int_equal(list.total, 5);
	assert_row(&list, 0, "remember", "src/leaky.c:17"); /* a leak before what is larger */
	assert_row(&list, 1, "Cache::insert(std::string const&)", CACHE_PLACE);
	options.sort = LIST_GROWTH;
	arrange(&list, options);
	assert_row(&list, 0, "Cache::insert(std::string const&)", CACHE_PLACE);
	assert_row(&list, 1, "batch", "src/leaky.c:29");
	assert_row(&list, 2, "remember", "src/leaky.c:17");
	options.sort = LIST_BLOCKS;
	arrange(&list, options);
	assert_row(&list, 1, "remember", "src/leaky.c:17");
	assert_row(&list, 2, "batch", "src/leaky.c:29");
	options.sort = LIST_KEPT;
	arrange(&list, options);
	assert_row(&list, 0, "remember", "src/leaky.c:17");
	assert_row(&list, 4, "batch", "src/leaky.c:29");
	list_free(&list);
}

static void filters_leave_rows_out(void **state)
{
	struct list_options options = everything;
	struct list list;

	demo_write(test_path("filter.seep"), false);
	load(&list, test_path("filter.seep"));
	options.alloc_class = CLASS_MMAP;
	arrange(&list, options);
	assert_int_equal(list.count, 1);
	assert_int_equal(list.total, 5);
	assert_row(&list, 0, "[stack not received]", "");
	options = everything;
	strcpy(options.text, "LEAKY.C:");
	arrange(&list, options);
	assert_int_equal(list.count, 2);
	assert_row(&list, 0, "remember", "src/leaky.c:17");
	assert_row(&list, 1, "batch", "src/leaky.c:29");
	strcpy(options.text, "no such text");
	arrange(&list, options);
	assert_int_equal(list.count, 0);
	assert_int_equal(list.total, 5);
	list_free(&list);
}

static void every_stack_is_behind_one_group(void **state)
{
	static const enum group_by by[] = {GROUP_FUNCTION, GROUP_LINE, GROUP_FILE, GROUP_SITE};
	struct list_options options = everything;
	struct list list;

	python_write(test_path("groups.seep"));
	load(&list, test_path("groups.seep"));
	for (size_t i = 0; i < ARRAY_LEN(by); i++) {
		size_t sum = 0, several = 0, count;

		options.by = by[i];
		arrange(&list, options);
		for (size_t row = 0; row < list.count; row++) {
			assert_non_null(list_stack(&list, row, &count));
			several += count > 1;
			sum += count;
		}
		assert_int_equal(sum, list.stacks.count);
		assert_int_equal(several > 0, by[i] != GROUP_SITE);
	}
	list_free(&list);
}

static void native_calls_are_named_with_their_line(void **state)
{
	struct list_options options = everything;
	struct list list;

	python_write(test_path("calls.seep"));
	load(&list, test_path("calls.seep"));
	strcpy(options.text, "SSL_new < ");
	arrange(&list, options);
	assert_int_equal(list.count, 2); /* one of each process */
	assert_true(list.several_processes);
	assert_row(&list, 0, "SSL_new < SSLSocket._create", "/usr/lib/python3.14/ssl.py:1069");
	list_free(&list);
}

static void rows_are_found_in_a_newer_load(void **state)
{
	struct list_options options = everything;
	uint64_t keys[64];
	struct err err = {0};
	struct list list;
	size_t count;

	python_write(test_path("keys.seep"));
	load(&list, test_path("keys.seep"));
	arrange(&list, options);
	count = list.count;
	assert_in_range(count, 2, ARRAY_LEN(keys));
	for (size_t i = 0; i < count; i++)
		keys[i] = list_key(&list, i);
	assert_int_equal(list_load(&list, test_path("keys.seep"), &err), 0);
	options.sort = LIST_BLOCKS;
	arrange(&list, options);
	for (size_t i = 0; i < count; i++) {
		ssize_t row = list_find(&list, keys[i]);

		assert_true(row >= 0);
		for (size_t k = 0; k < i; k++)
			assert_true(keys[k] != keys[i]);
	}
	assert_int_equal(list_find(&list, keys[0] + 1), -1);
	list_free(&list);
}

static void failed_load_leaves_the_rows(void **state)
{
	struct err err = {0};
	struct list list;

	demo_write(test_path("kept.seep"), false);
	load(&list, test_path("kept.seep"));
	arrange(&list, everything);
	assert_int_equal(list_load(&list, test_path("missing.seep"), &err), -ENOENT);
	assert_non_null(strstr(err.text, "missing.seep"));
	assert_row(&list, 0, "remember", "src/leaky.c:17");
	list_free(&list);
}

static void course_ends_at_the_live_bytes(void **state)
{
	double values[7];
	struct list list;

	demo_write(test_path("course.seep"), false);
	load(&list, test_path("course.seep"));
	arrange(&list, everything);
	list_series(&list, 0, values, ARRAY_LEN(values)); /* snapshots 0, 5, ... 30 */
	for (int i = 0; i < 7; i++)
		assert_true(values[i] == 5 * i * 211 * 1031);
	list_series(&list, 0, values, 1);
	assert_true(values[0] == 30 * 211 * 1031);
	assert_true(list.live_bytes[CLASS_MMAP] == 8192);
	list_free(&list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(order_is_what_was_chosen),
	    cmocka_unit_test(filters_leave_rows_out),
	    cmocka_unit_test(every_stack_is_behind_one_group),
	    cmocka_unit_test(native_calls_are_named_with_their_line),
	    cmocka_unit_test(rows_are_found_in_a_newer_load),
	    cmocka_unit_test(failed_load_leaves_the_rows),
	    cmocka_unit_test(course_ends_at_the_live_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, test_folder_remove);
}
