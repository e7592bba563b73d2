// SPDX-License-Identifier: GPL-2.0-only
// detail.js - the chosen site: its figures, its curve, the age of what it holds, its stack.

const CURVE = { width: 600, height: 140, left: 58, right: 8, top: 8, bottom: 20 };
const STACK_TEXT_MAX = 2000;

function detailFigures(row, figures, index) {
	const pair = (name, value) => [make("dt", {}, name), make("dd", {}, value)];
	const whole = windowIsWhole();

	return make(
		"dl",
		{ class: "figures" },
		...pair(
			"growth",
			formatGrowth(figures.growth[index]) +
				(whole && row.error > 0 ? " ±" + formatBytes(row.error) : ""),
		),
		...pair("in blocks", formatCount(figures.growthBlocks[index], true)),
		...pair("live", formatBytes(figures.live[index])),
		...pair("live blocks", formatCount(figures.blocks[index])),
		...(recording.moments
			? []
			: [
					...pair("allocated", formatBytes(figures.alloc[index])),
					...pair("kept", Math.round(100 * row.survival) + " %"),
				]),
		...pair("class", recording.classes[row.class]),
		...pair("process", processText(row)),
	);
}

function curveOf(row) {
	const series = rowSeries(row),
		range = rangeOf([series], true);
	const height = CURVE.height - CURVE.top - CURVE.bottom,
		width = CURVE.width - CURVE.left - CURVE.right;
	const x = (i) => CURVE.left + ((snapshots.times[i] || 0) / duration()) * width;
	const y = (v) => CURVE.top + height * (1 - (v - range[0]) / (range[1] - range[0]));
	const line = Array.from(
		series,
		(v, i) => (i ? "L" : "M") + x(i).toFixed(1) + " " + y(v).toFixed(1),
	).join("");
	const { from, to } = timeline.window;
	const most = formatBytes(series.reduce((a, b) => Math.max(a, b), 0));
	const title = `Live bytes over ${formatDuration(duration())}: at most ${most}`;
	const svg = draw("svg", {
		class: "curve class-" + row.class,
		viewBox: `0 0 ${CURVE.width} ${CURVE.height}`,
		role: "img",
		"aria-label": title,
	});

	for (const value of roundSteps(range[0], range[1], 3, true))
		svg.append(
			draw("line", {
				class: "grid",
				x1: CURVE.left,
				x2: CURVE.width - CURVE.right,
				y1: y(value),
				y2: y(value),
			}),
			draw(
				"text",
				{
					class: "tick",
					x: CURVE.left - 6,
					y: y(value),
					dy: "0.32em",
					"text-anchor": "end",
				},
				formatBytes(value),
			),
		);
	if (!windowIsWhole())
		svg.append(
			draw("rect", {
				class: "window",
				x: x(from),
				width: Math.max(1, x(to) - x(from)),
				y: CURVE.top,
				height,
			}),
		);
	svg.append(
		draw("path", {
			class: "area",
			d: `${line}L${x(series.length - 1)} ${y(0)}L${x(0)} ${y(0)}Z`,
		}),
		draw("path", { class: "edge", d: line }),
	);
	for (const time of roundTimes(duration(), 6))
		svg.append(
			draw(
				"text",
				{
					class: "tick",
					x: CURVE.left + (time / duration()) * width,
					y: CURVE.height - 5,
					"text-anchor": "middle",
				},
				formatDuration(time),
			),
		);
	return svg;
}

function ageName(index) {
	const from = recording.epochs[index],
		to = recording.epochs[index + 1];

	return from === undefined
		? ""
		: formatDuration(from) +
				" – " +
				formatDuration(to === undefined ? recording.duration_s : to);
}

// When it was born, how much of it is alive at the end of the recording.
function agesOf(row) {
	const numbers = readAll(row.ages),
		list = make(
			"table",
			{ class: "ages" },
			make(
				"thead",
				{},
				make(
					"tr",
					{},
					...["born", "allocated", "", "still alive"].map((title) =>
						make("th", { scope: "col" }, title),
					),
				),
			),
		);
	const body = make("tbody", {});
	let most = 1;

	for (let i = 0; i < numbers.length; i += 2) most = Math.max(most, numbers[i]);
	for (let i = 0; i < numbers.length; i += 2) {
		const born = numbers[i],
			alive = Math.max(0, born - numbers[i + 1]);
		if (!born) continue;
		body.append(
			make(
				"tr",
				{},
				make("td", {}, ageName(i / 2)),
				make("td", { class: "right" }, formatBytes(born)),
				make(
					"td",
					{ class: "bar-cell" },
					make(
						"div",
						{
							class: "bar",
							style: `width:${(100 * born) / most}%`,
						},
						make("div", {
							class: "bar-alive class-" + row.class,
							style: `width:${(100 * alive) / born}%`,
						}),
					),
				),
				make(
					"td",
					{ class: "right" },
					`${formatBytes(alive)}, ${Math.round((100 * alive) / born)} %`,
				),
			),
		);
	}
	list.append(body);
	return body.children.length ? list : make("p", { class: "quiet" }, "no ages were recorded");
}

function stackOf(row) {
	const list = make("ol", { class: "stack" });
	const mixed = row.frames.some((frame) => frameFlags(frame) & FRAME_PYTHON);

	row.frames.forEach((frame, i) => {
		const flags = frameFlags(frame),
			kind = flags & FRAME_PYTHON ? "py" : "c";
		list.append(
			make(
				"li",
				{
					class:
						(flags & FRAME_INTERNAL ? "internal" : "") +
						(i === row.naming ? " naming" : ""),
				},
				mixed
					? make(
							"span",
							{
								class: "kind",
								title:
									kind === "py"
										? "Python"
										: "native",
							},
							kind,
						)
					: null,
				make(
					"span",
					{ class: "frame-name" },
					elide(frameFunction(frame), STACK_TEXT_MAX),
				),
				flags & FRAME_INLINED
					? make("span", { class: "quiet" }, " inlined")
					: null,
				make(
					"span",
					{ class: "place" },
					elide(framePlace(frame), STACK_TEXT_MAX),
				),
			),
		);
	});
	if (row.end)
		list.append(
			make(
				"li",
				{ class: "quiet" },
				"[cut here: " + recording.ends[row.end - 1] + "]",
			),
		);
	return list;
}

function drawDetail(row, figures, index) {
	const box = byId("detail");

	if (!row)
		return box.replaceChildren(
			make(
				"p",
				{ class: "quiet" },
				"Choose a site: its stack, its curve and the age of what it holds.",
			),
		);
	const { name, place } = rowName(row);
	box.replaceChildren(
		make(
			"div",
			{ class: "detail-head" },
			make("h3", {}, elide(name, 300)),
			verdictChip(row),
			make("span", { class: "place" }, elide(place, 300)),
			row.members.length > 1
				? make(
						"span",
						{ class: "quiet" },
						`${plural(row.members.length, "stack")} that look the same`,
					)
				: null,
		),
		make(
			"div",
			{ class: "detail-body" },
			make(
				"div",
				{},
				detailFigures(row, figures, index),
				...(recording.moments
					? []
					: [
							make("h4", {}, "Live bytes"),
							curveOf(row),
							make("h4", {}, "By birth"),
							agesOf(row),
						]),
			),
			make(
				"div",
				{},
				make("h4", {}, "Stack, the allocation first"),
				stackOf(row),
			),
		),
	);
}
