/* SPDX-License-Identifier: GPL-2.0-only */
/* sample_tables.h - the logarithms and exponentials that sampling in the kernel looks up. */
#ifndef SEEP_PROBE_SAMPLE_TABLES_H
#define SEEP_PROBE_SAMPLE_TABLES_H

struct sample_tables; /* bpf/sample.bpf.h */

/* Compute all of them; the same on every machine. */
void sample_tables_fill(struct sample_tables *tables);

#endif
