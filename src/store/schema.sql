-- SPDX-License-Identifier: GPL-2.0-only
-- schema.sql - the tables of a .seep file; format 2 (PRAGMA user_version).
--
-- A reader accepts exactly these tables: whoever changes them raises FORMAT_VERSION in
-- recording_format.h. Texts are interned in 'text'; columns *_text refer to it. Times are ns
-- since the recording began unless they are called unix. 64-bit frames are stored as the same
-- bits, signed.

-- The one row about the recording as a whole.
CREATE TABLE recording (
	id INTEGER PRIMARY KEY,		-- 1
	version TEXT NOT NULL,		-- of the seep that wrote it
	kernel TEXT NOT NULL,
	host TEXT NOT NULL,
	start_unix_ns INTEGER NOT NULL,
	interval_ns INTEGER NOT NULL,
	settle_ns INTEGER NOT NULL,	-- 0: no settle phase
	sample_bytes INTEGER NOT NULL,	-- 1: exact
	duration_ns INTEGER NOT NULL DEFAULT 0,
	ns_per_hit REAL NOT NULL DEFAULT 0,
	hits INTEGER NOT NULL DEFAULT 0,
	cpu_percent REAL NOT NULL DEFAULT 0,
	slowdown_percent REAL NOT NULL DEFAULT 0,	-- 0: not measured
	unmatched_frees INTEGER NOT NULL DEFAULT 0,
	complete INTEGER NOT NULL DEFAULT 0	-- 1: closed by its writer
);

CREATE TABLE text (id INTEGER PRIMARY KEY, text TEXT NOT NULL);

CREATE TABLE process (
	id INTEGER PRIMARY KEY,
	pid INTEGER NOT NULL,
	start_time_ns INTEGER NOT NULL,
	comm_text INTEGER NOT NULL,
	exe_text INTEGER,
	python_text INTEGER,
	allocator_text INTEGER,
	begin_ns INTEGER NOT NULL,
	end_ns INTEGER NOT NULL,
	end_reason_text INTEGER,
	start_memory BLOB NOT NULL,	-- nine little-endian 64-bit byte counts, as struct memory_breakdown
	end_memory BLOB NOT NULL
);

CREATE TABLE snapshot (
	id INTEGER PRIMARY KEY,
	time_ns INTEGER NOT NULL,
	events INTEGER NOT NULL,
	bpf_ns INTEGER NOT NULL,
	marked INTEGER NOT NULL,
	settling INTEGER NOT NULL
);

CREATE TABLE rss (
	snapshot INTEGER NOT NULL,
	process INTEGER NOT NULL,
	bytes INTEGER NOT NULL,
	PRIMARY KEY (snapshot, process)
) WITHOUT ROWID;

CREATE TABLE stack (
	id INTEGER PRIMARY KEY,
	frames BLOB NOT NULL,		-- little-endian 64-bit frames, leaf first
	truncated INTEGER NOT NULL,
	end_reason INTEGER NOT NULL
);

-- One row per function of a frame: position 0 is the innermost inlined one.
CREATE TABLE frame (
	frame INTEGER NOT NULL,
	position INTEGER NOT NULL,
	function_text INTEGER NOT NULL,
	file_text INTEGER,
	module_text INTEGER,
	offset INTEGER NOT NULL,
	line INTEGER NOT NULL,		-- 0: unknown
	python INTEGER NOT NULL,
	inlined INTEGER NOT NULL,
	internal INTEGER NOT NULL,
	PRIMARY KEY (frame, position)
) WITHOUT ROWID;

CREATE TABLE site (
	id INTEGER PRIMARY KEY,
	process INTEGER NOT NULL,
	class INTEGER NOT NULL,		-- 0 malloc, 1 python, 2 mmap
	stack INTEGER NOT NULL
);

-- Totals since the recording began, only where they changed. The key begins with the snapshot: each
-- snapshot appends to the table instead of touching a page per site.
CREATE TABLE point (
	snapshot INTEGER NOT NULL,
	site INTEGER NOT NULL,
	alloc_bytes REAL NOT NULL,
	alloc_blocks REAL NOT NULL,
	free_bytes REAL NOT NULL,
	free_blocks REAL NOT NULL,
	variance REAL NOT NULL,		-- of the live bytes; 0 when exact
	PRIMARY KEY (snapshot, site)
) WITHOUT ROWID;

CREATE TABLE age (
	site INTEGER NOT NULL,
	age INTEGER NOT NULL,		-- birth epoch
	alloc_bytes REAL NOT NULL,
	alloc_blocks REAL NOT NULL,
	free_bytes REAL NOT NULL,
	free_blocks REAL NOT NULL,
	PRIMARY KEY (site, age)
) WITHOUT ROWID;

-- Birth epochs double in length; a marked snapshot begins one as well, while there are any left.
CREATE TABLE epoch (age INTEGER PRIMARY KEY, start_ns INTEGER NOT NULL);

CREATE TABLE loss (
	key_text INTEGER PRIMARY KEY,
	text_text INTEGER NOT NULL,
	count INTEGER NOT NULL
);

CREATE TABLE event (
	id INTEGER PRIMARY KEY,
	time_ns INTEGER NOT NULL,
	kind_text INTEGER NOT NULL,
	text_text INTEGER NOT NULL
);
