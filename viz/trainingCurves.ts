import { ticks } from "d3";
import { ShapeError, shown } from "../lib/errors.ts";
import { themed } from "./colors.ts";
import type { Block } from "./contract.ts";
import { Figure } from "./figure.ts";
import { count, real } from "./format.ts";
import { frame, TOP, WIDTH } from "./frame.ts";
import { tableOf } from "./html.ts";
import { packReal } from "./pack.ts";
import { element, label, round } from "./svg.ts";

/** A quantity over the steps of a run. */
export interface Curve {
  /** What it is and in which unit: "cross-entropy, nats a token". */
  name: string;
  /** A number for each step, [n_steps], or for each layer and step, [n_layers][n_steps]; NaN where it was not measured. */
  values: ArrayLike<number> | readonly ArrayLike<number>[];
  /** A value to compare with, drawn as a dashed line. */
  baseline?: { value: number; name: string };
}

/** Curves that were measured at the same steps. */
export interface TrainingHistory {
  /** Rising: [n_steps]. */
  steps: ArrayLike<number>;
  curves: readonly Curve[];
  /** The model's layer number of each line of a curve by layer; 0, 1, 2 … where absent. */
  layers?: readonly number[];
}

export interface TrainingCurvesOptions {
  /** Steps on a logarithmic axis, to see the beginning; false where absent. */
  logSteps?: boolean;
}

/** What the training curves draw. */
export interface TrainingCurvesData {
  /** First and last step, and number of steps, behind each point: [n_points]. */
  first: number[];
  last: number[];
  nSteps: number[];
  panels: CurvePanel[];
}

interface CurvePanel {
  name: string;
  baseline: { value: number; name: string } | null;
  lines: CurveLine[];
}

interface CurveLine {
  /** The model's layer number, or null for a quantity of the whole model. */
  layer: number | null;
  /** Mean, lowest and highest value behind each point; NaN where nothing was measured: [n_points]. */
  mean: Float64Array;
  low: Float64Array;
  high: Float64Array;
}

/** Panels, lines of a panel, and points of all lines that one figure can hold within 300 kB. */
const MOST_PANELS = 8;
const MOST_LINES = 64;
const MOST_POINTS = 2600;

const LEFT = 58;
const RIGHT = 82;
const BETWEEN = 118;
const TALL = 128;
const STEP = TALL + 58;

/** Least pixels between points; steps that are closer are drawn as one. */
const CLOSEST = 2;

/**
 * Losses, loads, entropies and the like over the steps of a training run.
 *
 * A panel is a quantity, a line its course; for a quantity of each layer there is a line a layer, from pale for the first
 * to full colour for the last, labelled at its end. Where steps are closer than two pixels, or more in a figure of many lines, a point is the mean of its
 * steps, and a panel with a single line has a band from the lowest to the highest of them. Steps at which a quantity was
 * not measured have no point: the line joins its neighbours, and few points are dots. The dashed line is the baseline,
 * such as an even load.
 * @throws ShapeError for values of another length than the steps; RangeError for steps that do not rise, an infinity,
 * nothing to draw, or more lines or panels than fit
 * @example show(trainingCurves(runCurves(records, { dVocab: 4096 }), { logSteps: true }))
 */
export function trainingCurves(
  history: TrainingHistory,
  { logSteps = false }: TrainingCurvesOptions = {},
): Figure<TrainingCurvesData> {
  check(history, logSteps);
  const { steps, curves } = history;
  const points = pointsOf(history, logSteps);
  const data = gather(history, points);
  const layout = layOut(data, points);
  const names = curves.map(({ name }) => name.split(/[,:]/)[0]);
  const more = names.length > 3 ? ` and ${names.length - 3} more` : "";
  const title = `Training, step by step: ${names.slice(0, 3).join(", ")}${more}`;
  const each = Math.max(...data.nSteps);
  const subtitle = [
    `${count(steps.length)} steps measured, from ${count(steps[0]!)} to ${count(steps[steps.length - 1]!)}`,
    ...(each > 1 ? [`a point is the mean of up to ${count(each)}`] : []),
    ...(logSteps ? ["logarithmic axis of steps"] : []),
  ].join("; ");
  const description = `${subtitle}. ${describe(data)}`;
  const lines = data.panels.flatMap((panel) => panel.lines.map((line) => ({ panel, line })));
  return new Figure(data, {
    title,
    summary: description,
    caption:
      "A line is a quantity over the steps of training; where there is one for each layer, from pale for the first layer to full " +
      "colour for the last. The pale band around a single line spans the lowest and highest of the steps behind each point. " +
      "Dashed: the baseline named beside it.",
    svg: frame({ title, subtitle, description, height: layout.height, body: draw(data, layout, points, logSteps) }),
    table: tableOf(["quantity", "layer", "first", "lowest", "highest", "last", "baseline"], lines.length, (i) => {
      const { panel, line } = lines[i]!;
      const seen = line.mean.filter((value) => !Number.isNaN(value));
      return [
        panel.name,
        line.layer === null ? "all" : String(line.layer),
        ...[seen[0]!, Math.min(...finite(line.low)), Math.max(...finite(line.high)), seen.at(-1)!].map(real),
        panel.baseline === null ? "none" : `${real(panel.baseline.value)} (${panel.baseline.name})`,
      ];
    }),
    live: {
      view: "trainingCurves",
      blocks: layout.blocks,
      tokens: [],
      start: 0,
      first: data.first,
      last: data.last,
      panels: data.panels.map(({ name, baseline, lines: own }) => ({
        name,
        baseline,
        layers: own.map(({ layer }) => layer),
        mean: packReal(own.flatMap(({ mean }) => [...mean])),
        low: packReal(own.flatMap(({ low }) => [...low])),
        high: packReal(own.flatMap(({ high }) => [...high])),
      })),
    },
  });
}

/** @throws ShapeError for values that do not fit the steps; RangeError for what no panel can show */
function check({ steps, curves, layers }: TrainingHistory, logSteps: boolean): void {
  const where = "trainingCurves";
  const n = steps.length;
  if (n === 0) throw new RangeError(`${where}: steps must hold at least one step, got none`);
  for (let i = 0; i < n; i++)
    if (!Number.isFinite(steps[i]) || (i > 0 && steps[i]! <= steps[i - 1]!))
      throw new RangeError(`${where}: steps must rise, got ${steps[i]} at ${i}`);
  if (logSteps && steps[0]! <= 0) throw new RangeError(`${where}: steps must be above 0 for logSteps, got ${steps[0]}`);
  if (curves.length === 0 || curves.length > MOST_PANELS)
    throw new RangeError(
      `${where}: curves must be 1 to ${MOST_PANELS}, got ${curves.length}; show the rest in further figures`,
    );
  for (const { name, values } of curves) {
    const lines = linesOf(values);
    if (lines.length === 0 || lines.length > MOST_LINES)
      throw new RangeError(
        `${where}: values of ${shown(name)} must have 1 to ${MOST_LINES} layers, got ${lines.length}`,
      );
    if (isByLayer(values) && layers !== undefined && layers.length !== lines.length)
      throw new ShapeError(
        `${where}: layers must name the ${lines.length} layers of ${shown(name)}, got ${layers.length}`,
      );
    for (const line of lines) {
      if (line.length !== n)
        throw new ShapeError(`${where}: values of ${shown(name)} must be [n_steps] = [${n}], got ${line.length}`);
      const wrong = Array.from(line).find((value) => Math.abs(value) === Infinity);
      if (wrong !== undefined)
        throw new RangeError(`${where}: values of ${shown(name)} must be finite or NaN, got ${wrong}`);
    }
    if (lines.every((line) => finite(line).length === 0))
      throw new RangeError(`${where}: values of ${shown(name)} must hold a number, got none`);
  }
}

function isByLayer(values: Curve["values"]): values is readonly ArrayLike<number>[] {
  return typeof values[0] === "object";
}

function linesOf(values: Curve["values"]): readonly ArrayLike<number>[] {
  return isByLayer(values) ? values : [values];
}

function finite(values: ArrayLike<number>): number[] {
  return Array.from(values).filter((value) => !Number.isNaN(value));
}

/** Where the steps lie: steps that share a point, and each point's place in pixels from the left of a panel. */
interface Points {
  room: number;
  /** The point of each step: [n_steps]. */
  of: number[];
  xs: number[];
  /** Every place has a point. */
  dense: boolean;
}

function roomOf(nPanels: number): number {
  return nPanels === 1 ? WIDTH - LEFT - RIGHT : (WIDTH - LEFT - RIGHT - BETWEEN) / 2;
}

function pointsOf({ steps, curves }: TrainingHistory, logSteps: boolean): Points {
  const room = roomOf(curves.length);
  const nLines = curves.reduce((sum, { values }) => sum + linesOf(values).length, 0);
  const nPlaces = Math.floor(Math.min(room / CLOSEST, MOST_POINTS / nLines));
  const place = scaleOf(steps, room, logSteps);
  const all = Array.from(steps, place);
  const places = all.map((x) => Math.min(Math.floor((x / room) * nPlaces), nPlaces - 1));
  const taken = [...new Set(places)];
  const xs = taken.map((p) => {
    const own = all.filter((_, i) => places[i] === p);
    return own.reduce((sum, x) => sum + x, 0) / own.length;
  });
  const of = places.map((p) => taken.indexOf(p));
  return { room, of, xs, dense: taken.length === nPlaces };
}

/** From a step to pixels from the left of a panel. */
function scaleOf(steps: ArrayLike<number>, room: number, logSteps: boolean): (step: number) => number {
  const at = (step: number): number => (logSteps ? Math.log(step) : step);
  const [from, to] = [at(steps[0]!), at(steps[steps.length - 1]!)];
  return (step) => (to > from ? ((at(step) - from) / (to - from)) * room : room / 2);
}

function gather({ steps, curves, layers }: TrainingHistory, { of, xs }: Points): TrainingCurvesData {
  const behind = xs.map((): number[] => []);
  for (const [i, point] of of.entries()) behind[point]!.push(i);
  const lineOf = (values: ArrayLike<number>, layer: number | null): CurveLine => {
    const seen = behind.map((own) => finite(own.map((i) => values[i]!)));
    const over = (f: (numbers: number[]) => number): Float64Array =>
      Float64Array.from(seen, (numbers) => (numbers.length === 0 ? Number.NaN : f(numbers)));
    return {
      layer,
      mean: over((numbers) => numbers.reduce((sum, x) => sum + x, 0) / numbers.length),
      low: over((numbers) => Math.min(...numbers)),
      high: over((numbers) => Math.max(...numbers)),
    };
  };
  return {
    first: behind.map((own) => steps[own[0]!]!),
    last: behind.map((own) => steps[own.at(-1)!]!),
    nSteps: behind.map((own) => own.length),
    panels: curves.map(({ name, values, baseline }) => ({
      name,
      baseline: baseline ?? null,
      lines: linesOf(values).map((line, l) => lineOf(line, isByLayer(values) ? (layers?.[l] ?? l) : null)),
    })),
  };
}

function describe({ panels }: TrainingCurvesData): string {
  const says = panels.map(({ name, lines, baseline }) => {
    const ends = lines.map(({ mean }) => finite(mean));
    const range = (values: number[]): string => {
      const [low, high] = [Math.min(...values), Math.max(...values)];
      return real(low) === real(high) ? real(low) : `${real(low)}–${real(high)}`;
    };
    const from = range(ends.flatMap((values) => values.slice(0, 1)));
    const to = range(ends.flatMap((values) => values.slice(-1)));
    return `${name}: ${from} to ${to}${baseline === null ? "" : `, ${baseline.name} ${real(baseline.value)}`}`;
  });
  return `${says.join("; ")}.`;
}

interface Layout {
  /** For each panel a block of a cell a point, or a block for each point where points are not evenly spaced. */
  blocks: Block[];
  /** Upper left corners of the panels, and the values at their lower and upper ends. */
  panels: { x: number; y: number; least: number; most: number }[];
  height: number;
}

function layOut({ panels }: TrainingCurvesData, { room, xs, dense }: Points): Layout {
  const across = panels.length === 1 ? 1 : 2;
  const places = panels.map(({ lines, baseline }, p) => {
    const values = lines.flatMap(({ mean, low, high }) =>
      lines.length > 1 ? finite(mean) : [...finite(low), ...finite(high)],
    );
    if (baseline !== null) values.push(baseline.value);
    const [least, most] = [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))];
    const margin = (most - least || Math.abs(most) || 1) * 0.05;
    return {
      x: LEFT + (p % across) * (room + BETWEEN),
      y: TOP + 22 + Math.floor(p / across) * STEP,
      least: least - margin,
      most: most + margin,
    };
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

function draw(data: TrainingCurvesData, layout: Layout, points: Points, logSteps: boolean): string[] {
  const steps = [data.first[0]!, data.last.at(-1)!];
  return data.panels.map((panel, p) => {
    const { x, y, least, most } = layout.panels[p]!;
    const down = (value: number): number => y + ((most - value) / (most - least)) * TALL;
    const marks = ticks(least, most, 5);
    const across = stepTicks(steps, points.room, logSteps);
    const small = { "font-size": 10, fill: themed("muted") };
    return [
      label(x - 44, y - 8, panel.name, { "font-weight": "bold" }),
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
  if (baseline !== null) labels.push({ text: baseline.name, y: down(baseline.value) + 3.5 });
  labels.sort((a, b) => a.y - b.y);
  for (const [i, end] of labels.entries()) if (i > 0) end.y = Math.max(end.y, labels[i - 1]!.y + 11);
  for (let i = labels.length - 1; i >= 0; i--)
    labels[i]!.y = Math.min(labels[i]!.y, bottom + 3.5 - 11 * (labels.length - 1 - i));
  return element("g", { "font-size": 10, fill: themed("muted") }, ...labels.map(({ text, y }) => label(x, y, text)));
}

function baselineOf({ baseline }: CurvePanel, x: number, room: number, down: (value: number) => number): string {
  if (baseline === null) return "";
  const dashed = { stroke: themed("ink"), "stroke-dasharray": "4 3", "stroke-width": 0.9 };
  return element("path", { d: `M${x} ${round(down(baseline.value))}h${room}`, ...dashed });
}
