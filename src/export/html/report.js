// SPDX-License-Identifier: GPL-2.0-only
// report.js - the page as a whole: what was recorded, what follows from a new window, keys,
// colours.

const page = { hide: true, rows: [], siteFigures: null, figures: null, readyMs: 0 };

// ---- what follows from what --------------------------------------------------------------------

// Rows <- hiding; figures <- rows and window; flame graph and table <- figures and search.
function rowsChanged() {
	page.rows = page.hide ? shownRows : sites;
	table.chosen = page.rows[0] || null;
	flameBuild(page.rows);
	figuresChanged(true);
}

function figuresChanged(sameWindow) {
	const { from, to } = timeline.window;

	if (!sameWindow || !page.siteFigures) page.siteFigures = siteFigures(from, to);
	page.figures = rowFigures(page.rows, page.siteFigures);
	flameUpdate(page.figures, byId("search").value);
	drawTotals();
	showWindow();
	selectionChanged();
}

// What the zoom and the search let through.
function selectionChanged() {
	const matched = flameMatched();

	byId("matched").textContent = matched === null ? "" : formatPercent(matched) + " matched";
	tableUpdate(page.rows, page.figures, flameFilter());
	chosenChanged();
}

function chosenChanged() {
	drawDetail(table.chosen, page.figures, page.rows.indexOf(table.chosen));
}

let windowPending = false;

// A drag asks for more windows than a screen shows.
function windowChanged() {
	if (windowPending) return;
	windowPending = true;
	requestAnimationFrame(() => {
		windowPending = false;
		figuresChanged(false);
	});
}

// ---- head --------------------------------------------------------------------------------------

function contextText() {
	const slow = recording.slowdown_percent;
	const about = slow < 10 ? slow.toFixed(1) : Math.round(slow);
	const parts = [
		`${formatDuration(recording.duration_s)}, ` +
			`${plural(recording.snapshots_recorded, "snapshot")} ` +
			`every ${formatDuration(recording.interval_s)}`,
		recording.sample_bytes > 1
			? `sampled every ${formatBytes(recording.sample_bytes)}`
			: "exact",
		`${plural(recording.hits, "probe hit")}, ${recording.cpu_percent.toPrecision(2)} % of a core`,
		slow > 0
			? `slowed the target by ${slow >= 1000 ? "over 1000" : "about " + about} %`
			: "",
		recording.host ? "on " + readable(recording.host) : "",
		new Date(recording.start_unix_ms).toISOString().replace("T", " ").slice(0, 19) +
			" UTC",
	];

	return parts.filter(Boolean).join("; ");
}

// Of the difference of two recordings: "a.seep at mark1 (30s)".
function momentText(index) {
	const { recording: path, moment, time_s: time } = recording.moments[index];

	return `${readable(baseName(path || ""))} at ${readable(moment || "")} (${formatDuration(time)})`;
}

// What a difference says first, in place of a verdict.
function differenceLines() {
	const [a, b] = recording.moments,
		counts = new Map();
	const growth = (cls) => classLive[cls][lastSnapshot] - classLive[cls][0];
	const classes = usedClasses()
		.map((cls) => `${recording.classes[cls]} ${formatGrowth(growth(cls))}`)
		.join(", ");

	for (const row of shownRows) counts.set(row.verdict, (counts.get(row.verdict) || 0) + 1);
	const changes = [...counts.keys()]
		.sort()
		.map(
			(verdict) =>
				`${formatCount(counts.get(verdict))} ${recording.verdicts[verdict]}`,
		);
	return [
		[
			"answer",
			`live heap ${formatGrowth(b.live - a.live)}${classes ? " (" + classes + ")" : ""}: ` +
				`from ${formatBytes(a.live)} to ${formatBytes(b.live)}`,
		],
		a.rss && b.rss
			? [
					"answer",
					`RSS ${formatGrowth(b.rss - a.rss)}: ` +
						`from ${formatBytes(a.rss)} to ${formatBytes(b.rss)}`,
				]
			: null,
		["note", "sites: " + (changes.join(", ") || "none")],
	].filter(Boolean);
}

function drawSubject() {
	const used = recording.processes.filter((process) => process.comm);
	const first = used[0];
	const subject =
		used.length === 1
			? first.name +
				(first.python ? ", Python " + readable(first.python) : "") +
				(first.allocator ? ", " + readable(first.allocator) : "")
			: used.length + " processes";

	byId("subject").textContent = elide(subject, 120);
	document.title = elide(subject, 60) + " - seep";
	byId("context").textContent = recording.moments
		? momentText(0) + " → " + momentText(1)
		: contextText();
	byId("footer").textContent =
		`seep ${readable(recording.seep || "")}` +
		`${recording.kernel ? ", Linux " + readable(recording.kernel) : ""}. ` +
		"This file is complete in itself: it loads nothing and sends nothing.";
}

// The answer is large, notes are quiet; what is missing has a place of its own.
function drawVerdict() {
	const lines = recording.moments
		? differenceLines()
		: recording.verdict.filter(([tone]) => tone !== "loss");

	for (const [rest, name] of [
		[recording.filtered, "filtered out"],
		[recording.suppressed, "suppressed"],
	])
		if (rest && rest.sites)
			lines.push([
				"note",
				`${name}: ${plural(rest.sites, "site")} of ${formatBytes(rest.live)} live, ` +
					formatGrowth(rest.growth),
			]);
	byId("verdict").replaceChildren(
		...lines.map(([tone, text]) =>
			make("p", { class: "line " + tone }, elide(readable(text), 2000)),
		),
		...culpritLines(),
	);
}

// Frames through which the growth passes; one that is a row of the table already needs no line.
function culpritLines() {
	if (recording.culprits.every(([, , count]) => count === 1)) return [];
	return recording.culprits.map(([frame, share, count]) => {
		const name = elide(frameFunction(frame), 80),
			place = elide(framePlace(frame), 80);
		const button = make(
			"button",
			{
				type: "button",
				class: "culprit",
				title: "Show it in the flame graph and the table",
			},
			name,
		);

		button.addEventListener("click", () => {
			byId("search").value = frameText(frame, 0);
			searchChanged();
		});
		return make(
			"p",
			{ class: "line" },
			formatPercent(share) + " of the growth passes through ",
			button,
			place ? make("span", { class: "place" }, " " + place) : null,
			count === 1 ? "" : `, ${formatCount(count)} sites below`,
		);
	});
}

// What the verdict says is missing, and losses that it does not mention.
function lossLines() {
	const lines = recording.verdict
		.filter(([tone]) => tone === "loss")
		.map(([, text]) => readable(text));

	for (const [key, text, count] of recording.losses)
		if (!lines.some((line) => line.includes(readable(text))))
			lines.push(`${formatCount(count)} ${readable(text)} (${readable(key)})`);

	if (!recording.complete)
		lines.push(
			"the recording was not closed by its writer: it ends with its last whole snapshot",
		);
	if (snapshots.times.length < recording.snapshots_recorded)
		lines.push(
			`this file holds ${formatCount(snapshots.times.length)} of ` +
				`${plural(recording.snapshots_recorded, "snapshot")}, to stay small`,
		);
	return lines;
}

function drawLosses() {
	const lines = lossLines();

	byId("losses").hidden = !lines.length;
	byId("losses").replaceChildren(
		make("h2", {}, "Not in these figures"),
		make("ul", {}, ...lines.map((line) => make("li", {}, elide(line, 500)))),
	);
}

function drawHistory() {
	byId("history").hidden = !recording.events.length;
	byId("history-list").replaceChildren(
		...recording.events.map(([time, kind, text]) =>
			make(
				"li",
				{},
				make("time", {}, formatDuration(time)),
				make("b", {}, readable(kind)),
				make("span", {}, elide(readable(text), 500)),
			),
		),
	);
}

// The window in one line: what each class and RSS did in it.
function drawTotals() {
	const { from, to } = timeline.window,
		rss = totalRss();
	const item = (name, value, cls) =>
		make(
			"span",
			{ class: "total" },
			cls === undefined ? null : make("i", { class: "swatch class-" + cls }),
			make("span", { class: "quiet" }, name + " "),
			make("b", {}, value),
		);
	const span = windowIsWhole()
		? "whole recording"
		: `${formatDuration(snapshots.times[from])} to ${formatDuration(snapshots.times[to])}`;

	byId("totals").replaceChildren(
		make("span", { class: "total" }, make("b", {}, span)),
		rss[from] && rss[to] ? item("RSS", formatGrowth(rss[to] - rss[from])) : "",
		...usedClasses().map((cls) =>
			item(
				recording.classes[cls],
				formatGrowth(classLive[cls][to] - classLive[cls][from]) +
					" to " +
					formatBytes(classLive[cls][to]),
				cls,
			),
		),
		item(
			"allocated",
			formatBytes(page.siteFigures.alloc.reduce((sum, bytes) => sum + bytes, 0)),
		),
	);
}

// ---- colours and keys --------------------------------------------------------------------------

const isDark = () =>
	getComputedStyle(document.documentElement).getPropertyValue("--dark").trim() === "1";

function themeToggle() {
	document.documentElement.dataset.theme = isDark() ? "light" : "dark";
	themeShow();
}

function themeShow() {
	byId("theme").textContent = isDark() ? "Light" : "Dark";
	drawFlame();
}

function typing(target) {
	return target.matches("input:not([type=checkbox]), select, textarea");
}

function pageKey(event) {
	const keys = {
		"/": () => byId("search").focus(),
		"?": () => byId("help").showModal(),
		t: () => byId("timeline").focus(),
		f: () => byId("flame").focus(),
		s: () => byId("table").focus({ preventScroll: true }),
		d: themeToggle,
		w: windowReset,
	};

	if (
		event.ctrlKey ||
		event.metaKey ||
		event.altKey ||
		typing(event.target) ||
		byId("help").open ||
		!keys[event.key]
	)
		return;
	event.preventDefault();
	keys[event.key]();
}

function searchKey(event) {
	if (event.key === "Escape") {
		byId("search").value = "";
		searchChanged();
		byId("flame").focus();
	} else if (event.key === "Enter") {
		byId("flame").focus();
	}
}

function searchChanged() {
	flameSearch(byId("search").value);
	drawFlame();
	selectionChanged();
}

// ---- start -------------------------------------------------------------------------------------

// A choice that is a member of 'flame'; 'apply' makes what follows from it.
function chooser(id, apply) {
	const input = byId(id);

	input.addEventListener("change", () => {
		flame[id] = input.type === "checkbox" ? input.checked : input.value;
		apply();
	});
	if (input.type === "checkbox") input.checked = flame[id];
}

function choosersStart() {
	const rebuild = () => {
		flameBuild(page.rows);
		figuresChanged(true);
	};

	chooser("mode", () => figuresChanged(true));
	chooser("color", drawFlame);
	chooser("merge", rebuild);
	chooser("invert", rebuild);
	chooser("icicle", drawFlame);
	byId("hide").checked = page.hide;
	byId("hide").addEventListener("change", () => {
		page.hide = byId("hide").checked;
		rowsChanged();
	});
}

// On paper everything is light, and the first rows stand in full.
function printing(begins) {
	const root = document.documentElement;

	if (begins) {
		page.theme = root.dataset.theme;
		root.dataset.theme = "light";
	} else if (page.theme) {
		root.dataset.theme = page.theme;
	} else {
		delete root.dataset.theme;
	}
	table.printing = begins;
	drawFlame();
	drawRows();
}

function listenersStart() {
	let width = window.innerWidth;

	byId("theme").addEventListener("click", themeToggle);
	byId("help-open").addEventListener("click", () => byId("help").showModal());
	byId("search").addEventListener("input", searchChanged);
	byId("search").addEventListener("keydown", searchKey);
	document.addEventListener("keydown", pageKey);
	window.addEventListener("beforeprint", () => printing(true));
	window.addEventListener("afterprint", () => printing(false));
	window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", themeShow);
	window.addEventListener("resize", () => {
		if (window.innerWidth === width) return;
		width = window.innerWidth;
		drawTimeline();
		drawFlame();
	});
}

// There is no time between two recordings: what it would be drawn over is left out.
function differenceStart() {
	if (!recording.moments) return;
	document.documentElement.classList.add("difference");
	flame.mode = byId("mode").value = "change";
}

function pageStart() {
	differenceStart();
	drawSubject();
	drawVerdict();
	drawLosses();
	drawHistory();
	timelineStart(windowChanged);
	flameStart(selectionChanged);
	tableStart(chosenChanged);
	choosersStart();
	listenersStart();
	byId("theme").textContent = isDark() ? "Light" : "Dark";
	rowsChanged();
	requestAnimationFrame(() => (page.readyMs = performance.now()));
}

pageStart();
