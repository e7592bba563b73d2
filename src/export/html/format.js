// SPDX-License-Identifier: GPL-2.0-only
// format.js - figures as the text report writes them, names fit to be read, and elements.
"use strict";

const BYTE_UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

// As units_format_bytes() of src/base/units.c: the page and the text report say the same digits.
function formatBytes(bytes, plus) {
	let size = Math.abs(bytes),
		unit = 0;

	if (size < 1024) size = Math.round(size);
	while (unit + 1 < BYTE_UNITS.length && size >= (unit ? 1023.5 : 1024)) {
		size /= 1024;
		unit++;
	}
	const sign = !size ? "" : bytes < 0 ? "−" : plus ? "+" : "";
	return (
		sign +
		(unit && size < 99.95 ? size.toFixed(1) : size.toFixed(0)) +
		" " +
		BYTE_UNITS[unit]
	);
}

const formatGrowth = (bytes) => formatBytes(bytes, true);

function formatCount(count, plus) {
	const digits = Math.abs(Math.round(count))
		.toString()
		.replace(/\B(?=(\d{3})+$)/g, ",");

	return (Math.round(count) < 0 ? "−" : plus && count > 0 ? "+" : "") + digits;
}

function formatPercent(share) {
	const percent = 100 * share;

	if (percent > 0 && percent < 0.1) return "under 0.1 %";
	return (percent < 9.95 ? percent.toFixed(1) : percent.toFixed(0)) + " %";
}

const plural = (count, word) => formatCount(count) + " " + word + (count === 1 ? "" : "s");

// "250ms", "7.5s", "42s", "3m5s", "2h10m"
function formatDuration(seconds) {
	const two = (value, per, major, minor) => {
		const high = Math.floor(value / per),
			low = value % per;
		return high + major + (low ? low + minor : "");
	};

	if (!(seconds > 0)) return "0s";
	if (seconds < 0.9995) return Math.round(seconds * 1000) + "ms";
	if (seconds < 9.95 && Math.abs(seconds - Math.round(seconds)) >= 0.05)
		return seconds.toFixed(1) + "s";
	if (seconds < 59.5) return Math.round(seconds) + "s";
	if (seconds < 3599.5) return two(Math.round(seconds), 60, "m", "s");
	if (seconds < 86370) return two(Math.round(seconds / 60), 60, "h", "m");
	return two(Math.round(seconds / 3600), 24, "d", "h");
}

// What a person types for a time: "90", "1m30s", "2h". NaN when it is none.
function parseDuration(text) {
	const units = { ms: 0.001, s: 1, "": 1, m: 60, h: 3600, d: 86400 };
	const parts = text.trim().match(/^(\d+(\.\d+)?\s*(ms|s|m|h|d|)\s*)+$/);
	let seconds = 0;

	if (!parts) return NaN;
	for (const part of text.matchAll(/(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|)/g))
		seconds += Number(part[1]) * units[part[2]];
	return seconds;
}

// Names come from binaries: what steers, reorders or hides text is shown as a sign of its own.
function readable(text) {
	return text
		.replace(/[\u0000-\u001f]/g, (c) => String.fromCharCode(0x2400 + c.charCodeAt(0)))
		.replace(/[\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g, "\ufffd")
		.replace(/^\s*$/, "[blank]");
}

// Cut in the middle: both the beginning and the end of a name tell something.
function elide(text, most) {
	if (text.length <= most) return text;
	const left = Math.ceil((most - 1) / 2);
	return text.slice(0, left) + "…" + text.slice(text.length - (most - 1 - left));
}

const baseName = (path) => path.slice(path.lastIndexOf("/") + 1) || path;

// Numbers that divide a range into at most about 'count' round steps; of bytes, powers of two.
function roundSteps(from, to, count, binary) {
	const rough = Math.max((to - from) / count, 1e-9),
		size = 10 ** Math.floor(Math.log10(rough));
	const step = binary
		? 2 ** Math.max(0, Math.round(Math.log2(rough)))
		: [1, 2, 5, 10].map((n) => n * size).find((n) => n >= rough * 0.999);
	const steps = [];

	for (let at = Math.ceil(from / step) * step; at <= to + step * 1e-9; at += step)
		steps.push(at);
	return steps;
}

// The same of a time that begins at 0, in steps that people use.
function roundTimes(seconds, count) {
	const steps = [
		1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400,
	];
	const step = steps.find((one) => one >= seconds / count);

	if (seconds < count || !step) return roundSteps(0, seconds, count);
	return Array.from({ length: Math.floor(seconds / step) + 1 }, (unused, i) => i * step);
}

// ---- elements ----------------------------------------------------------------------------------

const byId = (id) => document.getElementById(id);

function fill(element, attributes, children) {
	for (const [name, value] of Object.entries(attributes || {}))
		if (value !== null && value !== undefined && value !== false)
			element.setAttribute(name, value === true ? "" : value);
	// texts are appended as texts: no name is ever read as HTML
	element.append(...children.filter((child) => child !== null && child !== undefined));
	return element;
}

const make = (tag, attributes, ...children) =>
	fill(document.createElement(tag), attributes, children);
const draw = (tag, attributes, ...children) =>
	fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
