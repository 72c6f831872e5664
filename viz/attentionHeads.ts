import { ShapeError } from "../lib/errors.ts";
import type { AttentionTrace } from "../lib/trace/record.ts";
import { themed } from "./colors.ts";
import type { Block } from "./contract.ts";
import { Figure } from "./figure.ts";
import { count, percent, probability, real } from "./format.ts";
import { frame, HATCH, MARGIN, rampLegend, TOP, WIDTH } from "./frame.ts";
import { tableOf } from "./html.ts";
import { drawMarks } from "./marks.ts";
import { checkFinite, maybePositive, maybeWindow, type WindowOptions, windowText } from "./options.ts";
import type { Mark } from "./outlines.ts";
import { packWhole } from "./pack.ts";
import { quantile, scaleFills, scaleStep } from "./scale.ts";
import { element, label } from "./svg.ts";

export interface AttentionHeadsOptions extends WindowOptions {
  /** Weight in full colour; larger ones are clipped. Where absent, 99 % of the pixels' weights are below it. */
  max?: number;
}

/** What is measured of a head, as means over the tokens of the window. */
export interface HeadSummary {
  layer: number;
  head: number;
  /** Weight on the window's first token, on the token before, and on the token itself. */
  first: number;
  previous: number;
  self: number;
  /** Entropy of the row over that of an even row, from 0 (one token) to 1 (evenly spread); rows of one token left out. */
  spread: number;
}

/** What the head grid draws. */
export interface AttentionHeadsData {
  /** Position of the first token. */
  start: number;
  nTokens: number;
  /** Layer after layer, head after head. */
  heads: HeadSummary[];
  /** The same means where each token attends evenly to all it may see. */
  even: { first: number; previous: number; self: number };
  /** Tokens that a pixel stands for, and pixels of a side. */
  block: number;
  side: number;
  /**
   * Lower triangles of pixels, row after row: weight on the pixel's keys, summed, as a mean over its queries:
   * [n_layers · n_heads, side (side + 1) / 2].
   */
  weights: Float32Array;
}

/** Heads, pixels of all heads, and tokens that one figure can hold within 300 kB. */
const MOST_HEADS = 64;
const MOST_PIXELS = 20_000;
const MOST_SIDE = 96;
const MOST_TOKENS = 2048;

const LEFT = 62;
const GAP = 12;
const LABEL = 26;
const LARGE = 262;

/**
 * All heads of one or more layers at a glance, and one enlarged.
 *
 * A tile is a head: query (down) by key (across) of the window, a pixel the weight from paper at 0 to full colour at `max`,
 * larger ones clipped. In a long window a pixel stands for several tokens: the weight on its keys together, as a mean over its
 * queries, so that rows still sum to 1; the subtitle says how many. The hatched triangle is masked: nothing is there. Below a tile stands where the head
 * looks most among the first token, the token before and the token itself; tooltips compare with an even spread. The large
 * tile is the head that spreads least; in the notebook it is the one pointed at.
 * @param layers attention of one layer, or of several over the same tokens
 * @throws RangeError for a window that does not exist or fit, more heads than fit, or a weight that is not finite;
 * ShapeError for a pattern of another size
 * @example show(attentionHeads([0, 1, 2].map((layer) => moe.attentionTrace(captured, layer))))
 */
export function attentionHeads(
  layers: AttentionTrace | readonly AttentionTrace[],
  options: AttentionHeadsOptions = {},
): Figure<AttentionHeadsData> {
  const traces: readonly AttentionTrace[] = "layer" in layers ? [layers] : layers;
  const nTokens = check(traces);
  const [start, end] = maybeWindow("attentionHeads", options, nTokens, MOST_TOKENS);
  const data = gather(traces, start, end);
  const most = maybePositive("attentionHeads", "max", options.max) ?? quantile(data.weights, 0.99);
  const layout = layOut(traces, data);
  const sharpest = data.heads.reduce((best, { spread }, i) => (spread < data.heads[best]!.spread ? i : best), 0);
  const names = traces.map(({ layer }) => layer).join(", ");
  const title = `Where ${data.heads.length} attention heads look: layer${traces.length === 1 ? "" : "s"} ${names}`;
  const pixel = data.block === 1 ? "" : `; each pixel = ${data.block}×${data.block} tokens`;
  const subtitle = `${windowText(start, end, nTokens)}${pixel}; spread evenly, the first token would get ${percent(data.even.first)}, the token before ${percent(data.even.previous)}`;
  const description = `${subtitle}. ${describe(data, sharpest)}`;
  return new Figure(data, {
    title,
    summary: description,
    caption:
      "A tile is a head: down the token that attends, across the token attended to, colour the weight. Hatched: masked, there " +
      "is nothing. Below: where the head looks most among the first token, the one before, and the token itself. " +
      "Large: the head with the least spread; in the notebook, the one pointed at.",
    svg: frame({
      title,
      subtitle,
      description,
      height: layout.height,
      body: draw(data, traces, layout, most, sharpest),
    }),
    table: tableOf(
      ["layer", "head", "on the first token", "on the token before", "on itself", "spread (1 = even)"],
      data.heads.length,
      (i) => {
        const { layer, head, first, previous, self, spread } = data.heads[i]!;
        return [String(layer), String(head), percent(first), percent(previous), percent(self), real(spread)];
      },
    ),
    live: {
      view: "attentionHeads",
      blocks: layout.blocks,
      tokens: [],
      start,
      heads: data.heads.map((head) => ({
        ...head,
        first: short(head.first),
        previous: short(head.previous),
        self: short(head.self),
        spread: short(head.spread),
      })),
      even: data.even,
      nHeads: traces[0]!.nHeads,
      side: data.side,
      steps: packWhole(Array.from(data.weights, (weight) => scaleStep(weight, most))),
      large: layout.large,
    },
  });
}

function short(value: number): number {
  return Math.round(value * 1e4) / 1e4;
}

/** @returns the tokens that all layers have */
function check(traces: readonly AttentionTrace[]): number {
  const where = "attentionHeads";
  const first = traces[0];
  if (first === undefined) throw new RangeError(`${where}: layers must hold at least one layer, got none`);
  const n = first.pieces.length;
  for (const { layer, nHeads, pieces, pattern } of traces) {
    if (nHeads !== first.nHeads || pieces.length !== n)
      throw new ShapeError(
        `${where}: layer ${layer} must have ${first.nHeads} heads and ${n} tokens, got ${nHeads} and ${pieces.length}`,
      );
    if (pattern.length !== nHeads * n * n)
      throw new ShapeError(
        `${where}: pattern must be [n_heads, q_pos, k_pos] = [${nHeads}, ${n}, ${n}], got ${pattern.length} numbers`,
      );
    checkFinite(where, `pattern of layer ${layer}`, pattern);
  }
  const heads = traces.length * first.nHeads;
  if (heads > MOST_HEADS)
    throw new RangeError(
      `${where}: layers must have at most ${MOST_HEADS} heads together, got ${heads}; show fewer layers`,
    );
  return n;
}

function gather(traces: readonly AttentionTrace[], start: number, end: number): AttentionHeadsData {
  const nTokens = end - start;
  const nHeads = traces.length * traces[0]!.nHeads;
  const most = Math.min(MOST_SIDE, Math.floor(Math.sqrt((2 * MOST_PIXELS) / nHeads)));
  const block = Math.ceil(nTokens / most);
  const side = Math.ceil(nTokens / block);
  const pixels = (side * (side + 1)) / 2;
  const weights = new Float32Array(nHeads * pixels);
  const heads = traces.flatMap(({ layer, nHeads: own, pieces, pattern }, l) =>
    Array.from({ length: own }, (_, head): HeadSummary => {
      const n = pieces.length;
      const rowOf = (q: number): Float32Array => pattern.subarray((head * n + q) * n, (head * n + q + 1) * n);
      const out = weights.subarray((l * own + head) * pixels, (l * own + head + 1) * pixels);
      addPixels(out, rowOf, start, end, block);
      return { layer, head, ...summarize(rowOf, start, end) };
    }),
  );
  const evenRow = (q: number): Float32Array => new Float32Array(q + 1).fill(1 / (q + 1));
  const { first, previous, self } = summarize(evenRow, start, end);
  return { start, nTokens, heads, even: { first, previous, self }, block, side, weights };
}

/** Adds rows of attention to a triangle of pixels: keys are summed, queries averaged. */
function addPixels(
  out: Float32Array,
  rowOf: (q: number) => Float32Array,
  start: number,
  end: number,
  block: number,
): void {
  for (let q = start; q < end; q++) {
    const row = rowOf(q);
    const down = Math.floor((q - start) / block);
    const queries = Math.min(block, end - start - down * block);
    for (let k = start; k <= q; k++)
      out[(down * (down + 1)) / 2 + Math.floor((k - start) / block)]! += row[k]! / queries;
  }
}

function summarize(
  rowOf: (q: number) => Float32Array,
  start: number,
  end: number,
): Omit<HeadSummary, "layer" | "head"> {
  const sums = { first: 0, previous: 0, self: 0, spread: 0 };
  let [followers, spreadable] = [0, 0];
  for (let q = start; q < end; q++) {
    const row = rowOf(q);
    sums.first += row[start]!;
    sums.self += row[q]!;
    if (q > start) {
      sums.previous += row[q - 1]!;
      followers += 1;
    }
    if (q === 0) continue;
    let entropy = 0;
    for (let k = 0; k <= q; k++) entropy -= row[k]! > 0 ? row[k]! * Math.log(row[k]!) : 0;
    sums.spread += entropy / Math.log(q + 1);
    spreadable += 1;
  }
  const n = end - start;
  return {
    first: sums.first / n,
    previous: sums.previous / (followers || 1),
    self: sums.self / n,
    spread: sums.spread / (spreadable || 1),
  };
}

function describe({ heads, even }: AttentionHeadsData, sharpest: number): string {
  const { layer, head, spread } = heads[sharpest]!;
  const toFirst = heads.filter(({ first }) => first > 2 * even.first).length;
  const toPrevious = heads.filter(({ previous }) => previous > 2 * even.previous).length;
  return `Least spread: layer ${layer} head ${head}, ${real(spread)} of even. Twice an even spread or more: ${count(toFirst)} heads on the first token, ${count(toPrevious)} on the token before.`;
}

/** Where a head looks most among three places. */
function mainPlace({ first, previous, self }: HeadSummary): string {
  const places = [
    { name: "first", weight: first },
    { name: "before", weight: previous },
    { name: "itself", weight: self },
  ].sort((a, b) => b.weight - a.weight);
  return `${places[0]!.name} ${Math.round(places[0]!.weight * 100)} %`;
}

interface Layout {
  /** For each layer one block a line of tiles; a cell is a tile with the space around it. */
  blocks: Block[];
  /** Size of a pixel in a tile. */
  unit: number;
  /** The large tile: its corner and the size of its pixels. */
  large: { x: number; y: number; unit: number };
  height: number;
}

function layOut(traces: readonly AttentionTrace[], { side }: AttentionHeadsData): Layout {
  const nHeads = traces[0]!.nHeads;
  const room = WIDTH - LEFT - MARGIN - LARGE - 24;
  const fitting = Math.min(nHeads, Math.floor(room / (76 + GAP)));
  const across = Math.ceil(nHeads / Math.ceil(nHeads / fitting));
  const unit = Math.max(0.5, Math.floor((2 * Math.min(120, room / across - GAP)) / side) / 2);
  const [width, height] = [side * unit + GAP, side * unit + LABEL];
  const blocks: Block[] = [];
  let y = TOP + 34;
  for (let row = 0; row < traces.length; row++)
    for (let column = 0; column < nHeads; column += across, y += height)
      blocks.push({ x: LEFT, y, width, height, columns: Math.min(across, nHeads - column), rows: 1, column, row });
  const large = { x: WIDTH - MARGIN - LARGE, y: TOP + 52, unit: Math.max(0.5, Math.floor((2 * LARGE) / side) / 2) };
  return { blocks, unit, large, height: Math.max(y, large.y + side * large.unit) + 16 };
}

function draw(
  data: AttentionHeadsData,
  traces: readonly AttentionTrace[],
  { blocks, unit, large }: Layout,
  most: number,
  sharpest: number,
): string[] {
  const nHeads = traces[0]!.nHeads;
  const muted = { fill: themed("muted"), "font-size": 10 };
  const marks: Mark[] = [];
  const parts: string[] = [];
  for (const { x, y, width, columns, column, row } of blocks) {
    parts.push(
      column === 0 ? label(LEFT - 8, y + 12, `layer ${traces[row]!.layer}`, { ...muted, "text-anchor": "end" }) : "",
    );
    for (let i = 0; i < columns; i++) {
      const head = row * nHeads + column + i;
      marks.push(...tileMarks(data, head, x + i * width, y, unit, most));
      parts.push(tileFrame(x + i * width, y, data.side, unit));
      const text = `${column + i}: ${mainPlace(data.heads[head]!)}`;
      parts.push(label(x + i * width, y + data.side * unit + 12, text, muted));
    }
  }
  const { layer, head } = data.heads[sharpest]!;
  return [
    rampLegend(LEFT, TOP - 4, "weight", ["0", `≥ ${probability(most)}`]),
    element("rect", { x: LEFT + 300, y: TOP - 4, width: 26, height: 10, fill: HATCH, stroke: themed("faint") }),
    label(LEFT + 332, TOP + 5, "masked", { fill: themed("muted") }),
    label(LEFT + 410, TOP + 5, "below: head, and where it looks most", { fill: themed("muted") }),
    ...parts,
    label(large.x, large.y - 8, `layer ${layer} head ${head}, enlarged`, { fill: themed("muted"), class: "large" }),
    tileFrame(large.x, large.y, data.side, large.unit),
    element(
      "g",
      { "shape-rendering": "crispEdges" },
      drawMarks(
        "heads",
        [...marks, ...tileMarks(data, sharpest, large.x, large.y, large.unit, most)],
        scaleFills(themed("value")),
        true,
      ),
    ),
  ];
}

/** The masked triangle and the border of a tile. */
function tileFrame(x: number, y: number, side: number, unit: number): string {
  const size = side * unit;
  // Steps that cannot be seen are a slope.
  const down = unit < 4 ? `l${size - unit} ${size - unit}` : `v${unit}h${unit}`.repeat(side - 1);
  return (
    (side > 1 ? element("path", { d: `M${x + unit} ${y}${down}V${y}z`, fill: HATCH }) : "") +
    element("rect", { x, y, width: size, height: size, fill: "none", stroke: themed("faint") })
  );
}

function tileMarks(
  { side, weights }: AttentionHeadsData,
  head: number,
  x: number,
  y: number,
  unit: number,
  most: number,
): Mark[] {
  const marks: Mark[] = [];
  const from = (head * side * (side + 1)) / 2;
  for (let q = 0, at = from; q < side; q++)
    for (let k = 0; k <= q; k++, at++) {
      const fill = scaleStep(weights[at]!, most);
      if (fill > 0) marks.push({ x: x + k * unit, y: y + q * unit, width: unit, height: unit, fill });
    }
  return marks;
}
