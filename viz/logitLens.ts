import { ShapeError } from "../lib/errors.ts";
import type { TokenPiece } from "../lib/trace/record.ts";
import { themed } from "./colors.ts";
import type { Block } from "./contract.ts";
import { Figure } from "./figure.ts";
import { count, percent, probability } from "./format.ts";
import { frame, MARGIN, MONO, rampLegend, TOP, WIDTH } from "./frame.ts";
import { tableOf } from "./html.ts";
import { drawMarks, MOST_OUTLINES } from "./marks.ts";
import { checkFinite, maybeWindow, type WindowOptions, windowText } from "./options.ts";
import type { Mark } from "./outlines.ts";
import { packReal, packWhole } from "./pack.ts";
import { scaleFills, scaleStep, UNDER_TEXT } from "./scale.ts";
import { element, escapeText, label } from "./svg.ts";
import { showId, showToken, type Token, textWidth, tokenText } from "./tokens.ts";

/** What the unembedding reads from the residual stream after each layer. */
export interface LensResult {
  /** Where each row was read, from first to last: "embedding", "layer 0" … */
  rows: readonly string[];
  /** The text: [n_tokens]. */
  pieces: readonly TokenPiece[];
  dVocab: number;
  /** The most probable next tokens, best first: [n_rows, n_tokens, n_top]. */
  topIds: ArrayLike<number>;
  topProbs: ArrayLike<number>;
  /** The tokens behind the ids; an id that is missing is shown as its number. */
  vocabulary: ReadonlyMap<number, TokenPiece>;
  /** Rank, from 1, of the token that the last row predicts: [n_rows, n_tokens]. */
  finalRank?: ArrayLike<number>;
  /** What was applied before unembedding, such as "final norm", for the subtitle. */
  lens: string;
}

export interface LogitLensOptions extends WindowOptions {
  /** What colour means: the top token's probability (default), or the rank of the last row's token. */
  color?: "probability" | "rank";
}

/** What the lens grid draws. */
export interface LogitLensData {
  rows: string[];
  /** Position of the first token. */
  start: number;
  nTokens: number;
  nTop: number;
  dVocab: number;
  /** [n_tokens, n_rows, n_top] */
  topIds: Int32Array;
  topProbs: Float32Array;
  /** [n_tokens, n_rows], or null where it is not known. */
  finalRank: Float64Array | null;
  /** 1 where the top token is that of the last row, and where it is the next token of the text: [n_tokens, n_rows]. */
  isFinal: Uint8Array;
  isNext: Uint8Array;
}

/** Cells that one figure can hold within 300 kB. */
const MOST_CELLS = 480;

const LEFT = 92;
const CELL = { width: 61, height: 21 };

/**
 * What the model would predict if it stopped after each layer: the logit lens.
 *
 * A cell is the residual stream at a token (across) after a layer (rising), read by the unembedding as if it were the last:
 * it holds the most probable next token, cut with … where it does not fit. Colour is that token's probability, from paper at
 * 0 to the strongest shade that text can stand on at 1, or, with `color: "rank"`, the rank of the token that the last row
 * predicts, strongest at rank 1 and paper at d_vocab, by doublings. A
 * corner marks a top token that is already that of the last row, a dot one that is the next token of the text. A guess
 * among all tokens would give each 1 / d_vocab.
 * @throws ShapeError for arrays of another size; RangeError for a window that does not exist or fit, a probability that is
 * not finite, or ranks that are asked for and not there
 * @see nostalgebraist 2020, "interpreting GPT: the logit lens"
 * @example show(logitLens({ rows, pieces, dVocab, topIds, topProbs, vocabulary, lens: "final norm" }))
 */
export function logitLens(result: LensResult, options: LogitLensOptions = {}): Figure<LogitLensData> {
  const { color = "probability" } = options;
  const data = gather(result, options, color);
  const { rows, start, nTokens, nTop, dVocab } = data;
  const tokens = result.pieces.slice(start, start + nTokens).map(showToken);
  const nameOf = (id: number): Token => {
    const piece = result.vocabulary.get(id);
    return piece === undefined ? showId(id) : showToken(piece);
  };
  const blocks = layOut(rows.length, nTokens, tokens);
  const title = "Logit lens: the next token that each layer would predict";
  const subtitle = `${windowText(start, start + nTokens, result.pieces.length)}, ${rows.length} places read with ${result.lens}; a guess among all tokens: 1 in ${count(dVocab)}`;
  const description = `${subtitle}. ${describe(data)}`;
  const ids = [...new Set(data.topIds)];
  return new Figure(data, {
    title,
    summary: description,
    caption:
      "A cell holds the most probable next token after a layer; layers rise, the text runs across. Colour: " +
      (color === "rank" ? "how high the last layer's token ranks here. " : "the token's probability. ") +
      "A corner marks a token that is already the last layer's, a dot one that is really next in the text.",
    svg: frame({
      title,
      subtitle,
      description,
      height: blocks.at(-1)!.y + rows.length * CELL.height + labelHeight(tokens) + 18,
      body: draw(data, blocks, tokens, nameOf, color),
    }),
    table: tableOf(["position", "token", ...rows], nTokens, (t) => [
      String(start + t),
      tokens[t]!.string,
      ...rows.map((_, r) => {
        const at = (t * rows.length + r) * nTop;
        return `${nameOf(data.topIds[at]!).string} (${probability(data.topProbs[at]!)})`;
      }),
    ]),
    live: {
      view: "logitLens",
      blocks,
      tokens: tokens.map((token) => token.string),
      start,
      rows,
      nTop,
      dVocab,
      names: ids.map((id) => nameOf(id).string),
      top: packWhole(Array.from(data.topIds, (id) => ids.indexOf(id))),
      probs: packReal(data.topProbs),
      finalRank: data.finalRank === null ? null : packReal(data.finalRank),
      isNext: packWhole(data.isNext),
    },
  });
}

function gather(result: LensResult, options: LogitLensOptions, color: unknown): LogitLensData {
  const where = "logitLens";
  const { rows, pieces, topIds, topProbs, finalRank, dVocab } = result;
  if (color !== "probability" && color !== "rank")
    throw new RangeError(`${where}: color must be probability or rank, got ${String(color)}`);
  if (color === "rank" && finalRank === undefined)
    throw new RangeError(`${where}: finalRank must be given for color "rank", got none`);
  const cells = rows.length * pieces.length;
  const nTop = topIds.length / (cells || 1);
  if (cells === 0 || nTop < 1 || !Number.isInteger(nTop) || topProbs.length !== topIds.length)
    throw new ShapeError(
      `${where}: topIds and topProbs must be [n_rows, n_tokens, n_top] = [${rows.length}, ${pieces.length}, n], got ${topIds.length} and ${topProbs.length} numbers`,
    );
  if (finalRank !== undefined && finalRank.length !== cells)
    throw new ShapeError(
      `${where}: finalRank must be [n_rows, n_tokens] = [${rows.length}, ${pieces.length}], got ${finalRank.length} numbers`,
    );
  const most = Math.max(1, Math.floor(MOST_CELLS / rows.length));
  const [start, end] = maybeWindow(where, options, pieces.length, most);
  const nTokens = end - start;
  const n = rows.length;
  // From row by token to token by row, as the picture reads.
  const from = (i: number): number => (i % n) * pieces.length + start + Math.floor(i / n);
  const ofCell = Array.from({ length: nTokens * n }, (_, i) => from(i));
  const ids = Int32Array.from(ofCell.flatMap((at) => Array.from({ length: nTop }, (_, k) => topIds[at * nTop + k]!)));
  const probs = Float32Array.from(
    ofCell.flatMap((at) => Array.from({ length: nTop }, (_, k) => topProbs[at * nTop + k]!)),
  );
  checkFinite(where, "topProbs", probs);
  const best = (cell: number): number => ids[cell * nTop]!;
  return {
    rows: [...rows],
    start,
    nTokens,
    nTop,
    dVocab,
    topIds: ids,
    topProbs: probs,
    finalRank: finalRank === undefined ? null : Float64Array.from(ofCell, (at) => finalRank[at]!),
    isFinal: Uint8Array.from(ofCell, (_, i) => Number(best(i) === best(Math.floor(i / n) * n + n - 1))),
    isNext: Uint8Array.from(ofCell, (_, i) => Number(best(i) === pieces[start + Math.floor(i / n) + 1]?.id)),
  };
}

/** From which row on the last row's token is there, and how often the top token is really next. */
function describe({ rows, nTokens, isFinal, isNext }: LogitLensData): string {
  const n = rows.length;
  const share = (of: Uint8Array, row: number): number => {
    let sum = 0;
    for (let t = 0; t < nTokens; t++) sum += of[t * n + row]!;
    return sum / nTokens;
  };
  const says = rows.map((row, r) => `${row} ${percent(share(isFinal, r))}`);
  return `Top token is the last row's: ${says.join(", ")}; it is really next after ${rows.at(-1)}: ${percent(share(isNext, n - 1))}.`;
}

function layOut(nRows: number, nTokens: number, tokens: readonly Token[]): Block[] {
  const fitting = Math.floor((WIDTH - LEFT - MARGIN) / CELL.width);
  const across = Math.ceil(nTokens / Math.ceil(nTokens / fitting));
  const blocks: Block[] = [];
  let y = TOP + 30;
  for (let column = 0; column < nTokens; column += across) {
    const columns = Math.min(across, nTokens - column);
    blocks.push({ x: LEFT, y, ...CELL, columns, rows: nRows, column, row: 0, upwards: true });
    y += nRows * CELL.height + labelHeight(tokens) + 20;
  }
  return blocks;
}

function labelHeight(tokens: readonly Token[]): number {
  return tokens.length > 0 ? 16 : 0;
}

/** Full colour at rank 1, paper at the last rank, by doublings. */
function rankValue(rank: number, dVocab: number): number {
  return 1 - Math.log(rank) / Math.log(Math.max(2, dVocab));
}

function draw(
  data: LogitLensData,
  blocks: readonly Block[],
  tokens: readonly Token[],
  nameOf: (id: number) => Token,
  color: "probability" | "rank",
): string[] {
  const { rows, nTop, dVocab } = data;
  const n = rows.length;
  const value = (cell: number): number =>
    color === "rank" ? rankValue(data.finalRank![cell]!, dVocab) : data.topProbs[cell * nTop]!;
  const marks: Mark[] = [];
  const texts: string[] = [];
  const paths = { corner: "", dot: "" };
  for (const { x, y, width, height, columns, column } of blocks)
    for (let i = 0; i < columns * n; i++) {
      const cell = column * n + i;
      const left = x + Math.floor(i / n) * width;
      const top = y + (n - 1 - (i % n)) * height;
      marks.push({ x: left, y: top, width: width - 1, height: height - 1, fill: scaleStep(value(cell), 1) });
      const token = nameOf(data.topIds[cell * nTop]!);
      texts.push(tokenText(token, { x: left + 5, y: top + 14 }, (width - 12) / 10.5));
      if (data.isFinal[cell] === 1) paths.corner += `M${left} ${top}h6l-6 6z`;
      if (data.isNext[cell] === 1) paths.dot += `M${left + width - 6} ${top + height - 6}h.01`;
    }
  const legend =
    color === "rank"
      ? rampLegend(LEFT, TOP - 4, "rank of the last layer's token", [count(dVocab), "1"], [0, UNDER_TEXT])
      : rampLegend(LEFT, TOP - 4, "probability of the top token", ["0", "1"], [0, UNDER_TEXT]);
  const muted = { fill: themed("muted") };
  return [
    legend,
    element("path", { d: `M${LEFT + 450} ${TOP - 5}h8l-8 8z`, fill: themed("accent") }),
    label(LEFT + 464, TOP + 5, "the last layer's token", muted),
    dots(`M${LEFT + 610} ${TOP + 1}h.01`),
    label(LEFT + 620, TOP + 5, "really next", muted),
    element(
      "g",
      { class: "marks" },
      drawMarks("cells", marks, scaleFills(themed("value"), UNDER_TEXT), marks.length > MOST_OUTLINES),
    ),
    element("g", { class: "on", "font-family": MONO, "font-size": 10.5, "pointer-events": "none" }, ...texts),
    element("path", { d: paths.corner, fill: themed("accent") }),
    dots(paths.dot),
    ...blocks.map((block) => frameOf(block, rows, tokens)),
  ];
}

function dots(d: string): string {
  return element("path", { d, stroke: themed("positive"), "stroke-width": 6, "stroke-linecap": "round" });
}

function frameOf(block: Block, rows: readonly string[], tokens: readonly Token[]): string {
  const { x, y, width, height, columns, column } = block;
  const bottom = y + rows.length * height;
  const names = rows.map((row, r) =>
    element("text", { x: x - 7, y: y + (rows.length - 1 - r) * height + 14 }, escapeText(row)),
  );
  const words = Array.from({ length: columns }, (_, i) =>
    tokenText(tokens[column + i]!, { x: x + i * width + 5, y: bottom + 13 }, (width - 8) / 10.5),
  );
  const most = Math.max(...rows.map((row) => textWidth(row)));
  return [
    element("rect", {
      x: x - 0.5,
      y: y - 0.5,
      width: columns * width,
      height: rows.length * height,
      fill: "none",
      stroke: themed("faint"),
    }),
    element("g", { "text-anchor": "end", fill: themed("muted"), "font-size": Math.min(10, 82 / most) }, ...names),
    label(x - 7, bottom + 13, "text →", { "text-anchor": "end", fill: themed("muted"), "font-size": 10 }),
    element("g", { "font-family": MONO, "font-size": 10.5 }, ...words),
  ].join("");
}
