/* SPDX-License-Identifier: GPL-2.0-only */
/* publish.c - see publish.h */
#include "probe/publish.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "base/cleanup.h"
#include "base/err.h"
#include "base/vec.h"
#include "probe/guardian.h"
#include "probe/session.h"
#include "unwind/cfi.h"

#include "seep.skel.h"

#define SHARD_BYTES (sizeof(struct unwind_row) * ROWS_PER_SHARD)

/* ---- rows ------------------------------------------------------------------------------------ */

static int add_shard(struct session *session, struct err *err)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_MMAPABLE);
	_cleanup_close_ int fd = -1;
	uint32_t shard = session->shard_count;
	void *memory;

	if (shard == ROW_SHARDS_MAX)
		return err_set(err, ENOSPC, "no room for more unwind tables");
	fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "seep_rows", sizeof(uint32_t),
			    sizeof(struct unwind_row), ROWS_PER_SHARD, &options);
	if (fd < 0)
		return err_set(err, errno, "cannot create an unwind table: %m");
	memory = mmap(NULL, SHARD_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED)
		return err_set(err, errno, "cannot map an unwind table: %m");
	if (bpf_map_update_elem(bpf_map__fd(session->bpf->maps.row_shards), &shard, &fd, BPF_ANY)) {
		munmap(memory, SHARD_BYTES);
		return err_set(err, errno, "cannot install an unwind table: %m");
	}
	session->shards[session->shard_count++] = memory;
	session->shard_used = 0;
	return 0;
}

int publish_rows(struct session *session, const struct cfi_table *table, struct table_ref *ref,
		 struct err *err)
{
	*ref = (struct table_ref){ 0 };
	if (!table->row_count)
		return 0;
	if (table->row_count > ROWS_PER_SHARD)
		return err_set(err, E2BIG, "unwind table of %zu rows is too large",
			       table->row_count);
	if (!session->shard_count || session->shard_used + table->row_count > ROWS_PER_SHARD) {
		int status = add_shard(session, err);

		if (status)
			return status;
	}
	ref->shard = session->shard_count - 1;
	ref->first = session->shard_used;
	ref->count = table->row_count;
	memcpy(session->shards[ref->shard] + ref->first, table->rows,
	       table->row_count * sizeof(*table->rows));
	session->shard_used += table->row_count;
	return 0;
}

int publish_file(struct session *session, const struct file_key *key, const struct file_info *info)
{
	return bpf_map_update_elem(bpf_map__fd(session->bpf->maps.files), key, info, BPF_ANY) ?
		       -errno :
		       0;
}

/* ---- mappings ---------------------------------------------------------------------------------- */

/* First gap of 'count' entries. Returns the index where a slice there is to be inserted, or -1. */
static ssize_t find_gap(const struct slices *slices, uint32_t count, uint32_t *first)
{
	uint32_t end = 0;

	for (size_t i = 0; i <= slices->count; i++) {
		uint32_t next = i < slices->count ? slices->items[i].first : MAPPINGS_MAX;

		if (next - end >= count) {
			*first = end;
			return i;
		}
		end = next + slices->items[i].count;
	}
	return -1;
}

int publish_mappings(struct session *session, struct slices *slices, const struct mapping *mappings,
		     uint32_t count, struct slice *slice)
{
	uint32_t first = 0;
	ssize_t index = find_gap(slices, count ? count : 1, &first);

	if (index < 0)
		return -ENOSPC;
	if (!vec_add(slices))
		return -ENOMEM;
	memmove(slices->items + index + 1, slices->items + index,
		(slices->count - 1 - index) * sizeof(*slices->items));
	*slice = (struct slice){ first, count };
	slices->items[index] = (struct slice){ first, count ? count : 1 };
	memcpy(session->mappings + first, mappings, count * sizeof(*mappings));
	__atomic_add_fetch(&session->bpf->bss->slices_epoch, 1, __ATOMIC_SEQ_CST);
	return 0;
}

void publish_free_slice(struct slices *slices, struct slice slice)
{
	for (size_t i = 0; i < slices->count; i++)
		if (slices->items[i].first == slice.first) {
			memmove(slices->items + i, slices->items + i + 1,
				(slices->count - 1 - i) * sizeof(*slices->items));
			slices->count--;
			return;
		}
}

/* ---- processes ------------------------------------------------------------------------------------ */

static int update_proc(struct session *session, uint32_t tgid, const struct proc *proc,
		       uint64_t how)
{
	return bpf_map_update_elem(bpf_map__fd(session->bpf->maps.procs), &tgid, proc, how) ?
		       -errno :
		       0;
}

int publish_new_proc(struct session *session, uint32_t tgid, const struct proc *proc)
{
	return update_proc(session, tgid, proc, BPF_ANY);
}

int publish_proc(struct session *session, uint32_t tgid, const struct proc *proc)
{
	struct proc current;
	int status = publish_read_proc(session, tgid, &current);

	if (status || current.generation > proc->generation)
		return -ESRCH;
	status = update_proc(session, tgid, proc, BPF_EXIST);
	return status == -ENOENT ? -ESRCH : status;
}

int publish_read_proc(struct session *session, uint32_t tgid, struct proc *proc)
{
	return bpf_map_lookup_elem(bpf_map__fd(session->bpf->maps.procs), &tgid, proc) ? -errno : 0;
}

void publish_remove_proc(struct session *session, uint32_t tgid, uint32_t generation)
{
	struct proc current;

	if (!publish_read_proc(session, tgid, &current) && current.generation == generation)
		bpf_map_delete_elem(bpf_map__fd(session->bpf->maps.procs), &tgid);
}

void publish_release_stopped(struct session *session)
{
	guardian_release(bpf_map__fd(session->bpf->maps.procs));
}
