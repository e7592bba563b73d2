/* SPDX-License-Identifier: GPL-2.0-only */
/* verb.c - see verb.h */
#include "cli/verb.h"

#include <errno.h>

int verb_exit_status(int status)
{
	switch (-status) {
	case 0:
		return EXIT_OK;
	case EINVAL:
	case E2BIG:
		return EXIT_USAGE;
	case ENOENT:
	case ESRCH:
	case ENOEXEC:
		return EXIT_NO_TARGET;
	case EPERM:
	case EACCES:
	case ENOSYS:
		return EXIT_NO_PERMISSION;
	}
	return EXIT_FAILED;
}
