// SPDX-License-Identifier: GPL-2.0-only
// flame.js - the flame graph: a tree of frames, its figures, and how it is drawn and walked.
//
// The tree is built once for each choice of rows, merging and direction; a new window only changes
// the figures of its nodes. A node has a larger number than its parent, so that sums run downwards
// through the numbers and marks upwards.

const ROW_PIXELS = 19;
const FLAME_PIXELS_MAX = 8000; // of height; beyond, one zooms
const NARROWEST_PIXELS = 0.5;

const flame = {
	tree: null,
	rows: [],
	figures: null,
	boxes: [],
	zoom: 0,
	focus: 0,
	query: null,
	height: 0,
	mode: "growth",
	color: "class",
	merge: "function",
	invert: false,
	icicle: true,
	onZoom: null,
	theme: null,
};

// ---- the tree ----------------------------------------------------------------------------------

// Children by (parent, label), open addressing: a Map of texts would take most of a second for a
// million frames.
function pairTable() {
	let size = 1 << 12,
		count = 0;
	let keys = new Int32Array(size * 2).fill(-1),
		values = new Int32Array(size);
	const slot = (a, b) => {
		let at = ((Math.imul(a, 0x9e3779b1) ^ Math.imul(b, 0x85ebca6b)) >>> 7) & (size - 1);
		while (keys[2 * at] !== -1 && (keys[2 * at] !== a || keys[2 * at + 1] !== b))
			at = (at + 1) & (size - 1);
		return at;
	};
	const grow = () => {
		const oldKeys = keys,
			oldValues = values;

		size *= 2;
		keys = new Int32Array(size * 2).fill(-1);
		values = new Int32Array(size);
		for (let i = 0; i < oldValues.length; i++) {
			if (oldKeys[2 * i] === -1) continue;
			const at = slot(oldKeys[2 * i], oldKeys[2 * i + 1]);
			keys[2 * at] = oldKeys[2 * i];
			keys[2 * at + 1] = oldKeys[2 * i + 1];
			values[at] = oldValues[i];
		}
	};

	return (a, b, make_value) => {
		let at = slot(a, b);

		if (keys[2 * at] !== -1) return values[at];
		if (++count * 2 > size) {
			grow();
			at = slot(a, b);
		}
		keys[2 * at] = a;
		keys[2 * at + 1] = b;
		return (values[at] = make_value());
	};
}

// What makes two frames the same box, as text.
function frameIdentity(frame, merge) {
	const file = frameFile(frame),
		module = frameModule(frame);

	if (merge === "module") return module || file || frameFunction(frame);
	if (merge === "file") return file || module || frameFunction(frame);
	const name = frameText(frame, 0) + "\0" + (file || module);
	return merge === "line" ? name + "\0" + frameLine(frame) : name;
}

function frameLabel(frame, merge) {
	if (merge === "module")
		return readable(
			baseName(frameModule(frame) || frameFile(frame) || frameText(frame, 0)),
		);
	if (merge === "file")
		return readable(
			frameFile(frame) || baseName(frameModule(frame)) || frameText(frame, 0),
		);
	return merge === "line" && frameLine(frame)
		? frameFunction(frame) + ":" + frameLine(frame)
		: frameFunction(frame);
}

// Numbers of frames by identity, and of texts that are no frames (classes, processes).
function labelTable(merge) {
	const ids = new Map(),
		labels = [],
		ofFrame = new Int32Array(recording.frames.length / FRAME_FIELDS).fill(-1);
	const add = (identity, label, frame) => {
		let id = ids.get(identity);
		if (id === undefined) {
			ids.set(identity, (id = labels.length));
			labels.push({ label, frame });
		}
		return id;
	};

	return {
		labels,
		text: (text) => add("\0\0" + text, text, -1),
		frame: (frame) => {
			if (ofFrame[frame] < 0)
				ofFrame[frame] = add(
					frameIdentity(frame, merge),
					frameLabel(frame, merge),
					frame,
				);
			return ofFrame[frame];
		},
	};
}

// The labels of a row from the root on. Classes are never summed into each other, nor processes.
function rowPath(row, table, shape, path) {
	const frames = row.frames,
		count = frames.length;
	let length = 0;

	if (shape.classes) path[length++] = table.text(recording.classes[row.class]);
	if (shape.processes)
		path[length++] = table.text(
			row.pids
				? plural(row.pids.length, "process").replace(
						"processs",
						"processes",
					)
				: recording.processes[row.process].name,
		);
	if (row.end && !shape.invert)
		path[length++] = table.text("[cut here: " + recording.ends[row.end - 1] + "]");
	const head = length;
	for (let i = 0; i < count; i++) {
		const label = table.frame(frames[shape.invert ? i : count - 1 - i]);
		// one box for a run of frames of a file or a module
		if (!shape.runs || length === head || path[length - 1] !== label)
			path[length++] = label;
	}
	if (!count) path[length++] = table.text("[no frames]");
	return length;
}

function treeBuild(rows, merge, invert) {
	const table = labelTable(merge),
		find = pairTable();
	const shape = {
		invert,
		runs: merge === "file" || merge === "module",
		classes: new Set(rows.map((row) => row.class)).size > 1,
		processes: new Set(rows.map((row) => row.process)).size > 1,
	};
	const parent = [-1],
		label = [table.text("all")],
		depth = [0],
		cls = [0],
		path = [];
	const leaf = new Int32Array(rows.length);

	rows.forEach((row, index) => {
		const length = rowPath(row, table, shape, path);
		let node = 0;

		for (let i = 0; i < length; i++) {
			const above = node;
			node = find(above, path[i], () => {
				parent.push(above);
				label.push(path[i]);
				depth.push(i + 1);
				cls.push(row.class);
				return parent.length - 1;
			});
		}
		leaf[index] = node;
	});
	return {
		parent: Int32Array.from(parent),
		label: Int32Array.from(label),
		depth: Int32Array.from(depth),
		class: Uint8Array.from(cls),
		labels: table.labels,
		leaf,
		children: childrenOf(parent),
	};
}

// Children of all nodes in one array; those of node n are from start[n] to start[n + 1].
function childrenOf(parent) {
	const start = new Int32Array(parent.length + 2),
		list = new Int32Array(parent.length);

	for (let node = 1; node < parent.length; node++) start[parent[node] + 2]++;
	for (let node = 2; node < start.length; node++) start[node] += start[node - 1];
	for (let node = 1; node < parent.length; node++) list[start[parent[node] + 1]++] = node;
	return { start, list };
}

// ---- figures -----------------------------------------------------------------------------------

// The width of a row. Growth shows what grew: what shrank has a mode of its own.
function rowValue(figures, index, mode) {
	switch (mode) {
		case "live":
			return Math.max(0, figures.live[index]);
		case "alloc":
			return Math.max(0, figures.alloc[index]);
		case "blocks":
			return Math.max(0, figures.growthBlocks[index]);
		case "change":
			return Math.abs(figures.growth[index]);
		default:
			return Math.max(0, figures.growth[index]);
	}
}

function flameSum() {
	const { tree, figures, mode } = flame;
	const count = tree.parent.length;

	tree.value = new Float64Array(count);
	tree.own = new Float64Array(count);
	tree.growth = new Float64Array(count);
	tree.size = new Float64Array(count);
	tree.leaf.forEach((node, index) => {
		tree.own[node] += rowValue(figures, index, mode);
		tree.value[node] += rowValue(figures, index, mode);
		tree.growth[node] += figures.growth[index];
		tree.size[node] += Math.max(figures.live[index], figures.before[index]);
	});
	for (let node = count - 1; node > 0; node--) {
		const above = tree.parent[node];
		tree.value[above] += tree.value[node];
		tree.growth[above] += tree.growth[node];
		tree.size[above] += tree.size[node];
	}
}

const flameFormat = (value) =>
	flame.mode === "blocks" ? plural(value, "block") : formatBytes(value);

function matcher(text) {
	const pattern = text.match(/^\/(.+)\/$/);

	if (!text) return null;
	if (pattern) {
		try {
			return new RegExp(pattern[1], "i");
		} catch {
			return { test: () => false };
		}
	}
	const wanted = text.toLowerCase();
	return { test: (name) => name.toLowerCase().includes(wanted) };
}

function labelMatches(entry, query) {
	if (entry.frame < 0) return query.test(entry.label);
	return (
		query.test(entry.label) ||
		query.test(frameFunction(entry.frame)) ||
		query.test(framePlace(entry.frame)) ||
		query.test(frameModule(entry.frame))
	);
}

// Marks nodes that match, and those below them: what stands under a match is counted once.
function flameSearch(text) {
	const { tree } = flame,
		query = matcher(text);

	flame.query = query;
	tree.hit = tree.under = null;
	if (!query) return;
	const hits = tree.labels.map((entry) => labelMatches(entry, query));
	tree.hit = new Uint8Array(tree.parent.length);
	tree.under = new Uint8Array(tree.parent.length);
	for (let node = 1; node < tree.parent.length; node++) {
		tree.hit[node] = hits[tree.label[node]] ? 1 : 0;
		tree.under[node] = tree.hit[node] | tree.under[tree.parent[node]];
	}
}

// The share of what is shown that passes through a match.
function flameMatched() {
	const { tree } = flame,
		inside = zoomMarks();
	let matched = 0;

	if (!tree.under) return null;
	for (let node = 0; node < tree.own.length; node++)
		if (tree.under[node] && inside[node]) matched += tree.own[node];
	return tree.value[flame.zoom] > 0 ? matched / tree.value[flame.zoom] : 0;
}

// 1 for the nodes below the zoomed one, and itself.
function zoomMarks() {
	const { tree, zoom } = flame,
		marks = new Uint8Array(tree.parent.length);

	for (let node = zoom; node < marks.length; node++)
		marks[node] = node === zoom || (node && marks[tree.parent[node]]) ? 1 : 0;
	return marks;
}

// Rows that the zoom and the search let through, as a test of their index.
function flameFilter() {
	const { tree } = flame,
		inside = flame.zoom ? zoomMarks() : null;

	return (index) =>
		(!inside || inside[tree.leaf[index]] === 1) &&
		(!tree.under || tree.under[tree.leaf[index]] === 1);
}

// ---- layout ------------------------------------------------------------------------------------

function childrenSorted(node) {
	const { start, list } = flame.tree.children,
		value = flame.tree.value;
	const children = [];

	for (let i = start[node]; i < start[node + 1]; i++)
		if (value[list[i]] > 0) children.push(list[i]);
	return children.sort((a, b) => value[b] - value[a] || a - b);
}

// Boxes { node, x, width, row } of all that is wide enough to be seen; ancestors of the zoomed node
// lie above it in full width.
function flameLayout(width) {
	const { tree, zoom } = flame,
		boxes = [],
		work = [];

	for (let node = tree.parent[zoom]; node >= 0; node = tree.parent[node])
		boxes.push({ node, x: 0, width, row: tree.depth[node], above: true });
	work.push({ node: zoom, x: 0, width, row: tree.depth[zoom] });
	while (work.length) {
		const box = work.pop(),
			scale = box.width / tree.value[box.node];
		let x = box.x;

		boxes.push(box);
		if (!(tree.value[box.node] > 0)) continue;
		for (const child of childrenSorted(box.node)) {
			const wide = tree.value[child] * scale;
			if (wide < NARROWEST_PIXELS) break; // sorted: all that follow are narrower
			work.push({ node: child, x, width: wide, row: box.row + 1 });
			x += wide;
		}
	}
	return boxes;
}

// ---- drawing -----------------------------------------------------------------------------------

const CLASS_HUES = [32, 208, 152];

function textHash(text) {
	let hash = 0;

	for (let i = 0; i < text.length && i < 64; i++)
		hash = (Math.imul(hash, 31) + text.charCodeAt(i)) | 0;
	return ((hash >>> 0) % 1000) / 1000;
}

// Red grew, blue shrank, grey did neither; the stronger, the larger the part that changed.
function changeColor(node) {
	const { tree, theme } = flame;
	const size = flame.mode === "change" ? tree.value[node] : tree.size[node];
	const share = size > 0 ? Math.max(-1, Math.min(1, tree.growth[node] / size)) : 0;
	const strength = Math.round(Math.abs(share) * (theme.dark ? 55 : 75));
	const light = theme.dark ? 30 + Math.abs(share) * 6 : 90 - Math.abs(share) * 18;

	return `hsl(${share >= 0 ? 6 : 214} ${strength}% ${light}%)`;
}

function boxColor(box) {
	const { tree, theme } = flame,
		entry = tree.labels[tree.label[box.node]];
	const spread = textHash(entry.label);

	if (tree.hit && tree.hit[box.node])
		return theme.dark ? "hsl(318 52% 42%)" : "hsl(318 74% 80%)";
	if (entry.frame < 0 || tree.hit) return theme.dark ? "hsl(220 8% 25%)" : "hsl(220 12% 90%)";
	if (flame.color === "change" || flame.mode === "change") return changeColor(box.node);
	const hue = CLASS_HUES[tree.class[box.node]] + (spread - 0.5) * 22;
	return theme.dark
		? `hsl(${hue} ${34 + spread * 10}% ${30 + spread * 7}%)`
		: `hsl(${hue} ${68 + spread * 14}% ${76 + spread * 8}%)`;
}

const boxTop = (box) =>
	flame.icicle ? box.row * ROW_PIXELS : flame.height - (box.row + 1) * ROW_PIXELS;

function drawBox(context, box) {
	const { tree, theme } = flame,
		top = boxTop(box);
	const label = tree.labels[tree.label[box.node]].label;

	context.globalAlpha = box.above ? 0.55 : 1;
	context.fillStyle = boxColor(box);
	context.fillRect(
		box.x,
		top,
		Math.max(box.width - (box.width > 3 ? 1 : 0), 0.5),
		ROW_PIXELS - 1,
	);
	if (box.width > 26) {
		const most = Math.floor((box.width - 8) / theme.charWidth);
		context.fillStyle = theme.text;
		context.fillText(elide(label, Math.max(1, most)), box.x + 4, top + ROW_PIXELS / 2);
	}
	context.globalAlpha = 1;
}

function drawFocus(context) {
	const box = flame.boxes.find(({ node }) => node === flame.focus);

	if (!box || document.activeElement !== byId("flame")) return;
	context.strokeStyle = flame.theme.focus;
	context.lineWidth = 2;
	context.strokeRect(box.x + 1, boxTop(box) + 1, Math.max(box.width - 3, 2), ROW_PIXELS - 3);
}

function flameTheme() {
	const style = getComputedStyle(document.documentElement);

	return {
		dark: style.getPropertyValue("--dark").trim() === "1",
		text: style.getPropertyValue("--flame-text"),
		focus: style.getPropertyValue("--focus"),
		font: style.getPropertyValue("--flame-font"),
		charWidth: 7,
	};
}

function drawFlame() {
	const canvas = byId("flame-canvas"),
		width = byId("flame").clientWidth;
	const context = canvas.getContext("2d"),
		ratio = window.devicePixelRatio || 1;
	let rows = 0;

	flame.theme = flameTheme();
	flame.boxes = flameLayout(width);
	for (const box of flame.boxes) rows = Math.max(rows, box.row + 1);
	flame.height = Math.min(rows * ROW_PIXELS, FLAME_PIXELS_MAX);
	canvas.style.width = width + "px";
	canvas.style.height = flame.height + "px";
	canvas.width = Math.round(width * ratio);
	canvas.height = Math.round(flame.height * ratio);
	context.scale(ratio, ratio);
	context.font = flame.theme.font;
	context.textBaseline = "middle";
	flame.theme.charWidth = context.measureText("mmmmiiii____aaaa").width / 16;
	for (const box of flame.boxes) drawBox(context, box);
	drawFocus(context);
	drawPath();
}

function nodeTitle(node) {
	const { tree } = flame,
		entry = tree.labels[tree.label[node]];
	const place =
		entry.frame >= 0 && flame.merge !== "module" && flame.merge !== "file"
			? framePlace(entry.frame)
			: "";

	return { name: entry.label, place };
}

const shareOf = (node) =>
	flame.tree.value[0] > 0 ? flame.tree.value[node] / flame.tree.value[0] : 0;

function nodeFigures(node) {
	const { tree } = flame;
	const net =
		flame.mode === "growth" || flame.mode === "change"
			? ""
			: ", growth " + formatGrowth(tree.growth[node]);

	return (
		`${flameFormat(tree.value[node])}, ${formatPercent(shareOf(node))} of all` +
		(flame.mode === "change" ? ", net " + formatGrowth(tree.growth[node]) : net)
	);
}

function drawPath() {
	const path = byId("path");

	path.hidden = !flame.zoom;
	if (!flame.zoom) return path.replaceChildren();
	const back = make("button", { type: "button", id: "zoom-back" }, "Back");
	const all = make("button", { type: "button", id: "zoom-all" }, "Show all");

	back.addEventListener("click", flameBack);
	all.addEventListener("click", () => flameZoom(0));
	path.replaceChildren(
		make(
			"span",
			{},
			"Zoomed to ",
			make("b", {}, elide(nodeTitle(flame.zoom).name, 80)),
			", " + nodeFigures(flame.zoom),
		),
		back,
		all,
	);
}

// ---- walking -----------------------------------------------------------------------------------

function flameZoom(node) {
	if (node === flame.zoom) return;
	flame.zoom = node;
	flame.focus = node;
	drawFlame();
	flameSay();
	flame.onZoom();
}

// One step out: to the next ancestor that branches, since a chain of single callers shows nothing
// new.
function flameBack() {
	const { tree } = flame;
	let node = tree.parent[flame.zoom];

	while (node > 0 && tree.value[node] === tree.value[flame.zoom]) node = tree.parent[node];
	flameZoom(Math.max(0, node));
}

function flameSay() {
	const { name, place } = nodeTitle(flame.focus);

	byId("flame-now").textContent =
		elide(name, 200) +
		(place ? "  " + elide(place, 200) : "") +
		": " +
		nodeFigures(flame.focus);
}

function focusOn(node) {
	flame.focus = node;
	drawFlame();
	flameSay();
}

function boxBeside(step) {
	const box = flame.boxes.find(({ node }) => node === flame.focus);

	if (!box) return null;
	const row = flame.boxes.filter((other) => other.row === box.row).sort((a, b) => a.x - b.x);
	return row[row.indexOf(box) + step] || null;
}

function flameKey(event) {
	const deeper = flame.icicle ? "ArrowDown" : "ArrowUp",
		out = flame.icicle ? "ArrowUp" : "ArrowDown";
	let next;

	if (event.key === deeper) next = childrenSorted(flame.focus)[0];
	else if (event.key === out) next = flame.tree.parent[flame.focus];
	else if (event.key === "ArrowLeft" || event.key === "ArrowRight")
		next = boxBeside(event.key === "ArrowLeft" ? -1 : 1)?.node;
	else if (event.key === "Home") next = flame.zoom;
	else if (event.key === "Enter") flameZoom(flame.focus);
	else if (event.key === "Escape" || event.key === "Backspace") flameBack();
	else return;
	event.preventDefault();
	if (next !== undefined && next >= 0) focusOn(next);
}

function boxAt(event) {
	const area = byId("flame-canvas").getBoundingClientRect();
	const x = event.clientX - area.left,
		y = event.clientY - area.top;

	return flame.boxes.find(
		(box) =>
			x >= box.x &&
			x < box.x + box.width &&
			y >= boxTop(box) &&
			y < boxTop(box) + ROW_PIXELS,
	);
}

function flameTip(event) {
	const tip = byId("flame-tip"),
		box = boxAt(event),
		area = byId("flame").getBoundingClientRect();

	tip.hidden = !box;
	if (!box) return;
	const { name, place } = nodeTitle(box.node);
	tip.replaceChildren(
		make("b", {}, elide(name, 300)),
		place ? make("div", {}, elide(place, 300)) : "",
		make("div", { class: "quiet" }, nodeFigures(box.node)),
	);
	tip.style.left =
		Math.max(
			0,
			Math.min(event.clientX - area.left + 14, area.width - tip.offsetWidth - 4),
		) + "px";
	tip.style.top = event.clientY - area.top + 18 + "px";
}

// ---- from outside ------------------------------------------------------------------------------

// New rows, or another way to merge them: a new tree.
function flameBuild(rows) {
	flame.rows = rows;
	flame.tree = treeBuild(rows, flame.merge, flame.invert);
	flame.zoom = flame.focus = 0;
}

// New figures for the same tree.
function flameUpdate(figures, search) {
	flame.figures = figures;
	flameSum();
	flameSearch(search);
	drawFlame();
}

function flameStart(onZoom) {
	const box = byId("flame");

	flame.onZoom = onZoom;
	box.addEventListener("keydown", flameKey);
	box.addEventListener("focus", drawFlame);
	box.addEventListener("blur", drawFlame);
	box.addEventListener("mousemove", flameTip);
	box.addEventListener("mouseleave", () => (byId("flame-tip").hidden = true));
	box.addEventListener("click", (event) => {
		const hit = boxAt(event);
		if (hit) flameZoom(hit.node);
	});
}
