import { ticks } from "d3";
import { themed } from "./colors.ts";
import type { Block } from "./contract.ts";
import { type CurvePanel, type Points, scaleOf, type TrainingCurvesData } from "./curvePoints.ts";
import { count, real } from "./format.ts";
import { TOP, WIDTH } from "./frame.ts";
import { element, label, round } from "./svg.ts";
import { finite } from "./trainingHistory.ts";
import { wrapText } from "./wrapText.ts";

const LEFT = 58;
const RIGHT = 82;
const BETWEEN = 118;
const TALL = 128;
const STEP = TALL + 58;

/** From line to line of a panel's name, and of what is named beside its lines, in pixels. */
const NAME_LINE = 14;
const LABEL_LINE = 11;

/** An em of the picture's faces over one of the monospaced face, in which text is measured: bold, and plain. */
const BOLD = 1.15;
const PLAIN = 0.95;

/** Width in pixels of each of some panels. */
export function roomOf(nPanels: number): number {
  return nPanels === 1 ? WIDTH - LEFT - RIGHT : (WIDTH - LEFT - RIGHT - BETWEEN) / 2;
}

/** Where the panels of a figure stand. */
export interface CurveLayout {
  /** For each panel a block of a cell a point, or a block for each point where points are not evenly spaced. */
  blocks: Block[];
  /** Upper left corners of the panels, the values at their lower and upper ends, and their names in lines. */
  panels: { x: number; y: number; least: number; most: number; name: string[] }[];
  height: number;
}

export function layOutPanels({ panels }: TrainingCurvesData, { room, xs, dense }: Points): CurveLayout {
  const across = panels.length === 1 ? 1 : 2;
  const names = panels.map(({ name }) => wrapText(name, (room + BETWEEN - 16) / (11 * BOLD)));
  // A row of panels begins below the longest of its names.
  let top = TOP + 22;
  const places = panels.map(({ lines, baseline }, p) => {
    const [least, most] = rangeOf(lines, baseline);
    if (p % across === 0) {
      if (p > 0) top += STEP;
      top += NAME_LINE * (Math.max(...names.slice(p, p + across).map((name) => name.length)) - 1);
    }
    return { x: LEFT + (p % across) * (room + BETWEEN), y: top, name: names[p]!, least, most };
  });
  const blocks = places.flatMap(({ x, y }, row): Block[] => {
    const own = { y, height: TALL, rows: 1, row };
    if (dense) return [{ ...own, x, width: room / xs.length, columns: xs.length, column: 0 }];
    return xs.map((at, column) => {
      const left = column === 0 ? 0 : (xs[column - 1]! + at) / 2;
      const right = column === xs.length - 1 ? room : (at + xs[column + 1]!) / 2;
      return { ...own, x: round(x + left), width: round(right - left), columns: 1, column };
    });
  });
  return { blocks, panels: places, height: places.at(-1)!.y + STEP - 8 };
}

/** Lowest and highest value that a panel shows, with some margin. */
function rangeOf(lines: CurvePanel["lines"], baseline: CurvePanel["baseline"]): [least: number, most: number] {
  const values = lines.flatMap(({ mean, low, high }) =>
    lines.length > 1 ? finite(mean) : [...finite(low), ...finite(high)],
  );
  if (baseline !== null) values.push(baseline.value);
  const [least, most] = [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))];
  const margin = (most - least || Math.abs(most) || 1) * 0.05;
  return [least - margin, most + margin];
}

/** Each panel with its axes, lines and labels. */
export function drawPanels(data: TrainingCurvesData, layout: CurveLayout, points: Points, logSteps: boolean): string[] {
  const steps = [data.first[0]!, data.last.at(-1)!];
  return data.panels.map((panel, p) => {
    const { x, y, least, most, name } = layout.panels[p]!;
    const down = (value: number): number => y + ((most - value) / (most - least)) * TALL;
    const marks = ticks(least, most, 5);
    const across = stepTicks(steps, points.room, logSteps);
    const small = { "font-size": 10, fill: themed("muted") };
    return [
      ...name.map((line, i) =>
        label(x - 44, y - 8 - NAME_LINE * (name.length - 1 - i), line, { "font-weight": "bold" }),
      ),
      element("path", {
        d: marks.map((m) => `M${x} ${round(down(m))}h${points.room}`).join(""),
        stroke: themed("faint"),
        "stroke-opacity": 0.6,
      }),
      element("g", { ...small, "text-anchor": "end" }, ...marks.map((m) => label(x - 6, down(m) + 3.5, real(m)))),
      element("path", { d: `M${x} ${y + TALL}h${points.room}`, stroke: themed("muted") }),
      element(
        "g",
        { ...small, "text-anchor": "middle" },
        ...across.map(({ at, text }) => label(x + at, y + TALL + 14, text)),
      ),
      label(x - 6, y + TALL + 14, "step", { ...small, "text-anchor": "end" }),
      element(
        "g",
        { class: "marks" },
        ...panelLines(
          panel,
          points.xs.map((at) => x + at),
          down,
        ),
      ),
      lineLabels(panel, x + points.room + 6, down, y + TALL),
      baselineOf(panel, x, points.room, down),
    ].join("");
  });
}

function stepTicks(ends: readonly number[], room: number, logSteps: boolean): { at: number; text: string }[] {
  const [from, to] = [ends[0]!, ends[1]!];
  const place = scaleOf([from, to], room, logSteps);
  const powers = Array.from({ length: 16 }, (_, e) => 10 ** e).filter((power) => power >= from && power <= to);
  const steps =
    logSteps && powers.length > 1 ? powers : from === to ? [from] : ticks(from, to, 5).filter(Number.isInteger);
  return steps.map((step) => ({ at: place(step), text: count(step) }));
}

/** From pale for the first layer to full for the last. */
function opacityOf(line: number, nLines: number): number {
  return nLines === 1 ? 1 : 0.3 + (0.7 * line) / (nLines - 1);
}

/** Points up to which each is drawn as a dot. */
const MOST_DOTS = 40;

function panelLines({ lines }: CurvePanel, xs: readonly number[], down: (value: number) => number): string[] {
  const short = (value: number): number => Math.round(value * 10) / 10;
  return lines.map(({ mean, low, high }, i) => {
    const seen = [...mean.keys()].filter((p) => !Number.isNaN(mean[p]!));
    const at = (p: number, of: Float64Array): string => `${short(xs[p]!)} ${short(down(of[p]!))}`;
    const band = [...seen.map((p) => at(p, high)), ...seen.toReversed().map((p) => at(p, low))].join("L");
    const dots = seen.map((p) => `M${at(p, mean)}h.01`).join("");
    const stroke = { stroke: themed("value"), "stroke-opacity": opacityOf(i, lines.length), fill: "none" };
    return [
      lines.length === 1 ? element("path", { d: `M${band}z`, fill: themed("value"), "fill-opacity": 0.2 }) : "",
      element("path", { d: `M${seen.map((p) => at(p, mean)).join("L")}`, ...stroke, "stroke-width": 1.4 }),
      seen.length <= MOST_DOTS
        ? element("path", { d: dots, ...stroke, "stroke-width": 5, "stroke-linecap": "round" })
        : "",
    ].join("");
  });
}

/** What the lines are, beside their ends: layers, and the baseline's name; moved apart where they would meet. */
function lineLabels(
  { lines, baseline }: CurvePanel,
  x: number,
  down: (value: number) => number,
  bottom: number,
): string {
  const every = Math.ceil(lines.length / 10);
  const ends = lines
    .map(({ layer, mean }, i) => ({
      text: `layer ${layer}`,
      layer,
      i,
      y: down(finite(mean).at(-1) ?? Number.NaN) + 3.5,
    }))
    .filter(({ layer, i, y }) => layer !== null && !Number.isNaN(y) && (i % every === 0 || i === lines.length - 1));
  const labels = ends.map(({ text, y }) => ({ text, y }));
  const named = baseline === null ? [] : wrapText(baseline.name, (RIGHT - 6) / (10 * PLAIN));
  for (const [i, text] of named.entries()) labels.push({ text, y: down(baseline!.value) + 3.5 + LABEL_LINE * i });
  labels.sort((a, b) => a.y - b.y);
  for (const [i, end] of labels.entries()) if (i > 0) end.y = Math.max(end.y, labels[i - 1]!.y + LABEL_LINE);
  for (let i = labels.length - 1; i >= 0; i--)
    labels[i]!.y = Math.min(labels[i]!.y, bottom + 3.5 - LABEL_LINE * (labels.length - 1 - i));
  return element("g", { "font-size": 10, fill: themed("muted") }, ...labels.map(({ text, y }) => label(x, y, text)));
}

function baselineOf({ baseline }: CurvePanel, x: number, room: number, down: (value: number) => number): string {
  if (baseline === null) return "";
  const dashed = { stroke: themed("ink"), "stroke-dasharray": "4 3", "stroke-width": 0.9 };
  return element("path", { d: `M${x} ${round(down(baseline.value))}h${room}`, ...dashed });
}
