/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * html.h - the report as one HTML file that needs no network: the template html/report.html with
 * its style, its scripts and the data, which the page decodes (html/data.js says how).
 *
 * The file holds the sites as ranked, whatever their frames, and with each the row that a person
 * is shown of it when the interpreter's own frames are hidden (VIEW_PLAIN of view.h): the page
 * switches between both. Bytes and blocks are rounded to integers, as in JSON.
 *
 * Of a recording with more than HTML_POINTS_MAX points only every Nth snapshot is in the file, with
 * the first, the last and the marked ones; the page says so.
 */
#ifndef SEEP_EXPORT_HTML_H
#define SEEP_EXPORT_HTML_H

#include <stdio.h>

#include "export/export.h"

#define HTML_POINTS_MAX 3000000

int export_html(FILE *out, const struct export_input *input);

#endif
