/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * dlopen.c PLUGIN [ALLOCATOR] - loads PLUGIN after it was attached to and lets it allocate.
 *
 * build: $CC -o $OUT/dlopen $SRC -ldl
 *
 * early	right after dlopen, plugin_work (run_plugin_at_once): 211 x 1009, "done"
 * late		at the next line (run_plugin_later): 211 x 1009, "done"
 */
#include <dlfcn.h>

#include "target.h"

typedef void plugin_function(void);

void run_plugin_at_once(plugin_function *work);
void run_plugin_later(plugin_function *work);

NOIPA void run_plugin_at_once(plugin_function *work)
{
	work();
	NO_TAIL_CALL();
}

NOIPA void run_plugin_later(plugin_function *work)
{
	work();
	NO_TAIL_CALL();
}

int main(int argc, char **argv)
{
	plugin_function *work;
	void *library;

	if (argc < 2)
		target_usage();
	target_ready();
	library = dlopen(argv[1], RTLD_NOW);
	if (!library)
		_exit(3);
	*(void **)&work = dlsym(library, "plugin_work");
	if (!work)
		_exit(3);
	run_plugin_at_once(work);
	target_done();
	run_plugin_later(work);
	target_done();
	return 0;
}
