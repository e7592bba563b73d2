/* SPDX-License-Identifier: GPL-2.0-only */
/* output.c - see output.h */
#include "cli/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "export/dhat.h"
#include "export/html.h"
#include "export/json.h"
#include "export/openmetrics.h"
#include "export/pprof.h"
#include "export/speedscope.h"

int output_open(struct output *output, const char *path, struct err *err)
{
	struct stat info;
	int fd;

	*output = (struct output){.path = path};
	if (!strcmp(path, "-")) {
		output->file = stdout;
		return 0;
	}
	if (!stat(path, &info) && !S_ISREG(info.st_mode)) {
		output->file = fopen(path, "we");
		return output->file ? 0 : err_set(err, errno, "cannot open '%s': %m", path);
	}
	if (asprintf(&output->temporary, "%s.new.%d", path, (int)getpid()) < 0)
		return err_set(err, ENOMEM, "out of memory");
	fd = open(output->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd < 0) {
		err_set(err, errno, "cannot create '%s': %m", path);
		free(TAKE_PTR(output->temporary));
		return -err->code;
	}
	output->file = fdopen(fd, "w");
	return output->file ? 0 : err_set(err, ENOMEM, "out of memory");
}

int output_close(struct output *output, bool failed, struct err *err)
{
	const char *name = output->file == stdout ? "standard output" : output->path;
	int code = 0;

	errno = 0;
	if (fflush(output->file) || ferror(output->file))
		code = errno ? errno : EIO;
	if (output->file != stdout && fclose(output->file) && !code)
		code = errno;
	if (!code && !failed && output->temporary && rename(output->temporary, output->path))
		code = errno;
	if (output->temporary && (code || failed))
		unlink(output->temporary);
	free(output->temporary);
	if (code == EPIPE) {
		__fpurge(stdout);
		clearerr(stdout);
		return -EPIPE;
	}
	return code ? err_set(err, code, "cannot write '%s': %s", name, strerror(code)) : 0;
}

static bool ends_in(const char *path, const char *ending)
{
	size_t length = strlen(path), wanted = strlen(ending);

	return length >= wanted && !strcasecmp(path + length - wanted, ending);
}

enum output_format output_format_find(enum output_format given, const char *path)
{
	static const struct {
		const char *ending;
		enum output_format format;
	} endings[] = {
	    /* the longer ones first */
	    {".speedscope.json", FORMAT_SPEEDSCOPE},
	    {".dhat.json", FORMAT_DHAT},
	    {".json", FORMAT_JSON},
	    {".folded", FORMAT_FOLDED},
	    {".pb.gz", FORMAT_PPROF},
	    {".om", FORMAT_OPENMETRICS},
	    {".prom", FORMAT_OPENMETRICS},
	    {".html", FORMAT_HTML},
	    {".htm", FORMAT_HTML},
	};

	if (given != FORMAT_AUTO)
		return given;
	for (size_t i = 0; i < ARRAY_LEN(endings); i++)
		if (ends_in(path, endings[i].ending))
			return endings[i].format;
	return FORMAT_TEXT;
}

bool output_format_is_text(enum output_format format)
{
	return format != FORMAT_PPROF;
}

int output_export(FILE *file, const struct export_input *input, enum output_format format,
		  enum folded_value value, struct err *err)
{
	int status = 0;

	switch (format) {
	case FORMAT_AUTO:
	case FORMAT_TEXT:
		return err_set(err, EINVAL, "text is no format of its own");
	case FORMAT_JSON:
		status = export_json(file, input);
		break;
	case FORMAT_FOLDED:
		status = export_folded(file, input, value);
		break;
	case FORMAT_PPROF:
		status = export_pprof(file, input);
		break;
	case FORMAT_SPEEDSCOPE:
		status = export_speedscope(file, input);
		break;
	case FORMAT_DHAT:
		status = export_dhat(file, input);
		break;
	case FORMAT_OPENMETRICS:
		status = export_openmetrics(file, input);
		break;
	case FORMAT_HTML:
		status = export_html(file, input);
		break;
	}
	return status ? err_set(err, ENOMEM, "out of memory") : 0;
}
