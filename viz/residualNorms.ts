import { ShapeError } from "../lib/errors.ts";
import type { TokenPiece } from "../lib/trace/record.ts";
import { themed } from "./colors.ts";
import type { Block } from "./contract.ts";
import { Figure } from "./figure.ts";
import { quoted, real } from "./format.ts";
import { frame, LEAST_TEXT, MARGIN, MONO, rampLegend, TOP, WIDTH } from "./frame.ts";
import { tableOf } from "./html.ts";
import { drawMarks, MOST_OUTLINES } from "./marks.ts";
import { checkFinite, maybePositive, maybeWindow, type WindowOptions, windowText } from "./options.ts";
import type { Mark } from "./outlines.ts";
import { packReal } from "./pack.ts";
import { quantile, scaleFills, scaleStep } from "./scale.ts";
import { element, label, rectPath } from "./svg.ts";
import { showToken, type Token, tokenText } from "./tokens.ts";

/** Lengths of the residual stream. */
export interface ResidualNorms {
  /** Where each row was measured, from first to last: "embedding", "layer 0" … */
  rows: readonly string[];
  /** The text: [n_tokens]. */
  pieces: readonly TokenPiece[];
  /** Euclidean length of the residual stream: [n_rows, n_tokens]. */
  norms: ArrayLike<number>;
}

export interface ResidualNormsOptions extends WindowOptions {
  /** Length in full colour; larger ones are clipped. Where absent, 98 % of the window's lengths are below it. */
  max?: number;
}

/** What the grid of norms draws. */
export interface ResidualNormsData {
  rows: string[];
  /** Position of the first token. */
  start: number;
  nTokens: number;
  /** [n_tokens, n_rows] */
  norms: Float32Array;
  /** Median over the window's tokens: [n_rows]. */
  median: Float64Array;
}

/** Cells and tokens that one figure can hold within 300 kB. */
const MOST_CELLS = 5120;
const MOST_TOKENS = 384;

const LEFT = 92;
const BAR = 96;

/**
 * How long the residual stream is at each token after each layer.
 *
 * A cell is the Euclidean length of the residual stream at a token (across) after a layer (rising), from paper at 0 to full
 * colour at `max`; longer ones are clipped, as the key says. Every cell is computed and none is masked; a long text is shown in
 * windows, as the subtitle says. The bars are each row's median, the baseline of its tooltips: a
 * few tokens, often the first, are many times longer than the rest.
 * @throws ShapeError for norms of another size; RangeError for a window that does not exist or fit, or a norm that is not
 * finite
 * @example show(residualNorms({ rows, pieces, norms }))
 */
export function residualNorms(result: ResidualNorms, options: ResidualNormsOptions = {}): Figure<ResidualNormsData> {
  const data = gather(result, options);
  const { rows, start, nTokens, norms } = data;
  const most = maybePositive("residualNorms", "max", options.max) ?? quantile(norms, 0.98);
  const tokens = result.pieces.slice(start, start + nTokens).map(showToken);
  const blocks = layOut(rows.length, nTokens);
  const title = "Length of the residual stream, by token and layer";
  const subtitle = `${windowText(start, start + nTokens, result.pieces.length)}, ${rows.length} places; median ${real(data.median[0]!)} at ${rows[0]}, ${real(data.median.at(-1)!)} at ${rows.at(-1)}`;
  const description = `${subtitle}. ${describe(data, tokens)}`;
  const last = blocks.at(-1)!;
  return new Figure(data, {
    title,
    summary: description,
    caption:
      "A cell is the Euclidean length of the residual stream at a token, after a layer; layers rise from the embedding. " +
      "Bars: the median of each row. Cells far above their row's median are tokens that the model treats apart, often the first.",
    svg: frame({
      title,
      subtitle,
      description,
      height: last.y + rows.length * last.height + 74,
      body: draw(data, blocks, tokens, most),
    }),
    table: tableOf(["position", "token", ...rows], nTokens, (t) => [
      String(start + t),
      tokens[t]!.string,
      ...rows.map((_, r) => real(norms[t * rows.length + r]!)),
    ]),
    live: {
      view: "residualNorms",
      blocks,
      tokens: tokens.map((token) => token.string),
      start,
      rows,
      norms: packReal(norms),
      median: Array.from(data.median),
    },
  });
}

function gather({ rows, pieces, norms }: ResidualNorms, options: ResidualNormsOptions): ResidualNormsData {
  const where = "residualNorms";
  if (rows.length === 0 || norms.length !== rows.length * pieces.length)
    throw new ShapeError(
      `${where}: norms must be [n_rows, n_tokens] = [${rows.length}, ${pieces.length}], got ${norms.length} numbers`,
    );
  const most = Math.max(1, Math.min(MOST_TOKENS, Math.floor(MOST_CELLS / rows.length)));
  const [start, end] = maybeWindow(where, options, pieces.length, most);
  const n = rows.length;
  const cells = Float32Array.from(
    { length: (end - start) * n },
    (_, i) => norms[(i % n) * pieces.length + start + Math.floor(i / n)]!,
  );
  checkFinite(where, "norms", cells);
  const median = Float64Array.from(rows, (_, r) => {
    const row = cells.filter((__, i) => i % n === r).sort();
    return (row[Math.floor((row.length - 1) / 2)]! + row[Math.ceil((row.length - 1) / 2)]!) / 2;
  });
  return { rows: [...rows], start, nTokens: end - start, norms: cells, median };
}

function describe({ rows, start, norms, median }: ResidualNormsData, tokens: readonly Token[]): string {
  const n = rows.length;
  const ratio = Array.from(norms, (norm, i) => norm / (median[i % n]! || 1));
  const top = ratio.indexOf(ratio.reduce((a, b) => Math.max(a, b)));
  const t = Math.floor(top / n);
  return `Furthest above its row: position ${start + t}, ${quoted(tokens[t]!.string)}, at ${rows[top % n]}: ${real(norms[top]!)}, ${real(ratio[top]!)} times the median.`;
}

/** Bands of tokens, the first with the bars of the rows' medians at its right. */
function layOut(nRows: number, nTokens: number): Block[] {
  const least = nTokens * nRows > 1200 ? LEAST_TEXT : 13;
  const height = nRows > 24 ? 9 : 15;
  const room = WIDTH - LEFT - MARGIN - BAR - 24;
  const across = Math.ceil(nTokens / Math.ceil(nTokens / Math.floor(room / least)));
  const width = Math.min(20, Math.floor((2 * room) / across) / 2);
  const blocks: Block[] = [];
  for (let column = 0, y = TOP + 30; column < nTokens; column += across, y += nRows * height + 76) {
    const columns = Math.min(across, nTokens - column);
    blocks.push({ x: LEFT, y, width, height, columns, rows: nRows, column, row: 0, upwards: true });
  }
  return blocks;
}

function draw(data: ResidualNormsData, blocks: readonly Block[], tokens: readonly Token[], most: number): string[] {
  const { rows, norms } = data;
  const n = rows.length;
  const clips = norms.some((norm) => norm > most);
  const marks = blocks.flatMap(({ x, y, width, height, columns, column }) =>
    Array.from(
      { length: columns * n },
      (_, i): Mark => ({
        x: x + Math.floor(i / n) * width,
        y: y + (n - 1 - (i % n)) * height,
        width,
        height,
        fill: scaleStep(norms[column * n + i]!, most),
      }),
    ),
  );
  return [
    rampLegend(LEFT, TOP - 4, "length", ["0", `${clips ? "≥ " : ""}${real(most)}`]),
    element(
      "g",
      { class: "marks", "shape-rendering": "crispEdges" },
      drawMarks("cells", marks, scaleFills(themed("value")), marks.length > MOST_OUTLINES),
    ),
    ...blocks.map((block) => band(block, rows, tokens)),
    medians(data, blocks[0]!),
  ];
}

function band(
  { x, y, width, height, columns, column }: Block,
  rows: readonly string[],
  tokens: readonly Token[],
): string {
  const bottom = y + rows.length * height;
  const every = Math.ceil(11 / height);
  const names = rows.map((row, r) =>
    r % every === 0 ? label(x - 7, y + (rows.length - 0.5 - r) * height + 3.5, row) : "",
  );
  const words = Array.from({ length: columns }, (_, i) =>
    tokenText(tokens[column + i]!, { x: -bottom - 5, y: x + (i + 0.5) * width + 3 }, 6),
  );
  return [
    element("rect", {
      x,
      y,
      width: columns * width,
      height: rows.length * height,
      fill: "none",
      stroke: themed("faint"),
    }),
    element("g", { "text-anchor": "end", fill: themed("muted"), "font-size": 10 }, ...names),
    element(
      "g",
      { "text-anchor": "end", "font-family": MONO, "font-size": Math.min(10.5, width), transform: "rotate(-90)" },
      ...words,
    ),
  ].join("");
}

/** Each row's median at the right of the first band. */
function medians({ median, rows }: ResidualNormsData, { y, height }: Block): string {
  const x = WIDTH - MARGIN - BAR;
  const most = Math.max(...median) || 1;
  const bars = Array.from(median, (m, r) =>
    rectPath(x, y + (rows.length - 1 - r + 0.2) * height, (m / most) * BAR, height * 0.6),
  );
  return (
    label(x, y - 7, `median, 0–${real(most)}`, { fill: themed("muted"), "font-size": 10 }) +
    element("path", { d: bars.join(""), fill: themed("muted"), "fill-opacity": 0.6 })
  );
}
