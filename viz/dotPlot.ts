import { ticks } from "d3";
import { ShapeError, shown } from "../lib/errors.ts";
import { EXPERT_COLORS, themed } from "./colors.ts";
import type { Block } from "./contract.ts";
import { Figure } from "./figure.ts";
import { real } from "./format.ts";
import { frame, MARGIN, TOP, WIDTH } from "./frame.ts";
import { tableOf } from "./html.ts";
import { element, label, round } from "./svg.ts";
import { textWidth } from "./tokens.ts";
import { wrapText } from "./wrapText.ts";

/** One measured value. */
export interface Dot {
  value: number;
  /** Ends of its interval, where known. */
  low?: number;
  high?: number;
  /** Why it cannot be compared with its neighbours as it stands, such as "8-shot": the dot is hollow. */
  otherwise?: string;
}

/** Values of some series, row by row. */
export interface Comparison {
  /** Readable alone. */
  title: string;
  /** What is measured, and in which unit. */
  quantity: string;
  /** Sample size, source and conditions. */
  note: string;
  series: readonly string[];
  /** A dot for each series, or null where there is none. */
  rows: readonly { name: string; dots: readonly (Dot | null)[] }[];
  /** A value to compare with, drawn as a dashed line. */
  baseline?: { value: number; name: string };
}

export interface DotPlotOptions {
  /** Values on a logarithmic axis; false where absent. */
  logValues?: boolean;
}

/** What the dot plot draws. */
export interface DotPlotData {
  series: string[];
  rows: { name: string; dots: (Dot | null)[] }[];
  baseline: { value: number; name: string } | null;
}

const MOST_SERIES = 12;
const MOST_DOTS = 240;
const LANE = 8;
const GAP = 8;

/** Size of text and distance of lines in pixels, and the widest that names of rows may be. */
const FONT = 11;
const LINE = 15;
const MOST_LEFT = 300;

/**
 * Values of several series beside each other, with their intervals.
 *
 * A row is a thing that was measured, a dot a series, each series in a colour and in a lane of its own within the row. The
 * bar through a dot is its interval: values whose bars overlap widely are not told apart by this sample. A hollow dot was
 * got in another way than its neighbours, as its tooltip and the table say; a series without a dot in a row was not
 * measured there. The axis spans the values and need not begin at 0. Dashed: the baseline.
 * @throws ShapeError for rows that do not have a dot or null for each series; RangeError for a value that is not finite (or
 * not above 0 on a logarithmic axis), nothing to draw, or more than fits
 * @example show(dotPlot({ title, quantity: "accuracy, %", note, series: ["a", "b"], rows: [{ name: "test", dots: [{ value: 70 }, null] }] }))
 */
export function dotPlot(comparison: Comparison, { logValues = false }: DotPlotOptions = {}): Figure<DotPlotData> {
  check(comparison, logValues);
  const { title, quantity, note, series, rows, baseline } = comparison;
  const data: DotPlotData = {
    series: [...series],
    rows: rows.map(({ name, dots }) => ({ name, dots: dots.map((dot) => (dot === null ? null : { ...dot })) })),
    baseline: baseline ?? null,
  };
  const layout = layOut(data, note, logValues);
  const description = `${note}. ${describe(data, quantity)}`;
  const marked = data.rows.some(({ dots }) => dots.some((dot) => dot?.otherwise !== undefined));
  return new Figure(data, {
    title,
    summary: description,
    caption:
      `A dot is one value of ${quantity}, a colour and lane a series; the bar is its interval where one is known. ` +
      (marked ? "Hollow dots were got in another way. " : "") +
      "Where a series has no dot there is no value. The axis need not begin at 0.",
    svg: frame({
      title,
      subtitle: layout.notes[0]!,
      description,
      height: layout.height,
      body: draw(data, layout, quantity, logValues),
    }),
    table: tableOf(["", ...series], rows.length, (r) => [
      data.rows[r]!.name,
      ...data.rows[r]!.dots.map((dot) => (dot === null ? "none" : dotText(dot))),
    ]),
    live: {
      view: "dotPlot",
      blocks: layout.blocks,
      tokens: [],
      start: 0,
      quantity,
      series: data.series,
      colors: data.series.map((_, s) => EXPERT_COLORS[s]!),
      rows: data.rows.map(({ name, dots }) => ({
        name,
        texts: dots.map((dot) => (dot === null ? null : dotText(dot))),
      })),
      baseline: data.baseline === null ? null : { name: data.baseline.name, text: real(data.baseline.value) },
    },
  });
}

function check({ series, rows, baseline }: Comparison, logValues: boolean): void {
  const where = "dotPlot";
  if (series.length < 1 || series.length > MOST_SERIES)
    throw new RangeError(`${where}: series must be 1 to ${MOST_SERIES}, got ${series.length}`);
  if (rows.length === 0 || rows.length * series.length > MOST_DOTS)
    throw new RangeError(`${where}: rows must be 1 to ${Math.floor(MOST_DOTS / series.length)}, got ${rows.length}`);
  const numbers = baseline === undefined ? [] : [baseline.value];
  for (const { name, dots } of rows) {
    if (dots.length !== series.length)
      throw new ShapeError(
        `${where}: dots of ${shown(name)} must be [n_series] = [${series.length}], got ${dots.length}`,
      );
    for (const dot of dots) if (dot !== null) numbers.push(...numbersOf(dot));
  }
  const wrong = numbers.find((x) => !Number.isFinite(x) || (logValues && x <= 0));
  if (wrong !== undefined)
    throw new RangeError(`${where}: a value must be finite${logValues ? " and above 0" : ""}, got ${wrong}`);
  if (rows.every(({ dots }) => dots.every((dot) => dot === null)))
    throw new RangeError(`${where}: rows must hold a dot, got none`);
}

function numbersOf({ value, low = value, high = value }: Dot): number[] {
  return [low, value, high];
}

function dotText({ value, low, high, otherwise }: Dot): string {
  const interval = low === undefined || high === undefined ? "" : ` (${real(low)} to ${real(high)})`;
  return `${real(value)}${interval}${otherwise === undefined ? "" : `, ${otherwise}`}`;
}

function describe({ series, rows }: DotPlotData, quantity: string): string {
  const says = rows.slice(0, 12).map(({ name, dots }) => {
    const seen = dots.flatMap((dot, s) => (dot === null ? [] : [{ value: dot.value, name: series[s]! }]));
    if (seen.length === 0) return `${name}: nothing measured`;
    const [least, most] = [
      seen.reduce((a, b) => (b.value < a.value ? b : a)),
      seen.reduce((a, b) => (b.value > a.value ? b : a)),
    ];
    if (least === most) return `${name}: ${real(least.value)}`;
    return `${name}: from ${real(least.value)} (${least.name}) to ${real(most.value)} (${most.name})`;
  });
  return `${quantity}: ${says.join("; ")}${rows.length > 12 ? `; and ${rows.length - 12} rows more` : ""}.`;
}

interface Layout {
  /** The note, line by line. */
  notes: string[];
  left: number;
  room: number;
  top: number;
  rowHeight: number;
  across: (value: number) => number;
  range: [number, number];
  blocks: Block[];
  legend: { x: number; y: number }[];
  height: number;
}

function layOut({ rows, series, baseline }: DotPlotData, note: string, logValues: boolean): Layout {
  const notes = wrapText(note, (WIDTH - 2 * MARGIN) / FONT);
  const left = Math.min(MOST_LEFT, Math.max(...rows.map(({ name }) => textWidth(name))) * FONT + 14 + MARGIN);
  const room = WIDTH - left - 40;
  const values = rows.flatMap(({ dots }) => dots.flatMap((dot) => (dot === null ? [] : numbersOf(dot))));
  if (baseline !== null) values.push(baseline.value);
  const at = (value: number): number => (logValues ? Math.log(value) : value);
  const [least, most] = [at(Math.min(...values)), at(Math.max(...values))];
  const margin = (most - least || Math.abs(most) || 1) * 0.04;
  const across = (value: number): number => left + ((at(value) - least + margin) / (most - least + 2 * margin)) * room;
  const legend: Layout["legend"] = [];
  let [x, y] = [MARGIN, TOP + 4 + (notes.length - 1) * LINE];
  for (const name of series) {
    const width = textWidth(name) * FONT + 30;
    if (x + width > WIDTH - MARGIN && x > MARGIN) [x, y] = [MARGIN, y + 16];
    legend.push({ x, y });
    x += width;
  }
  const top = y + (baseline === null ? 16 : 28);
  const rowHeight = Math.max(series.length * LANE + GAP, 16);
  const back = (position: number): number => (logValues ? Math.exp(position) : position);
  return {
    notes,
    left,
    room,
    top,
    rowHeight,
    across,
    range: [back(least - margin), back(most + margin)],
    blocks: rows.map((_, row) => ({
      x: left,
      y: top + row * rowHeight,
      width: room,
      height: rowHeight,
      columns: 1,
      rows: 1,
      column: 0,
      row,
    })),
    legend,
    height: top + rows.length * rowHeight + 46,
  };
}

function draw(data: DotPlotData, layout: Layout, quantity: string, logValues: boolean): string[] {
  const { left, room, top, rowHeight, across, range, legend } = layout;
  const { rows, series, baseline } = data;
  const bottom = top + rows.length * rowHeight;
  const marks = logValues ? logTicks(range) : ticks(...range, 8);
  const small = { "font-size": 10, fill: themed("muted") };
  const lane = (s: number): number => GAP / 2 + (s + 0.5) * ((rowHeight - GAP) / series.length);
  return [
    ...layout.notes.slice(1).map((line, i) => label(MARGIN, 46 + (i + 1) * LINE, line, { fill: themed("muted") })),
    ...legend.map(({ x, y }, s) =>
      [circle(x + 5, y - 4, EXPERT_COLORS[s]!, false), label(x + 13, y, series[s]!, { fill: themed("muted") })].join(
        "",
      ),
    ),
    element("path", {
      d: rows.map((_, r) => `M${MARGIN} ${top + r * rowHeight}H${round(left + room)}`).join(""),
      stroke: themed("faint"),
    }),
    element("path", {
      d: marks.map((m) => `M${round(across(m))} ${top}V${bottom}`).join(""),
      stroke: themed("faint"),
      "stroke-opacity": 0.5,
    }),
    element("path", { d: `M${round(left)} ${bottom}h${round(room)}`, stroke: themed("muted") }),
    element("g", { ...small, "text-anchor": "middle" }, ...marks.map((m) => label(across(m), bottom + 14, real(m)))),
    label(left + room / 2, bottom + 32, quantity, { fill: themed("muted"), "text-anchor": "middle" }),
    ...(baseline === null
      ? []
      : [
          element("path", {
            d: `M${round(across(baseline.value))} ${top}V${bottom}`,
            stroke: themed("ink"),
            "stroke-dasharray": "4 3",
          }),
          label(across(baseline.value), top - 5, baseline.name, { ...small, "text-anchor": "middle" }),
        ]),
    element(
      "g",
      { class: "marks" },
      ...rows.map(({ name, dots }, r) =>
        [
          label(MARGIN, top + (r + 0.5) * rowHeight + 4, name),
          ...dots.map((dot, s) =>
            dot === null ? "" : dotMark(dot, top + r * rowHeight + lane(s), EXPERT_COLORS[s]!, across),
          ),
        ].join(""),
      ),
    ),
  ];
}

function dotMark(dot: Dot, y: number, color: string, across: (value: number) => number): string {
  const [low, value, high] = numbersOf(dot).map(across) as [number, number, number];
  const bar =
    high > low
      ? element("path", { d: `M${round(low)} ${round(y)}H${round(high)}`, stroke: color, "stroke-width": 1.4 })
      : "";
  return bar + circle(value, y, color, dot.otherwise !== undefined);
}

function circle(cx: number, cy: number, color: string, hollow: boolean): string {
  const paint = hollow ? { fill: themed("paper"), stroke: color, "stroke-width": 1.5 } : { fill: color };
  return element("circle", { cx, cy, r: 3.2, ...paint });
}

/** 1, 2 and 5 times powers of ten. */
function logTicks([low, high]: [number, number]): number[] {
  const marks: number[] = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++)
    for (const m of [1, 2, 5]) if (m * 10 ** power >= low && m * 10 ** power <= high) marks.push(m * 10 ** power);
  return marks;
}
