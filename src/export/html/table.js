// SPDX-License-Identifier: GPL-2.0-only
// table.js - the sites as a table: sorted by any column, as many rows in the document as are seen.

const TABLE_ROW_PIXELS = 30;
const TABLE_SPARE_ROWS = 8;
const PRINTED_ROWS = 40;
const SPARK = { width: 76, height: 20 };

const table = {
	rows: [],
	figures: null,
	shown: [],
	sort: "rank",
	down: false,
	chosen: null,
	onChoose: null,
	printing: false,
	total: 0,
	columns: [],
};

// ---- columns -----------------------------------------------------------------------------------

const windowSeconds = () =>
	(snapshots.times[timeline.window.to] || 0) - (snapshots.times[timeline.window.from] || 0);

// The robust slope of the whole recording; within a window what it grew by, over its length.
function rowRate(index) {
	if (windowIsWhole()) return table.rows[index].slope;
	return windowSeconds() > 0 ? table.figures.growth[index] / windowSeconds() : 0;
}

function rowAverage(index) {
	const { live, blocks } = table.figures;

	return blocks[index] > 0.5 ? live[index] / blocks[index] : 0;
}

// Does the window begin later than the recording and last to its end? Then births tell what is new.
const windowIsOpen = () => timeline.window.from > 0 && timeline.window.to === lastSnapshot;

// What was born since the window began and is alive: exact where a birth epoch begins there, as at
// each mark. Else at least what later epochs hold, and the growth: frees of older blocks only make
// it less. As window.h.
function rowFresh(index) {
	const row = table.rows[index],
		numbers = row.agesRead || (row.agesRead = readAll(row.ages));
	const since = snapshots.times[timeline.window.from] - 0.0005;
	let alive = 0;

	recording.epochs.forEach((begin, age) => {
		if (begin >= since && 2 * age < numbers.length)
			alive += Math.max(0, numbers[2 * age] - numbers[2 * age + 1]);
	});
	return Math.max(alive, table.figures.growth[index]);
}

const processText = (row) =>
	row.pids ? row.pids.length + " processes" : recording.processes[row.process].name;

// What a person would name as the place: the call of C that Python made, the naming frame, its
// line.
function rowName(row) {
	if (!row.frames.length) return { name: "[no frames]", place: "" };
	const frame = row.frames[row.naming],
		calls = row.called < row.naming;

	return {
		name: frameFunction(calls ? row.frames[row.called] : frame),
		caller: calls ? frameFunction(frame) : callerName(row),
		place: framePlace(frame),
	};
}

function callerName(row) {
	const own = frameFunction(row.frames[row.naming]);

	for (let i = row.naming + 1; i < row.frames.length; i++) {
		const name = frameFunction(row.frames[i]);
		if (name !== own) return name;
	}
	return "";
}

const rowText = (row) => {
	const { name, place } = rowName(row);
	return name + " " + place;
};

// 'value' is sorted by, 'cell' is shown; 'first' is how the first click sorts: "down" for figures.
function tableColumns() {
	const of = (name) => (i) => table.figures[name][i];
	const several = new Set(sites.map((site) => site.class)).size > 1;
	const processes = new Set(sites.map((site) => site.process)).size > 1;
	const difference = Boolean(recording.moments);

	return [
		{
			key: "rank",
			title: "#",
			hint: difference
				? "What grew most comes first"
				: "Order of the whole recording: what goes on growing comes first",
			right: true,
			first: "up",
			value: (i) => table.rows[i].rank,
			cell: (i) => String(table.rows[i].rank),
		},
		{
			key: "name",
			title: "function",
			hint: "What allocates, its caller and its line",
			first: "up",
			wide: true,
			value: (i) => rowText(table.rows[i]),
			cell: (i) => nameCell(table.rows[i]),
		},
		{
			key: "growth",
			title: "growth",
			hint: "Live bytes at the end of the window less those at its beginning",
			right: true,
			value: of("growth"),
			cell: (i) => growthText(i),
		},
		!difference && {
			key: "curve",
			title: "curve",
			hint: "Live bytes over the whole recording",
			fixed: true,
			cell: (i) => sparkline(table.rows[i]),
		},
		!difference && {
			key: "rate",
			title: "rate",
			hint: "Per second: in the whole recording the median slope, in a window its average",
			right: true,
			value: rowRate,
			cell: (i) => formatGrowth(rowRate(i)) + "/s",
		},
		difference && {
			key: "before",
			title: "before",
			hint: "Live bytes at the first moment",
			right: true,
			value: of("before"),
			cell: (i) => formatBytes(table.figures.before[i]),
		},
		{
			key: "live",
			title: difference ? "after" : "live",
			hint: "Live bytes at the end of the window",
			right: true,
			value: of("live"),
			cell: (i) => formatBytes(table.figures.live[i]),
		},
		{
			key: "blocks",
			title: "blocks",
			hint: "Live blocks at the end of the window",
			right: true,
			value: of("blocks"),
			cell: (i) => formatCount(table.figures.blocks[i]),
		},
		{
			key: "average",
			title: "average",
			hint: "Bytes per live block",
			right: true,
			value: rowAverage,
			cell: (i) => formatBytes(rowAverage(i)),
		},
		!difference && {
			key: "alloc",
			title: "allocated",
			hint: "Bytes allocated within the window, freed or not",
			right: true,
			value: of("alloc"),
			cell: (i) => formatBytes(table.figures.alloc[i]),
		},
		windowIsOpen() && {
			key: "fresh",
			title: "new, alive",
			hint: "Allocated since the window began, not freed; at least, without a mark there",
			right: true,
			value: rowFresh,
			cell: (i) => formatBytes(rowFresh(i)),
		},
		!difference && {
			key: "kept",
			title: "kept",
			hint: "Of what was allocated early in the recording, the share alive at its end",
			right: true,
			value: (i) => table.rows[i].survival,
			cell: (i) => Math.round(100 * table.rows[i].survival) + " %",
		},
		{
			key: "verdict",
			title: difference ? "change" : "verdict",
			hint: difference ? "Of the site" : "Of the whole recording",
			first: "up",
			value: (i) => table.rows[i].verdict,
			cell: (i) => verdictChip(table.rows[i]),
		},
		several && {
			key: "class",
			title: "class",
			hint: "Which allocator",
			first: "up",
			value: (i) => table.rows[i].class,
			cell: (i) => recording.classes[table.rows[i].class],
		},
		processes && {
			key: "process",
			title: "process",
			first: "up",
			value: (i) => processText(table.rows[i]),
			cell: (i) => processText(table.rows[i]),
		},
	].filter(Boolean);
}

function growthText(index) {
	const error = windowIsWhole() ? table.rows[index].error : 0;

	return (
		formatGrowth(table.figures.growth[index]) +
		(error > 0 ? " ±" + formatBytes(error) : "")
	);
}

const verdictChip = (row) =>
	make(
		"span",
		{ class: "chip verdict-" + recording.verdicts[row.verdict] },
		recording.verdicts[row.verdict],
	);

function nameCell(row) {
	const { name, caller, place } = rowName(row);
	const cell = make(
		"span",
		{
			class: "name",
			title: elide(name + (caller ? " < " + caller : "") + "\n" + place, 600),
		},
		make("b", {}, elide(name, 90)),
	);

	if (place) cell.append(make("span", { class: "place" }, "  " + elide(baseName(place), 40)));
	if (caller) cell.append(make("span", { class: "quiet" }, "  < " + elide(caller, 60)));
	return cell;
}

// ---- sparkline ---------------------------------------------------------------------------------

// At most one point for each pixel, the highest of those that share it: peaks must not get lost.
function thinned(series, count) {
	if (series.length <= count) return Array.from(series);
	return Array.from({ length: count }, (unused, i) => {
		const from = Math.floor((i * series.length) / count),
			to = Math.floor(((i + 1) * series.length) / count);
		return series
			.subarray(from, Math.max(to, from + 1))
			.reduce((a, b) => Math.max(a, b));
	});
}

function sparkline(row) {
	const values = thinned(rowSeries(row), SPARK.width);
	const high = values.reduce((a, b) => Math.max(a, b), 1),
		low = values.reduce((a, b) => Math.min(a, b), 0);
	const x = (i) => (1 + (i / Math.max(1, values.length - 1)) * (SPARK.width - 2)).toFixed(1);
	const y = (v) =>
		(SPARK.height - 2 - ((v - low) / (high - low)) * (SPARK.height - 4)).toFixed(1);
	const line = values.map((value, i) => (i ? "L" : "M") + x(i) + " " + y(value)).join("");

	return draw(
		"svg",
		{
			class: "spark class-" + row.class,
			width: SPARK.width,
			height: SPARK.height,
			"aria-hidden": "true",
		},
		draw("path", {
			class: "area",
			d: line + `L${SPARK.width - 1} ${y(low)}L1 ${y(low)}Z`,
		}),
		draw("path", { class: "edge", d: line }),
	);
}

// ---- order -------------------------------------------------------------------------------------

// In a window the order of the whole recording says nothing: what grew most there comes first.
const sortKey = () => (table.sort === "rank" && !windowIsWhole() ? "growth" : table.sort);

function tableSort() {
	const key = sortKey(),
		column = table.columns.find((one) => one.key === key);
	const direction = key !== table.sort || table.down ? -1 : 1;
	const values = table.shown.map((index) => column.value(index));
	const order = values.map((value, i) => i);

	order.sort((a, b) => {
		const x = values[a],
			y = values[b];
		return x < y ? -direction : x > y ? direction : table.shown[a] - table.shown[b];
	});
	table.shown = order.map((i) => table.shown[i]);
}

function tableSortBy(key) {
	const column = table.columns.find((one) => one.key === key);

	if (table.sort === key) table.down = !table.down;
	else table.down = column.first !== "up";
	table.sort = key;
	tableSort();
	drawHead();
	byId("table-box").scrollTop = 0;
	drawRows();
}

// ---- drawing -----------------------------------------------------------------------------------

function headCell(column) {
	const sorted = sortKey() === column.key;
	const down = sortKey() !== table.sort || table.down;
	const cell = make("th", {
		scope: "col",
		class: (column.right ? "right" : "") + (column.wide ? " wide" : ""),
		"aria-sort": column.fixed
			? null
			: !sorted
				? "none"
				: down
					? "descending"
					: "ascending",
	});

	if (column.fixed) {
		cell.append(make("span", { title: column.hint }, column.title));
		return cell;
	}
	const button = make(
		"button",
		{ type: "button", title: column.hint, "data-sort": column.key },
		column.title + (sorted ? (down ? " ▾" : " ▴") : ""),
	);
	button.addEventListener("click", () => {
		tableSortBy(column.key);
		byId("table-head").querySelector(`[data-sort="${column.key}"]`).focus();
	});
	cell.append(button);
	return cell;
}

function drawHead() {
	byId("table-head").replaceChildren(
		make("tr", { "aria-rowindex": 1 }, ...table.columns.map(headCell)),
	);
}

function bodyRow(place) {
	const index = table.shown[place],
		row = table.rows[index];
	const element = make("tr", {
		id: "row-" + index,
		"data-index": index,
		"aria-rowindex": place + 2,
		"aria-selected": row === table.chosen ? "true" : "false",
		class: place % 2 ? "odd" : "",
	});

	for (const column of table.columns)
		element.append(
			make(
				"td",
				{
					class:
						(column.right ? "right" : "") +
						(column.wide ? " wide" : ""),
				},
				column.cell(index),
			),
		);
	return element;
}

const spacer = (rows) =>
	make(
		"tr",
		{ class: "spacer", "aria-hidden": "true" },
		make("td", {
			colspan: table.columns.length,
			style: `height:${rows * TABLE_ROW_PIXELS}px`,
		}),
	);

// The rows that are seen, and space for those that are not.
function drawRows() {
	const box = byId("table-box"),
		count = table.shown.length;
	let from = Math.max(0, Math.floor(box.scrollTop / TABLE_ROW_PIXELS) - TABLE_SPARE_ROWS);
	let to = Math.min(
		count,
		from + Math.ceil(box.clientHeight / TABLE_ROW_PIXELS) + 2 * TABLE_SPARE_ROWS,
	);
	const rows = [];

	if (table.printing) [from, to] = [0, Math.min(count, PRINTED_ROWS)];
	if (from > 0) rows.push(spacer(from));
	for (let place = from; place < to; place++) rows.push(bodyRow(place));
	if (to < count && !table.printing) rows.push(spacer(count - to));
	byId("table-body").replaceChildren(...rows);
	byId("table").setAttribute("aria-rowcount", count + 1);
	byId("table").setAttribute(
		"aria-activedescendant",
		table.chosen ? "row-" + table.rows.indexOf(table.chosen) : "",
	);
}

function drawCount() {
	const { figures, shown } = table;
	const sum = (name) => shown.reduce((total, index) => total + figures[name][index], 0);

	byId("sites-count").textContent =
		plural(shown.length, "site") +
		(shown.length < table.total ? " of " + formatCount(table.total) : "") +
		`: ${formatGrowth(sum("growth"))} growth, ${formatBytes(sum("live"))} live` +
		(recording.moments ? "" : `, ${formatBytes(sum("alloc"))} allocated`);
}

// ---- choosing ----------------------------------------------------------------------------------

function tableChoose(row) {
	table.chosen = row;
	for (const element of byId("table-body").querySelectorAll("tr[data-index]"))
		element.setAttribute(
			"aria-selected",
			table.rows[element.dataset.index] === row ? "true" : "false",
		);
	byId("table").setAttribute(
		"aria-activedescendant",
		row ? "row-" + table.rows.indexOf(row) : "",
	);
	table.onChoose(row);
}

function rowIntoView(place) {
	const box = byId("table-box"),
		head = byId("table-head").offsetHeight;
	const top = place * TABLE_ROW_PIXELS;

	if (top < box.scrollTop) box.scrollTop = top;
	else if (top + TABLE_ROW_PIXELS + head > box.scrollTop + box.clientHeight)
		box.scrollTop = top + TABLE_ROW_PIXELS + head - box.clientHeight + 12;
}

function tableKey(event) {
	const steps = {
		ArrowDown: 1,
		ArrowUp: -1,
		PageDown: 12,
		PageUp: -12,
		Home: -Infinity,
		End: Infinity,
	};
	const step = steps[event.key],
		last = table.shown.length - 1;

	if (event.target !== byId("table") || step === undefined || last < 0) return;
	event.preventDefault();
	const at = table.chosen ? table.shown.indexOf(table.rows.indexOf(table.chosen)) : -1;
	const place = Math.max(0, Math.min(last, at + step));
	rowIntoView(place);
	drawRows();
	tableChoose(table.rows[table.shown[place]]);
}

// ---- from outside ------------------------------------------------------------------------------

// Rows that neither held, grew nor allocated anything within the window are not shown.
function tableUpdate(rows, figures, passes) {
	const { growth, live, alloc, before } = figures;

	table.rows = rows;
	table.figures = figures;
	table.columns = tableColumns();
	if (!table.columns.some((column) => column.key === table.sort))
		[table.sort, table.down] = ["rank", false];
	table.shown = [];
	table.total = 0;
	rows.forEach((row, index) => {
		if (!growth[index] && !live[index] && !alloc[index] && !before[index]) return;
		table.total++;
		if (passes(index)) table.shown.push(index);
	});
	tableSort();
	drawHead();
	drawRows();
	drawCount();
}

function tableStart(onChoose) {
	const box = byId("table-box");

	table.onChoose = onChoose;
	box.addEventListener("scroll", () => requestAnimationFrame(drawRows));
	byId("table").addEventListener("keydown", tableKey);
	byId("table-body").addEventListener("click", (event) => {
		const element = event.target.closest("tr[data-index]");
		if (element) tableChoose(table.rows[element.dataset.index]);
	});
}
