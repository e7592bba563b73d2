/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * publish.h - what the stack walker needs, written into kernel maps: unwind rows, mappings of
 * processes, files by inode.
 */
#ifndef SEEP_PROBE_PUBLISH_H
#define SEEP_PROBE_PUBLISH_H

#include <stddef.h>
#include <stdint.h>

#include "base/abi_types.h"

struct session;
struct err;
struct cfi_table;

/*
 * Copy the rows of a table into a shard. Returns 0 and the place; -E2BIG if the table exceeds a
 * shard, -ENOSPC when all shards are used, -errno of the kernel.
 */
int publish_rows(struct session *session, const struct cfi_table *table, struct table_ref *ref,
		 struct err *err);

/* Make a file known by inode. Returns 0 or -errno. */
int publish_file(struct session *session, const struct file_key *key, const struct file_info *info);

/* A process' piece of the mapping table. */
struct slice {
	uint32_t first, count;
};

struct slices {
	struct slice *items; /* in use, sorted by first */
	size_t count, capacity;
};

/* Copy 'count' sorted mappings to a free place. Returns 0, -ENOSPC when the table is full. */
int publish_mappings(struct session *session, struct slices *slices, const struct mapping *mappings,
		     uint32_t count, struct slice *slice);
void publish_free_slice(struct slices *slices, struct slice slice);

/* Begin to watch a process; proc->generation names it in the ledger. Returns 0 or -errno. */
int publish_new_proc(struct session *session, uint32_t tgid, const struct proc *proc);

/*
 * Change what is known of a watched process. Returns 0, -ESRCH if it has exited or a newer image has
 * taken its place meanwhile (its generation is higher; the event is in the ring), or -errno.
 */
int publish_proc(struct session *session, uint32_t tgid, const struct proc *proc);
int publish_read_proc(struct session *session, uint32_t tgid, struct proc *proc);

/* Stop watching, unless 'generation' is not the current one any more. */
void publish_remove_proc(struct session *session, uint32_t tgid, uint32_t generation);

/* Processes started by us that stopped themselves, or will: nobody waits for us any longer. */
void publish_release_stopped(struct session *session);

#endif
