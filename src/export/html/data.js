// SPDX-License-Identifier: GPL-2.0-only
// data.js - what src/export/html.c wrote, decoded: snapshots, sites, rows, and their figures
// within a window of time.
//
//   site   a stack as recorded, with its points: totals at the snapshots where they changed
//   row    what a person is shown: sites that look the same are one when the interpreter is hidden
//
// Both are { process, class, end, verdict, slope, survival, error, naming, called, frames, ages,
// members }: 'members' are the sites of a row, 'frames' leaf first, 'end' is 0 for a whole stack.

// ---- numbers -----------------------------------------------------------------------------------

const DIGIT_VALUES = new Uint8Array(128);
[..."ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"].forEach((digit, value) => {
	DIGIT_VALUES[digit.charCodeAt(0)] = value;
});

// One number after the other out of a text of digits (digits_write() of html.c).
const reader = { text: "", at: 0 };

function readBegin(text) {
	reader.text = text;
	reader.at = 0;
}

const readMore = () => reader.at < reader.text.length;

function readNumber() {
	let digit = DIGIT_VALUES[reader.text.charCodeAt(reader.at++)];
	const negative = digit & 1;
	let value = (digit & 31) >> 1,
		scale = 16;

	// multiplied, not shifted: bytes do not fit 32 bits
	while (digit & 32) {
		digit = DIGIT_VALUES[reader.text.charCodeAt(reader.at++)];
		value += (digit & 31) * scale;
		scale *= 32;
	}
	return negative ? -value : value;
}

function readAll(text) {
	const values = [];

	readBegin(text);
	while (readMore()) values.push(readNumber());
	return values;
}

function readSums(text) {
	let sum = 0;

	return Float64Array.from(readAll(text), (step) => (sum += step));
}

// ---- the recording -----------------------------------------------------------------------------

const recording = JSON.parse(byId("data").textContent);
byId("data").remove(); // the text is not needed any more, and large

const FRAME_FIELDS = 6;
const FRAME_PYTHON = 1,
	FRAME_INLINED = 2,
	FRAME_INTERNAL = 4;

function frameText(index, field) {
	const id = recording.frames[index * FRAME_FIELDS + field];

	return id < 0 ? "" : recording.texts[id];
}

const frameFunction = (index) => readable(frameText(index, 0));
const frameFile = (index) => frameText(index, 1);
const frameLine = (index) => recording.frames[index * FRAME_FIELDS + 2];
const frameModule = (index) => frameText(index, 3);
const frameOffset = (index) => recording.frames[index * FRAME_FIELDS + 4];
const frameFlags = (index) => recording.frames[index * FRAME_FIELDS + 5];

// "src/cache.c:42", "libx.so+0x1234", or "" when the function's name says it itself
function framePlace(index) {
	const file = frameFile(index),
		module = frameModule(index);

	if (file) return readable(file) + (frameLine(index) ? ":" + frameLine(index) : "");
	if (
		!module ||
		frameText(index, 0).includes("+0x") ||
		frameText(index, 0).endsWith(baseName(module))
	)
		return "";
	return (
		readable(baseName(module)) +
		(frameOffset(index) ? "+0x" + frameOffset(index).toString(16) : "")
	);
}

function decodeSnapshots() {
	const times = [],
		events = [],
		flags = [];
	let time = 0,
		hits = 0;

	readBegin(recording.snapshots);
	while (readMore()) {
		times.push((time += readNumber()) / 1000);
		events.push((hits += readNumber()));
		flags.push(readNumber());
	}
	return { times, events, flags };
}

const snapshots = decodeSnapshots();
const SNAPSHOT_MARKED = 1,
	SNAPSHOT_SETTLING = 2;
const lastSnapshot = Math.max(0, snapshots.times.length - 1);
const classLive = recording.live.map(readSums);

for (const process of recording.processes) {
	process.rss = readSums(process.rss);
	process.name =
		readable(process.comm || "") + (process.pid ? " (pid " + process.pid + ")" : "");
}

function decodeRanked(fields, index) {
	const [process, cls, end, verdict, slope, survival, error, naming, called, frames, ages] =
		fields;

	return {
		rank: index + 1,
		process,
		class: cls,
		end,
		verdict,
		slope,
		survival,
		error,
		naming,
		called,
		ages,
		frames: Int32Array.from(readAll(frames)),
		members: [],
	};
}

// ---- points ------------------------------------------------------------------------------------

// Totals of all sites in columns; those of site i are from points.start[i] to points.start[i + 1].
const points = {
	start: new Uint32Array(recording.sites.length + 1),
	snapshot: new Uint32Array(recording.points),
	alloc: new Float64Array(recording.points),
	allocBlocks: new Float64Array(recording.points),
	live: new Float64Array(recording.points),
	blocks: new Float64Array(recording.points),
};

function decodePoints(text, at) {
	let snapshot = 0,
		alloc = 0,
		allocBlocks = 0,
		live = 0,
		blocks = 0;

	readBegin(text);
	for (; readMore(); at++) {
		points.snapshot[at] = snapshot += readNumber();
		points.alloc[at] = alloc += readNumber();
		points.allocBlocks[at] = allocBlocks += readNumber();
		points.live[at] = live += readNumber();
		points.blocks[at] = blocks += readNumber();
	}
	return at;
}

const SITE_POINTS = 11,
	SITE_ROW = 12,
	SITE_PIDS = 13;

function decodeSites() {
	const sites = recording.sites.map(decodeRanked),
		rows = recording.rows.map(decodeRanked);
	let at = 0;

	recording.sites.forEach((fields, index) => {
		points.start[index] = at;
		at = decodePoints(fields[SITE_POINTS], at);
		sites[index].members.push(index);
		sites[index].pids = fields[SITE_PIDS];
		const row = rows[fields[SITE_ROW]];
		row.members.push(index);
		if (fields[SITE_PIDS])
			row.pids = [...new Set([...(row.pids || []), ...fields[SITE_PIDS]])];
	});
	points.start[sites.length] = at;
	recording.sites = recording.rows = null;
	return { sites, rows };
}

const { sites, rows: shownRows } = decodeSites();

// The last point of a site at or before a snapshot; -1: none yet.
function pointAt(site, snapshot) {
	let low = points.start[site],
		high = points.start[site + 1];
	const first = low;

	if (high > low && points.snapshot[high - 1] <= snapshot) return high - 1;
	while (low < high) {
		const middle = (low + high) >> 1;
		if (points.snapshot[middle] <= snapshot) low = middle + 1;
		else high = middle;
	}
	return low > first ? low - 1 : -1;
}

// Live bytes of a row at each snapshot.
function rowSeries(row) {
	const series = new Float64Array(snapshots.times.length);

	for (const site of row.members) {
		for (let at = points.start[site]; at < points.start[site + 1]; at++) {
			const before = at > points.start[site] ? points.live[at - 1] : 0;
			series[points.snapshot[at]] += points.live[at] - before;
		}
	}
	for (let i = 1; i < series.length; i++) series[i] += series[i - 1];
	return series;
}

// ---- figures within a window -------------------------------------------------------------------

const FIGURES = ["growth", "growthBlocks", "live", "blocks", "alloc", "before"];

// Of each site from snapshot 'from' to snapshot 'to'. What was allocated before the first snapshot
// of all belongs to a window that begins there: then the totals are those of the recording.
function siteFigures(from, to) {
	const figures = {};

	for (const name of FIGURES) figures[name] = new Float64Array(sites.length);
	for (let site = 0; site < sites.length; site++) {
		const a = pointAt(site, from),
			b = pointAt(site, to);
		const live = b < 0 ? 0 : points.live[b],
			before = a < 0 ? 0 : points.live[a];
		const blocks = b < 0 ? 0 : points.blocks[b];

		figures.before[site] = before;
		figures.live[site] = live;
		figures.blocks[site] = blocks;
		figures.growth[site] = live - before;
		figures.growthBlocks[site] = blocks - (a < 0 ? 0 : points.blocks[a]);
		figures.alloc[site] =
			(b < 0 ? 0 : points.alloc[b]) - (a < 0 || from === 0 ? 0 : points.alloc[a]);
	}
	return figures;
}

function rowFigures(rows, ofSites) {
	const figures = {};

	for (const name of FIGURES) {
		const column = new Float64Array(rows.length),
			values = ofSites[name];
		rows.forEach((row, index) => {
			for (const site of row.members) column[index] += values[site];
		});
		figures[name] = column;
	}
	return figures;
}
