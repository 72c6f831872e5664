import { ShapeError } from "../lib/errors.ts";
import type { AttentionTrace } from "../lib/trace/record.ts";
import { arcOf } from "./arc.ts";
import { themed } from "./colors.ts";
import type { Block } from "./contract.ts";
import { Figure } from "./figure.ts";
import { percent, probability, quoted, real } from "./format.ts";
import { frame, HATCH, MONO, TOP } from "./frame.ts";
import { tableOf } from "./html.ts";
import { checkFinite, maybeShare, maybeWhole, maybeWindow, type WindowOptions, windowText } from "./options.ts";
import { packReal } from "./pack.ts";
import { element, label, rectPath, round } from "./svg.ts";
import { showToken, type Token, tokenText } from "./tokens.ts";

export interface AttentionArcsOptions extends WindowOptions {
  /** Which head; 0 where absent. */
  head?: number;
  /** Smallest weight that is drawn as an arc; where absent, the strongest four for each token on average. */
  threshold?: number;
  /** Leave the window's first token out and scale the rest of each row to 1: it often takes most of the attention. */
  dropFirst?: boolean;
}

/** What the arcs draw. */
export interface AttentionArcsData {
  layer: number;
  head: number;
  /** Position of the first token. */
  start: number;
  nTokens: number;
  dropFirst: boolean;
  threshold: number;
  /** Row after row of the lower triangle: n_tokens (n_tokens + 1) / 2; 0 for a first token that is left out. */
  weights: Float32Array;
  /** Share of the rows' attention that is drawn: arcs, and dots for tokens that attend to themselves. */
  drawn: number;
  /** Mean share of attention that the first token took before it was left out; 0 where it was not. */
  dropped: number;
}

/** Tokens and arcs that one figure can hold within 300 kB. */
const MOST_TOKENS = 96;
const MOST_ARCS = 400;

const ROW = 16;
const ARCS = 330;
const BARS = 600;
const BAR = 90;

/**
 * Where each token of a sequence looks in one head, as arcs beside the text.
 *
 * A line is a token, an arc leads from it up to one that it attends to: as thick and as strong as the weight. A dot at the
 * line is a token that attends to itself, its area the weight. Weights below the threshold are not drawn; the
 * subtitle says which share of the attention is, and the first bar says it for each token. The second bar is the attention
 * that a token receives from itself and later ones, with the line at what it would get if each spread its attention evenly.
 * With `dropFirst` the first token is left out and hatched, and all rows are scaled to 1 without it. Pointing at a token
 * shows all of its arcs, however small.
 * @throws RangeError for a head or window that does not exist or fit, a threshold that leaves too many arcs, or a weight
 * that is not finite; ShapeError for a pattern of another size
 * @example show(attentionArcs(attention, { head: 3, dropFirst: true }))
 */
export function attentionArcs(
  attention: AttentionTrace,
  options: AttentionArcsOptions = {},
): Figure<AttentionArcsData> {
  const { layer, nHeads, pieces } = attention;
  const data = gather(attention, options);
  const { head, start, nTokens, threshold, drawn, dropped } = data;
  const tokens = pieces.slice(start, start + nTokens).map(showToken);
  const blocks = [
    { x: ARCS, y: TOP + 34, width: BARS - ARCS - 10, height: ROW, columns: 1, rows: nTokens, column: 0, row: 0 },
  ];
  const title = `Attention of layer ${layer}, head ${head}, as arcs: where each token looks`;
  const first = data.dropFirst ? `; without the first token, which took ${percent(dropped)}` : "";
  const subtitle = `${windowText(start, start + nTokens, pieces.length)}, head ${head} of ${nHeads}; weights from ${probability(threshold)}, ${percent(drawn)} of the attention${first}`;
  const description = `${subtitle}. ${describe(data, tokens)}`;
  const received = receivedBy(data);
  return new Figure(data, {
    title,
    summary: description,
    caption:
      "An arc leads from a token up to one that it attends to, thicker for more weight; a dot is attention to itself. " +
      "First bar: the share of the token's attention that is drawn. Second bar: the attention that it receives, in " +
      "tokens' worth; the line is what an even spread would give it." +
      (data.dropFirst ? " The first token is left out, and each row scaled to 1 without it." : ""),
    svg: frame({
      title,
      subtitle,
      description,
      height: TOP + 34 + nTokens * ROW + 16,
      body: draw(data, tokens, blocks[0]!, received),
    }),
    table: tableOf(["position", "token", "looks most at", "receives", "evenly"], nTokens, (q) => [
      String(start + q),
      tokens[q]!.string,
      strongest(data, q, 4)
        .map(({ k, weight }) => `${start + k} ${tokens[k]!.string} (${probability(weight)})`)
        .join(" · "),
      received.seen[q]!.toFixed(2),
      received.even[q]!.toFixed(2),
    ]),
    live: {
      view: "attentionArcs",
      blocks,
      tokens: tokens.map((token) => token.string),
      start,
      weights: packReal(data.weights),
      from: data.dropFirst ? 1 : 0,
      x: ARCS,
      y: TOP + 34,
      row: ROW,
    },
  });
}

function gather(attention: AttentionTrace, options: AttentionArcsOptions): AttentionArcsData {
  const where = "attentionArcs";
  const { layer, nHeads, pieces, pattern } = attention;
  const n = pieces.length;
  if (pattern.length !== nHeads * n * n)
    throw new ShapeError(
      `${where}: pattern must be [n_heads, q_pos, k_pos] = [${nHeads}, ${n}, ${n}], got ${pattern.length} numbers`,
    );
  const { dropFirst = false } = options;
  const head = maybeWhole(where, "head", options.head, 0, nHeads - 1, 0);
  const [start, end] = maybeWindow(where, options, n, MOST_TOKENS);
  const nTokens = end - start;
  const weights = new Float32Array((nTokens * (nTokens + 1)) / 2);
  let dropped = 0;
  for (let q = start, at = 0; q < end; q++) {
    const row = pattern.subarray((head * n + q) * n, (head * n + q + 1) * n);
    const first = dropFirst ? row[start]! : 0;
    dropped += first / nTokens;
    for (let k = start; k <= q; k++, at++)
      weights[at] = dropFirst && k === start ? 0 : first < 1 ? row[k]! / (1 - first) : 0;
  }
  checkFinite(where, "pattern", weights);
  const sorted = weights.toSorted().toReversed();
  const threshold = maybeShare(where, "threshold", options.threshold) ?? Math.max(sorted[4 * nTokens] ?? 0, 0.001);
  const isDrawn = (weight: number): boolean => weight > 0 && weight >= threshold;
  const arcs = weights.filter(isDrawn).length;
  if (arcs > MOST_ARCS)
    throw new RangeError(
      `${where}: threshold must leave at most ${MOST_ARCS} arcs, got ${arcs} of at least ${threshold}`,
    );
  const sum = (values: Float32Array): number => values.reduce((total, w) => total + w, 0);
  const all = nTokens - (dropFirst ? 1 : 0);
  return {
    layer,
    head,
    start,
    nTokens,
    dropFirst,
    threshold,
    weights,
    drawn: all > 0 ? sum(weights.filter(isDrawn)) / all : 0,
    dropped,
  };
}

/** The row of a token: weights of the keys up to itself. */
function rowOf({ weights }: AttentionArcsData, q: number): Float32Array {
  return weights.subarray((q * (q + 1)) / 2, ((q + 1) * (q + 2)) / 2);
}

function strongest(data: AttentionArcsData, q: number, most: number): { k: number; weight: number }[] {
  return Array.from(rowOf(data, q), (weight, k) => ({ k, weight }))
    .filter(({ weight }) => weight > 0)
    .sort((a, b) => b.weight - a.weight)
    .slice(0, most);
}

/** Attention that each token receives from the window, and what an even spread over the same keys would give it. */
function receivedBy(data: AttentionArcsData): { seen: Float64Array; even: Float64Array } {
  const { nTokens, start } = data;
  const from = data.dropFirst ? 1 : 0;
  const seen = new Float64Array(nTokens);
  const even = new Float64Array(nTokens);
  for (let q = from; q < nTokens; q++)
    for (let k = from; k <= q; k++) {
      seen[k]! += rowOf(data, q)[k]!;
      even[k]! += 1 / (start + q + 1 - from);
    }
  return { seen, even };
}

function describe(data: AttentionArcsData, tokens: readonly Token[]): string {
  const { seen, even } = receivedBy(data);
  const most = seen.indexOf(seen.reduce((a, b) => Math.max(a, b), 0));
  return `Receives most: position ${data.start + most}, ${quoted(tokens[most]!.string)}, ${real(seen[most]!)} tokens' worth, evenly ${real(even[most]!)}.`;
}

function draw(
  data: AttentionArcsData,
  tokens: readonly Token[],
  { y, width }: Block,
  received: { seen: Float64Array; even: Float64Array },
): string[] {
  const { nTokens, threshold, start } = data;
  const middle = (q: number): number => y + (q + 0.5) * ROW;
  const arcs: string[] = [];
  const dots: string[] = [];
  const kept: string[] = [];
  for (let q = 0; q < nTokens; q++) {
    let shown = 0;
    for (const [k, weight] of rowOf(data, q).entries()) {
      if (weight <= 0 || weight < threshold) continue;
      shown += weight;
      if (k === q) dots.push(element("circle", { cx: ARCS, cy: middle(q), r: round(5.5 * Math.sqrt(weight)) }));
      else {
        const { d, width: thick, opacity } = arcOf(ARCS, middle(q), middle(k), weight);
        arcs.push(element("path", { d, "stroke-width": thick, "stroke-opacity": opacity }));
      }
    }
    kept.push(rectPath(BARS, middle(q) - 3.5, shown * BAR, 7));
  }
  const most = Math.max(...received.seen, ...received.even, 1e-9);
  const bars = Array.from(received.seen, (s, q) => rectPath(BARS + BAR + 30, middle(q) - 3.5, (s / most) * BAR, 7));
  const lines = Array.from(received.even, (e, q) =>
    e > 0 ? `M${round(BARS + BAR + 30 + (e / most) * BAR)} ${middle(q) - 6}v12` : "",
  );
  const words = tokens.map((token, q) => tokenText(token, { x: ARCS + 44, y: middle(q) + 4 }, (width - 50) / 12));
  const positions = tokens.map((_, q) => label(ARCS + 36, middle(q) + 3.5, String(start + q)));
  const muted = { fill: themed("muted"), "font-size": 10 };
  return [
    label(ARCS - 8, y - 10, "attends to ↰", { ...muted, "text-anchor": "end" }),
    label(BARS, y - 10, "drawn, 0–100 %", muted),
    label(BARS + BAR + 30, y - 22, `receives, 0–${most.toFixed(1)} tokens`, muted),
    label(BARS + BAR + 30, y - 10, "line: evenly spread", muted),
    data.dropFirst ? element("path", { d: rectPath(ARCS + 10, y, width - 20, ROW), fill: HATCH }) : "",
    element(
      "g",
      { class: "marks" },
      element("g", { fill: "none", stroke: themed("value") }, ...arcs),
      element("g", { fill: themed("value"), "fill-opacity": 0.8 }, ...dots),
    ),
    element("g", { ...muted, "text-anchor": "end" }, ...positions),
    element("g", { "font-family": MONO, "font-size": 12 }, ...words),
    element("path", { d: kept.join(""), fill: themed("muted"), "fill-opacity": 0.5 }),
    element("path", { d: `M${BARS + BAR} ${y}v${nTokens * ROW}`, stroke: themed("faint") }),
    element("path", { d: bars.join(""), fill: themed("value"), "fill-opacity": 0.6 }),
    element("path", { d: lines.join(""), stroke: themed("ink") }),
  ];
}
