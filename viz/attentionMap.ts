import { ShapeError } from "../lib/errors.ts";
import type { AttentionTrace } from "../lib/trace/record.ts";
import { themed } from "./colors.ts";
import type { Block } from "./contract.ts";
import { Figure } from "./figure.ts";
import { percent, probability, quoted } from "./format.ts";
import { frame, HATCH, LEAST_TEXT, MONO, rampLegend, TOP } from "./frame.ts";
import { tableOf } from "./html.ts";
import { drawMarks, MOST_OUTLINES } from "./marks.ts";
import { checkFinite, maybePositive, maybeWhole, maybeWindow, type WindowOptions, windowText } from "./options.ts";
import type { Mark } from "./outlines.ts";
import { packReal } from "./pack.ts";
import { quantile, scaleFills, scaleStep } from "./scale.ts";
import { element, label } from "./svg.ts";
import { showToken, type Token, textWidth, tokenText } from "./tokens.ts";

export interface AttentionMapOptions extends WindowOptions {
  /** Which head; 0 where absent. */
  head?: number;
  /**
   * Weight drawn in full colour; larger ones are clipped and the key says so. Where absent, 99 % of the window's weights
   * are below it: the first rows are always near 1, and would leave the rest pale.
   */
  max?: number;
}

/** What the attention map draws. */
export interface AttentionMapData {
  layer: number;
  head: number;
  /** Position of the first token. */
  start: number;
  nTokens: number;
  /** Row after row of the lower triangle, n_tokens (n_tokens + 1) / 2 weights: row q holds k = 0 … q of the window. */
  weights: Float32Array;
  /** Share of the rows' attention that falls inside the window; 1 when it starts at the first token. */
  kept: number;
}

/** Tokens that one figure can hold within 300 kB. */
const MOST_TOKENS = 192;

/** Sides of the square in pixels: what it may take, and a cell's largest. */
const ROOM = 610;
const MOST_CELL = 26;

/** Side of a cell from which tokens stand beside it. */
const LABELLED = LEAST_TEXT;

/**
 * Query by key: where each token of a sequence looks, in one head of one layer.
 *
 * One cell is one attention weight, from paper at 0 to full colour at `max`, in 64 steps; larger ones are clipped. The masked triangle is hatched: those weights do not exist, they are not zero. A row that spread its attention
 * evenly would have 1 / (q_pos + 1) in each cell; tooltips compare with it. A window that starts late leaves earlier keys
 * out, and the subtitle says what share of the attention is shown.
 * @throws RangeError for a head or window that does not exist or fit, or a weight that is not finite; ShapeError for a pattern of another size
 * @example show(attentionMap(attention, { head: 3 }))
 */
export function attentionMap(attention: AttentionTrace, options: AttentionMapOptions = {}): Figure<AttentionMapData> {
  const { layer, nHeads, pieces, pattern } = attention;
  const n = pieces.length;
  if (pattern.length !== nHeads * n * n)
    throw new ShapeError(
      `attentionMap: pattern must be [n_heads, q_pos, k_pos] = [${nHeads}, ${n}, ${n}], got ${pattern.length} numbers`,
    );
  const head = maybeWhole("attentionMap", "head", options.head, 0, nHeads - 1, 0);
  const [start, end] = maybeWindow("attentionMap", options, n, MOST_TOKENS);
  const data = gather(attention, head, start, end);
  const most = maybePositive("attentionMap", "max", options.max) ?? quantile(data.weights, 0.99);
  const tokens = pieces.slice(start, end).map(showToken);
  const title = `Attention of layer ${layer}, head ${head} of ${nHeads}: where each token looks`;
  const shown = data.kept < 0.9995 ? `; tokens shown get ${percent(data.kept)} of the attention` : "";
  const subtitle = `${windowText(start, end, n)}; spread evenly, position q would give 1/(q+1)${shown}`;
  const layout = layOut(tokens);
  const description = `${subtitle}. ${describe(data, tokens)}`;
  return new Figure(data, {
    title,
    summary: description,
    caption:
      "A row is the token that attends, a column the token attended to; colour is the weight, and each full row sums to 1. " +
      "The hatched triangle is masked: a token cannot look ahead, so there is nothing there.",
    svg: frame({
      title,
      subtitle,
      description,
      height: layout.height,
      body: draw(data, layout, tokens, most),
    }),
    table: tableOf(["position", "token", "looks most at", "spread evenly"], data.nTokens, (q) => [
      String(start + q),
      tokens[q]!.string,
      strongestOf(data, q, 5)
        .map(({ k, weight }) => `${start + k} ${tokens[k]!.string} (${probability(weight)})`)
        .join(" · "),
      probability(1 / (start + q + 1)),
    ]),
    live: {
      view: "attentionMap",
      blocks: layout.blocks,
      tokens: tokens.map((token) => token.string),
      start,
      weights: packReal(data.weights),
      most,
    },
  });
}

function gather(
  { layer, pieces, pattern }: AttentionTrace,
  head: number,
  start: number,
  end: number,
): AttentionMapData {
  const n = pieces.length;
  const nTokens = end - start;
  const weights = new Float32Array((nTokens * (nTokens + 1)) / 2);
  let at = 0;
  let shown = 0;
  for (let q = start; q < end; q++) {
    const row = pattern.subarray((head * n + q) * n, (head * n + q) * n + n);
    for (let k = start; k <= q; k++) {
      weights[at++] = row[k]!;
      shown += row[k]!;
    }
  }
  checkFinite("attentionMap", "pattern", weights);
  return { layer, head, start, nTokens, weights, kept: shown / nTokens };
}

/** The largest weights of a row, largest first. */
function strongestOf({ weights }: AttentionMapData, q: number, most: number): { k: number; weight: number }[] {
  const row = weights.subarray((q * (q + 1)) / 2, ((q + 1) * (q + 2)) / 2);
  return Array.from(row, (weight, k) => ({ k, weight }))
    .sort((a, b) => b.weight - a.weight)
    .slice(0, most);
}

/** The token that draws the most attention in the window. */
function describe(data: AttentionMapData, tokens: readonly Token[]): string {
  const drawn = new Float64Array(data.nTokens);
  for (let q = 0, at = 0; q < data.nTokens; q++) for (let k = 0; k <= q; k++) drawn[k]! += data.weights[at++]!;
  const k = drawn.indexOf(drawn.reduce((most, x) => Math.max(most, x)));
  const mean = drawn[k]! / (data.nTokens - k);
  return `Most looked at: position ${data.start + k}, ${quoted(tokens[k]!.string)}, with a mean weight of ${probability(mean)}.`;
}

interface Layout {
  /** The matrix, and the tokens to its left. */
  blocks: [Block, Block];
  height: number;
}

function layOut(tokens: readonly Token[]): Layout {
  const n = tokens.length;
  const cell = Math.min(MOST_CELL, Math.floor((2 * ROOM) / n) / 2);
  const left = cell >= LABELLED ? 132 : 64;
  const [x, y] = [left, TOP + 28];
  const below =
    cell >= LABELLED
      ? Math.min(8.2, Math.max(...tokens.map((token) => textWidth(token.string)))) * fontSize(cell) + 14
      : 24;
  const square = { x, y, width: cell, height: cell, columns: n, rows: n, column: 0, row: 0 };
  return {
    blocks: [square, { x: 0, y, width: x - 2, height: cell, columns: 1, rows: n, column: -1, row: 0 }],
    height: y + n * cell + below + 20,
  };
}

function fontSize(cell: number): number {
  return Math.min(11, cell);
}

function draw(data: AttentionMapData, { blocks: [square] }: Layout, tokens: readonly Token[], most: number): string[] {
  const { x, y, width: cell } = square;
  const n = data.nTokens;
  const marks: Mark[] = [];
  for (let q = 0, at = 0; q < n; q++)
    for (let k = 0; k <= q; k++)
      marks.push({
        x: x + k * cell,
        y: y + q * cell,
        width: cell,
        height: cell,
        fill: scaleStep(data.weights[at++]!, most),
      });
  // The masked triangle, in steps of one cell.
  const steps = Array.from({ length: n - 1 }, () => `v${cell}h${cell}`).join("");
  const masked = `M${x + cell} ${y}${steps}V${y}z`;
  const clips = data.weights.some((weight) => weight > most);
  return [
    rampLegend(x, TOP - 2, "weight", ["0", `${clips ? "≥ " : ""}${probability(most)}`]),
    element("rect", { x: x + 330, y: TOP - 2, width: 26, height: 10, fill: HATCH, stroke: themed("faint") }),
    label(x + 362, TOP + 7, "masked: does not exist", { fill: themed("muted") }),
    n > 1 ? element("path", { d: masked, fill: HATCH }) : "",
    element(
      "g",
      { class: "marks", "shape-rendering": "crispEdges" },
      drawMarks("cells", marks, scaleFills(themed("value")), marks.length > MOST_OUTLINES),
    ),
    element("rect", { x, y, width: n * cell, height: n * cell, fill: "none", stroke: themed("faint") }),
    cell >= LABELLED ? tokenLabels(square, tokens) : positionLabels(square, data.start),
  ];
}

function tokenLabels({ x, y, width: cell, rows }: Block, tokens: readonly Token[]): string {
  const size = fontSize(cell);
  const down = tokens.map((token, q) =>
    tokenText(token, { x: x - 7, y: y + (q + 0.5) * cell + size * 0.36 }, 118 / size),
  );
  const bottom = y + rows * cell + 6;
  const across = tokens.map((token, k) => tokenText(token, { x: -bottom, y: x + (k + 0.5) * cell + size * 0.36 }, 8.2));
  const text = { "text-anchor": "end", "font-family": MONO, "font-size": size };
  const muted = { fill: themed("muted"), "font-size": 10, "text-anchor": "end" };
  return (
    label(x - 7, y - 7, "query ↓", muted) +
    label(x - 7, bottom + 8, "key →", muted) +
    element("g", text, ...down) +
    element("g", { ...text, transform: "rotate(-90)" }, ...across)
  );
}

/** Positions instead of tokens, where tokens would not fit. */
function positionLabels({ x, y, width: cell, rows }: Block, start: number): string {
  const every = [8, 16, 32, 64].find((step) => step * cell >= 28) ?? 128;
  const ticks = Array.from({ length: Math.ceil(rows / every) }, (_, i) => i * every);
  const bottom = y + rows * cell + 14;
  return element(
    "g",
    { "font-size": 10, fill: themed("muted") },
    ...ticks.map((q) => label(x - 6, y + (q + 0.5) * cell + 4, String(start + q), { "text-anchor": "end" })),
    ...ticks.map((k) => label(x + (k + 0.5) * cell, bottom, String(start + k), { "text-anchor": "middle" })),
  );
}
