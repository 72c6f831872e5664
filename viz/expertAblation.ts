import { ShapeError, shown } from "../lib/errors.ts";
import { EXPERT_COLORS, hasExpertColors, themed } from "./colors.ts";
import type { Block } from "./contract.ts";
import { Figure } from "./figure.ts";
import { count, percent, real } from "./format.ts";
import { divergingLegend, frame, HATCH, MARGIN, TOP, WIDTH } from "./frame.ts";
import { type Table, tableOf } from "./html.ts";
import { drawMarks, MOST_OUTLINES } from "./marks.ts";
import { maybePositive, maybeWhole } from "./options.ts";
import type { Mark } from "./outlines.ts";
import { packReal } from "./pack.ts";
import { divergingFills, divergingStep } from "./scale.ts";
import { element, label, rectPath } from "./svg.ts";

/** What taking out each expert does to the loss. */
export interface AblationResults {
  /** The model's layer number of each row, rising. */
  layers: readonly number[];
  nExperts: number;
  /** Tokens of the text, and its mean loss with all experts, in nats a token. */
  nTokens: number;
  baseLoss: number;
  /** Tokens that were routed to each expert with all experts there: [n_layers, n_experts]. */
  tokens: ArrayLike<number>;
  /** The ways in which experts were taken out. */
  kinds: readonly AblationKind[];
}

export interface AblationKind {
  /** Such as "zero" or "reroute". */
  name: string;
  /** Mean loss without the expert less `baseLoss`, in nats a token; NaN where it was not run: [n_layers, n_experts]. */
  delta: ArrayLike<number>;
  /** Bounds of a 95 % interval of delta, such as a paired bootstrap's, where known: [n_layers, n_experts]. */
  low?: ArrayLike<number>;
  high?: ArrayLike<number>;
}

export interface ExpertAblationOptions {
  /** Experts with fewer tokens are grey, because their number says little; 30 where absent. */
  minTokens?: number;
  /** Change of the loss in full colour, in nats a token; the largest by size of those not grey where absent. */
  max?: number;
}

/** What the ablation heatmap draws. */
export interface ExpertAblationData {
  layers: number[];
  nExperts: number;
  nTokens: number;
  baseLoss: number;
  minTokens: number;
  /** [n_layers, n_experts] */
  tokens: Float64Array;
  kinds: { name: string; delta: Float64Array; low: Float64Array | null; high: Float64Array | null }[];
}

/** Cells, over all kinds, that one figure can hold within 300 kB. */
const MOST_CELLS = 8192;
const MOST_KINDS = 6;

const LEFT = 66;
const GAP = 26;
const HEADING = 44;

/**
 * Layer by expert: how the loss changes when an expert is taken out, for one or several ways of taking it out.
 *
 * A panel is a way (nothing in its place, the others scaled up, the next best expert instead …), a cell an expert of a layer, layers
 * rising from the first. Colour is the change of the mean loss in nats a token: one colour for worse, another for better,
 * paper at no change, on one scale for all panels; beyond `max` it is clipped. Small squares are changes whose 95 % interval
 * holds 0, where intervals are known. Grey cells were computed on fewer than `minTokens` tokens that use the expert; hatched
 * ones were not run, which is not the same as no change.
 * @throws ShapeError for numbers that are not [n_layers, n_experts]; RangeError for an infinity, no or too many kinds, or
 * more cells than fit
 * @example show(expertAblation({ layers, nExperts, nTokens, baseLoss, tokens, kinds: [{ name: "zero", delta }] }))
 */
export function expertAblation(
  results: AblationResults,
  options: ExpertAblationOptions = {},
): Figure<ExpertAblationData> {
  const data = gather(results, options);
  const { layers, nExperts, nTokens, baseLoss, kinds, minTokens } = data;
  const strongest = kinds.flatMap(({ delta }) =>
    Array.from(delta)
      .filter((d, i) => isKnown(data, i, d))
      .map(Math.abs),
  );
  const most =
    maybePositive("expertAblation", "max", options.max) ?? (strongest.reduce((a, b) => Math.max(a, b), 0) || 1);
  const clips = strongest.some((size) => size > most);
  const layout = layOut(data);
  const few = data.tokens.filter((n) => n < minTokens).length;
  const title = `What the loss gains or loses without each expert: ${kinds.map(({ name }) => name).join(", ")}`;
  const subtitle = `${count(nTokens)} tokens; loss with all experts ${baseLoss.toFixed(3)} nats a token; grey: fewer than ${minTokens} tokens, ${count(few)} of ${count(data.tokens.length)} experts`;
  const description = `${subtitle}. ${describe(data)}`;
  return new Figure(data, {
    title,
    summary: description,
    caption:
      "A cell is an expert taken out of its layer, its colour the change of the mean loss: one colour where the text becomes " +
      "harder to predict, another where it becomes easier; paper is no change. All panels share one scale. " +
      (kinds.some(({ low }) => low !== null) ? "Small squares: the 95 % interval holds 0. " : "") +
      "Grey: too few tokens use the expert to say. Hatched: not run, which is not the same as no change.",
    svg: frame({ title, subtitle, description, height: layout.height, body: draw(data, layout, most, clips) }),
    table: deltaTable(data),
    live: {
      view: "expertAblation",
      blocks: layout.blocks,
      tokens: [],
      start: 0,
      layers,
      nExperts,
      nTokens,
      baseLoss,
      minTokens,
      routed: packReal(data.tokens),
      kinds: kinds.map(({ name, delta, low, high }) => ({
        name,
        delta: packReal(delta),
        low: low === null ? null : packReal(low),
        high: high === null ? null : packReal(high),
      })),
    },
  });
}

function gather(results: AblationResults, options: ExpertAblationOptions): ExpertAblationData {
  const where = "expertAblation";
  const { layers, nExperts, nTokens, baseLoss, tokens, kinds } = results;
  const size = layers.length * nExperts;
  if (kinds.length === 0 || kinds.length > MOST_KINDS)
    throw new RangeError(`${where}: kinds must be 1 to ${MOST_KINDS}, got ${kinds.length}`);
  if (size === 0 || size * kinds.length > MOST_CELLS)
    throw new RangeError(
      `${where}: layers and kinds must give 1 to ${MOST_CELLS} cells, got ${layers.length} layers, ${nExperts} experts, ${kinds.length} kinds`,
    );
  if (!Number.isFinite(baseLoss)) throw new RangeError(`${where}: baseLoss must be finite, got ${baseLoss}`);
  const read = (what: string, values: ArrayLike<number>): Float64Array => {
    if (values.length !== size)
      throw new ShapeError(
        `${where}: ${what} must be [n_layers, n_experts] = [${layers.length}, ${nExperts}], got ${values.length} numbers`,
      );
    const wrong = Array.from(values).find((value) => Math.abs(value) === Infinity);
    if (wrong !== undefined) throw new RangeError(`${where}: ${what} must be finite or NaN, got ${wrong}`);
    return Float64Array.from(values);
  };
  return {
    layers: [...layers],
    nExperts,
    nTokens,
    baseLoss,
    minTokens: maybeWhole(where, "minTokens", options.minTokens, 0, Number.MAX_SAFE_INTEGER, 30),
    tokens: read("tokens", tokens),
    kinds: kinds.map(({ name, delta, low, high }) => ({
      name,
      delta: read(`delta of ${shown(name)}`, delta),
      low: low === undefined ? null : read(`low of ${shown(name)}`, low),
      high: high === undefined ? null : read(`high of ${shown(name)}`, high),
    })),
  };
}

/** The expert was taken out, on a text with enough tokens that use it. */
function isKnown({ tokens, minTokens }: ExpertAblationData, i: number, delta: number): boolean {
  return tokens[i]! >= minTokens && !Number.isNaN(delta);
}

/** The loss becomes worse by the most, and how many become better, in each kind. */
function describe(data: ExpertAblationData): string {
  const { kinds, layers, nExperts } = data;
  const says = kinds.map(({ name, delta }) => {
    const known = Array.from(delta.keys()).filter((i) => isKnown(data, i, delta[i]!));
    if (known.length === 0) return `${name}: nothing to say`;
    const top = known.reduce((best, i) => (delta[i]! > delta[best]! ? i : best));
    const mean = known.reduce((sum, i) => sum + delta[i]!, 0) / known.length;
    const better = known.filter((i) => delta[i]! < 0).length;
    return `${name}: mean ${signed(mean)}, worst without layer ${layers[Math.floor(top / nExperts)]} expert ${top % nExperts} (${signed(delta[top]!)}), better without ${better} of ${known.length}`;
  });
  return `${says.join("; ")}.`;
}

/** A change with its sign. */
function signed(value: number): string {
  return `${value > 0 ? "+" : ""}${real(value)}`;
}

function deltaTable(data: ExpertAblationData): Table {
  const { kinds, layers, nExperts, nTokens, tokens } = data;
  const size = (i: number): number => Math.max(...kinds.map(({ delta }) => Math.abs(delta[i]!) || 0));
  const order = Array.from(tokens.keys()).sort((a, b) => size(b) - size(a) || a - b);
  const columns = [
    "layer",
    "expert",
    "tokens",
    "share of tokens",
    ...kinds.map(({ name }) => `${name} (nats a token)`),
  ];
  return tableOf(columns, order.length, (row) => {
    const i = order[row]!;
    return [
      String(layers[Math.floor(i / nExperts)]),
      String(i % nExperts),
      count(tokens[i]!),
      percent(tokens[i]! / nTokens),
      ...kinds.map(({ delta }) => (Number.isNaN(delta[i]!) ? "not run" : signed(delta[i]!))),
    ];
  });
}

interface Layout {
  /** One block for each kind; its rows follow those of the kind before. */
  blocks: Block[];
  height: number;
}

/** As many panels beside each other as keep cells large enough to read. */
function layOut({ kinds, layers, nExperts }: ExpertAblationData): Layout {
  const widthOf = (across: number): number => (WIDTH - LEFT - MARGIN - 10 - (across - 1) * GAP) / across / nExperts;
  const fitting = Array.from({ length: kinds.length }, (_, i) => kinds.length - i).find((n) => widthOf(n) >= 9) ?? 1;
  const across = Math.ceil(kinds.length / Math.ceil(kinds.length / fitting));
  const width = Math.min(34, Math.floor(2 * widthOf(across)) / 2);
  const height = layers.length <= 12 ? 24 : Math.max(9, Math.min(24, width));
  const step = layers.length * height + HEADING + 26;
  const blocks = kinds.map((_, kind): Block => {
    const x = LEFT + (kind % across) * (nExperts * width + GAP);
    const y = TOP + 26 + HEADING + Math.floor(kind / across) * step - 18;
    return {
      x,
      y,
      width,
      height,
      columns: nExperts,
      rows: layers.length,
      column: 0,
      row: kind * layers.length,
      upwards: true,
    };
  });
  return { blocks, height: blocks.at(-1)!.y + layers.length * height + 30 };
}

function draw(data: ExpertAblationData, { blocks }: Layout, most: number, clips: boolean): string[] {
  const ends = [`${clips ? "≤ " : ""}${real(-most)}`, "no change", `${clips ? "≥ " : ""}+${real(most)}`] as const;
  const muted = { fill: themed("muted") };
  const x = 560;
  const marks: Mark[] = blocks.flatMap((block, kind) => cellMarks(data, block, kind, most));
  return [
    divergingLegend(MARGIN, TOP - 4, "change of the loss, nats a token", ends),
    element("rect", { x, y: TOP - 5, width: 22, height: 12, fill: themed("faint"), "fill-opacity": 0.6 }),
    label(x + 28, TOP + 5, "few tokens", muted),
    element("rect", { x: x + 108, y: TOP - 5, width: 22, height: 12, fill: HATCH, stroke: themed("faint") }),
    label(x + 136, TOP + 5, "not run", muted),
    element(
      "g",
      { class: "marks", "shape-rendering": "crispEdges" },
      drawMarks("cells", marks, divergingFills(), marks.length > MOST_OUTLINES),
    ),
    ...blocks.map((block, kind) => panel(data, block, kind)),
  ];
}

function cornerOf({ x, y, width, height, rows }: Block, nExperts: number, i: number): [number, number] {
  return [x + (i % nExperts) * width, y + (rows - 1 - Math.floor(i / nExperts)) * height];
}

function cellMarks(data: ExpertAblationData, block: Block, kind: number, most: number): Mark[] {
  const { delta, low, high } = data.kinds[kind]!;
  const { width, height } = block;
  return Array.from(delta.keys())
    .filter((i) => isKnown(data, i, delta[i]!))
    .map((i) => {
      const [left, top] = cornerOf(block, data.nExperts, i);
      const holdsZero = low !== null && high !== null && low[i]! <= 0 && high[i]! >= 0;
      const part = holdsZero ? 0.5 : 1;
      return {
        x: left + (width * (1 - part)) / 2,
        y: top + (height * (1 - part)) / 2,
        width: width * part,
        height: height * part,
        fill: divergingStep(delta[i]!, most),
      };
    });
}

/** What is not coloured, the frame, and the numbers of layers and experts. */
function panel(data: ExpertAblationData, block: Block, kind: number): string {
  const { nExperts, layers, tokens, minTokens } = data;
  const { x, y, width, height, rows } = block;
  const { name, delta } = data.kinds[kind]!;
  const paths = { few: "", absent: "" };
  for (const [i, value] of delta.entries()) {
    const cell = rectPath(...cornerOf(block, nExperts, i), width, height);
    if (Number.isNaN(value)) paths.absent += cell;
    else if (tokens[i]! < minTokens) paths.few += cell;
  }
  const everyColumn = [1, 2, 4, 8, 16, 32].find((step) => step * width >= 17) ?? 64;
  const everyRow = Math.ceil(12 / height);
  const muted = { fill: themed("muted"), "font-size": 10 };
  const rowNames = layers.map((layer, row) =>
    row % everyRow === 0 && x === LEFT
      ? label(x - 6, y + (rows - 0.5 - row) * height + 3.5, `layer ${layer}`, { "text-anchor": "end" })
      : "",
  );
  const below = y + rows * height;
  const columnNames = Array.from({ length: Math.ceil(nExperts / everyColumn) }, (_, i) => {
    const [expert, middle] = [i * everyColumn, x + (i * everyColumn + 0.5) * width];
    const swatch = hasExpertColors(nExperts)
      ? element("rect", { x: middle - 4, y: below + 3, width: 8, height: 4, fill: EXPERT_COLORS[expert]! })
      : "";
    return swatch + label(middle, below + 17, String(expert), { "text-anchor": "middle" });
  });
  return [
    label(x, y - 8, name, { "font-weight": "bold" }),
    element("path", { d: paths.few, fill: themed("faint"), "fill-opacity": 0.6 }),
    element("path", { d: paths.absent, fill: HATCH }),
    element("rect", { x, y, width: nExperts * width, height: rows * height, fill: "none", stroke: themed("faint") }),
    element("g", muted, ...rowNames, ...columnNames),
    x === LEFT ? label(x - 6, below + 17, "expert", { ...muted, "text-anchor": "end" }) : "",
  ].join("");
}
