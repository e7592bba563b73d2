// SPDX-License-Identifier: GPL-2.0-only
// timeline.js - resident memory, live heap and events over time, and the window that is chosen
// there.
//
// A window is a pair of snapshots { from, to }; it always has a length where there are two.

const PLOT = { left: 70, right: 14, top: 18, gap: 18, axis: 22, panels: [64, 104, 34] };
const EDGE_PIXELS = 7;

const timeline = { width: 0, window: { from: 0, to: lastSnapshot }, onChange: null, drag: null };

const duration = () => Math.max(recording.duration_s, snapshots.times[lastSnapshot] || 0, 1e-3);
const plotWidth = () => Math.max(50, timeline.width - PLOT.left - PLOT.right);
const timeToX = (time) => PLOT.left + (time / duration()) * plotWidth();
const snapshotToX = (snapshot) => timeToX(snapshots.times[snapshot] || 0);
const plotBottom = () =>
	PLOT.top + PLOT.panels.reduce((sum, h) => sum + h + PLOT.gap, 0) - PLOT.gap;

function snapshotNear(time) {
	let best = 0;

	snapshots.times.forEach((at, index) => {
		if (Math.abs(at - time) < Math.abs(snapshots.times[best] - time)) best = index;
	});
	return best;
}

const xToSnapshot = (x) => snapshotNear(((x - PLOT.left) / plotWidth()) * duration());

const windowIsWhole = () => timeline.window.from === 0 && timeline.window.to === lastSnapshot;

// ---- drawing -----------------------------------------------------------------------------------

function totalRss() {
	return snapshots.times.map((time, i) =>
		recording.processes.reduce((sum, process) => sum + process.rss[i], 0),
	);
}

function eventRates() {
	return snapshots.events.map((events, i) => {
		const seconds = i ? snapshots.times[i] - snapshots.times[i - 1] : 0;
		return seconds > 0 ? (events - snapshots.events[i - 1]) / seconds : 0;
	});
}

// A range with some air; 'zero': it includes 0.
function rangeOf(series, zero) {
	let low = zero ? 0 : Infinity,
		high = zero ? 0 : -Infinity;

	for (const values of series) {
		for (const value of values) {
			low = Math.min(low, value);
			high = Math.max(high, value);
		}
	}
	if (!isFinite(low)) return [0, 1];
	const air = Math.max(
		(high - low) * 0.06,
		high === low ? Math.max(1, Math.abs(high) * 0.05) : 0,
	);
	return [zero && low >= 0 ? 0 : Math.max(low - air, low >= 0 ? 0 : -Infinity), high + air];
}

function panelAt(index, range) {
	const top =
		PLOT.top + PLOT.panels.slice(0, index).reduce((sum, h) => sum + h + PLOT.gap, 0);
	const height = PLOT.panels[index];

	return {
		top,
		height,
		range,
		y: (v) => top + height * (1 - (v - range[0]) / (range[1] - range[0])),
	};
}

function panelFrame(panel, title, format, binary) {
	const group = draw("g", {});
	const right = PLOT.left + plotWidth();

	for (const value of roundSteps(
		panel.range[0],
		panel.range[1],
		Math.max(1, panel.height / 22),
		binary,
	)) {
		const y = panel.y(value).toFixed(1);
		group.append(
			draw("line", { class: "grid", x1: PLOT.left, x2: right, y1: y, y2: y }),
			draw(
				"text",
				{
					class: "tick",
					x: PLOT.left - 8,
					y,
					dy: "0.32em",
					"text-anchor": "end",
				},
				format(value),
			),
		);
	}
	group.append(
		draw("text", { class: "panel-title", x: PLOT.left + 4, y: panel.top - 3 }, title),
	);
	return group;
}

function pathOf(values, y) {
	let path = "";

	values.forEach((value, i) => {
		path += (i ? "L" : "M") + snapshotToX(i).toFixed(1) + " " + y(value).toFixed(1);
	});
	return path;
}

function areaOf(top, bottom, y) {
	let path = pathOf(top, y);

	for (let i = bottom.length - 1; i >= 0; i--)
		path += "L" + snapshotToX(i).toFixed(1) + " " + y(bottom[i]).toFixed(1);
	return path + "Z";
}

const usedClasses = () =>
	classLive.map((live, i) => i).filter((i) => classLive[i].some((v) => v !== 0));

// Classes on top of each other: their sum is the live heap.
function drawLive(group) {
	const used = usedClasses(),
		layers = [];
	let below = new Float64Array(snapshots.times.length);

	for (const cls of used) {
		const top = below.map((value, i) => value + classLive[cls][i]);
		layers.push({ cls, top, bottom: below });
		below = top;
	}
	const panel = panelAt(
		1,
		rangeOf(
			layers.map((layer) => layer.top),
			true,
		),
	);
	group.append(panelFrame(panel, "live heap", formatBytes, true));
	for (const { cls, top, bottom } of layers) {
		group.append(
			draw("path", {
				class: "area class-" + cls,
				d: areaOf(top, bottom, panel.y),
			}),
			draw("path", { class: "edge class-" + cls, d: pathOf(top, panel.y) }),
		);
	}
}

function drawRss(group) {
	const rss = totalRss();
	const read = rss.map((value, i) => i).filter((i) => rss[i] > 0);
	const panel = panelAt(0, rangeOf([read.map((i) => rss[i])], false));
	let path = "";

	for (const i of read)
		path +=
			(path ? "L" : "M") +
			snapshotToX(i).toFixed(1) +
			" " +
			panel.y(rss[i]).toFixed(1);
	group.append(
		panelFrame(panel, "resident memory (RSS)", formatBytes, true),
		draw("path", { class: "line-rss", d: path || "M0 0" }),
	);
}

function drawEvents(group) {
	const rates = eventRates();
	const panel = panelAt(2, rangeOf([rates], true));

	group.append(
		panelFrame(panel, "events/s", (n) => formatCount(n)),
		draw("path", {
			class: "line-events",
			d: pathOf(
				rates.map((r, i) => (i ? r : rates[1] || 0)),
				panel.y,
			),
		}),
	);
}

function drawTimes(group) {
	const y = plotBottom();

	for (const time of roundTimes(duration(), Math.max(2, plotWidth() / 110)))
		group.append(
			draw(
				"text",
				{
					class: "tick",
					x: timeToX(time),
					y: y + 16,
					"text-anchor": "middle",
				},
				formatDuration(time),
			),
		);
}

const markSnapshots = () =>
	snapshots.flags.map((flags, i) => i).filter((i) => snapshots.flags[i] & SNAPSHOT_MARKED);

// As --since and diff call it.
const markName = (snapshot) => "mark" + (snapshots.flags[snapshot] >> 2);

function drawMoments(group) {
	const bottom = plotBottom();
	const settle = snapshots.flags.findIndex((flags) => flags & SNAPSHOT_SETTLING);

	if (settle >= 0) {
		const x = snapshotToX(settle);
		group.append(
			draw("rect", {
				class: "settle",
				x,
				y: PLOT.top,
				height: bottom - PLOT.top,
				width: Math.max(0, PLOT.left + plotWidth() - x),
			}),
			draw(
				"text",
				{ class: "mark-name", x: x + 4, y: PLOT.top + 10 },
				"settling",
			),
		);
	}
	markSnapshots().forEach((snapshot) => {
		const x = snapshotToX(snapshot);
		group.append(
			draw("line", { class: "mark", x1: x, x2: x, y1: PLOT.top, y2: bottom }),
			draw(
				"text",
				{ class: "mark-name", x: x + 3, y: PLOT.top + 10 },
				markName(snapshot),
			),
		);
	});
	for (const [time, kind, text] of recording.events) {
		const x = timeToX(Math.min(time, duration()));
		group.append(
			draw(
				"path",
				{ class: "event", d: `M${x} ${bottom}l-4 7h8z` },
				draw("title", {}, readable(kind) + ": " + readable(text)),
			),
		);
	}
}

function drawWindow() {
	const { from, to } = timeline.window;
	const left = snapshotToX(from),
		right = snapshotToX(to);
	const y = 0,
		height = plotBottom() + 2;
	const group = draw("g", { id: "plot-window" });

	if (!windowIsWhole()) {
		group.append(
			draw("rect", {
				class: "shade",
				x: PLOT.left,
				y,
				height,
				width: Math.max(0, left - PLOT.left),
			}),
			draw("rect", {
				class: "shade",
				x: right,
				y,
				height,
				width: Math.max(0, PLOT.left + plotWidth() - right),
			}),
			draw("rect", {
				class: "window",
				x: left,
				y,
				height,
				width: Math.max(1, right - left),
			}),
		);
		for (const x of [left, right])
			group.append(
				draw("rect", {
					class: "handle",
					x: x - 3,
					y: y + height / 2 - 14,
					width: 6,
					height: 28,
					rx: 3,
				}),
			);
	}
	byId("plot-window")?.remove();
	byId("plot").append(group);
}

function drawTimeline() {
	const plot = byId("plot"),
		group = draw("g", {});

	timeline.width = byId("timeline").clientWidth;
	plot.setAttribute("width", timeline.width);
	plot.setAttribute("height", plotBottom() + PLOT.axis);
	plot.replaceChildren(plot.querySelector("title"));
	drawRss(group);
	drawLive(group);
	drawEvents(group);
	drawTimes(group);
	drawMoments(group);
	plot.append(group);
	drawWindow();
}

function drawLegend() {
	byId("legend").replaceChildren(
		...usedClasses().map((cls) =>
			make(
				"span",
				{},
				make("i", { class: "swatch class-" + cls }),
				recording.classes[cls],
			),
		),
	);
}

// ---- choosing a window -------------------------------------------------------------------------

// Snapshots in any order; kept inside and at least one apart.
function windowSet(a, b) {
	const clamp = (n) => Math.max(0, Math.min(lastSnapshot, n));
	let from = clamp(Math.min(a, b)),
		to = clamp(Math.max(a, b));

	if (from === to && to < lastSnapshot) to++;
	else if (from === to && from > 0) from--;
	if (from === timeline.window.from && to === timeline.window.to) return;
	timeline.window = { from, to };
	drawWindow();
	timeline.onChange();
}

const windowReset = () => windowSet(0, lastSnapshot);

function windowMove(by) {
	const { from, to } = timeline.window;
	const room = Math.max(-from, Math.min(lastSnapshot - to, by));

	windowSet(from + room, to + room);
}

function timelineKey(event) {
	const { from, to } = timeline.window;
	const step = event.key === "ArrowLeft" ? -1 : event.key === "ArrowRight" ? 1 : 0;

	if (step && event.shiftKey) windowSet(from, Math.max(from + 1, to + step));
	else if (step && event.altKey) windowSet(Math.min(to - 1, from + step), to);
	else if (step) windowMove(step);
	else if (event.key === "Home") windowSet(0, to);
	else if (event.key === "End") windowSet(from, lastSnapshot);
	else if (event.key === "Escape") windowReset();
	else return;
	event.preventDefault();
}

const eventX = (event) => event.clientX - byId("timeline").getBoundingClientRect().left;

// What a press at x takes hold of: an edge of the window, the window, or nothing yet.
function dragBegin(x) {
	const { from, to } = timeline.window;
	const left = snapshotToX(from),
		right = snapshotToX(to);

	if (!windowIsWhole() && Math.abs(x - left) < EDGE_PIXELS) return { fixed: to };
	if (!windowIsWhole() && Math.abs(x - right) < EDGE_PIXELS) return { fixed: from };
	if (!windowIsWhole() && x > left && x < right) return { moved: xToSnapshot(x), from, to };
	return { fixed: xToSnapshot(x), fresh: true, x };
}

function dragMove(x) {
	const drag = timeline.drag,
		at = xToSnapshot(x);

	if (drag.moved !== undefined) {
		const by = Math.max(-drag.from, Math.min(lastSnapshot - drag.to, at - drag.moved));
		windowSet(drag.from + by, drag.to + by);
	} else if (!drag.fresh || Math.abs(x - drag.x) > 3) {
		drag.fresh = false;
		windowSet(drag.fixed, at);
	}
}

function showMoment(event) {
	const tip = byId("plot-tip"),
		x = eventX(event),
		at = xToSnapshot(x);
	const rss = recording.processes.reduce((sum, process) => sum + process.rss[at], 0);
	const near = recording.events.filter(([time]) => Math.abs(timeToX(time) - x) < 5);

	tip.replaceChildren(
		make("b", {}, formatDuration(snapshots.times[at])),
		rss ? make("div", {}, "RSS " + formatBytes(rss)) : null || "",
		...usedClasses().map((cls) =>
			make(
				"div",
				{},
				recording.classes[cls] + " " + formatBytes(classLive[cls][at]),
			),
		),
		...near.map(([, kind, text]) =>
			make("div", { class: "quiet" }, readable(kind) + ": " + readable(text)),
		),
	);
	tip.hidden = false;
	tip.style.left = Math.min(x + 14, timeline.width - tip.offsetWidth - 4) + "px";
	tip.style.top = "20px";
}

// "since mark 2": what was allocated there and is alive at the end is the growth since then.
function fillSince() {
	const marks = markSnapshots(),
		since = byId("since");

	since.hidden = !marks.length;
	since.replaceChildren(
		make("option", { value: "" }, "since…"),
		...marks.map((snapshot) =>
			make(
				"option",
				{ value: snapshot },
				`since ${markName(snapshot)} (${formatDuration(snapshots.times[snapshot])})`,
			),
		),
	);
	since.addEventListener("change", () => {
		if (since.value !== "") windowSet(Number(since.value), lastSnapshot);
		since.value = "";
	});
}

function showWindow() {
	const { from, to } = timeline.window;

	byId("window-from").value = formatDuration(snapshots.times[from] || 0);
	byId("window-to").value = formatDuration(snapshots.times[to] || 0);
	byId("window-all").disabled = windowIsWhole();
}

function typedWindow() {
	const from = parseDuration(byId("window-from").value),
		to = parseDuration(byId("window-to").value);

	if (!isNaN(from) && !isNaN(to)) windowSet(snapshotNear(from), snapshotNear(to));
	showWindow();
}

function timelineStart(onChange) {
	const box = byId("timeline");

	timeline.onChange = onChange;
	fillSince();
	drawLegend();
	drawTimeline();
	box.addEventListener("keydown", timelineKey);
	box.addEventListener("dblclick", windowReset);
	box.addEventListener("pointerdown", (event) => {
		if (event.button) return;
		timeline.drag = dragBegin(eventX(event));
		box.setPointerCapture(event.pointerId);
	});
	box.addEventListener("pointermove", (event) => {
		if (timeline.drag) dragMove(eventX(event));
		showMoment(event);
	});
	box.addEventListener("pointerup", () => (timeline.drag = null));
	box.addEventListener("pointercancel", () => (timeline.drag = null));
	box.addEventListener("pointerleave", () => (byId("plot-tip").hidden = true));
	byId("window-all").addEventListener("click", windowReset);
	for (const id of ["window-from", "window-to"])
		byId(id).addEventListener("change", typedWindow);
}
