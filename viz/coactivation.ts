import { listed, ShapeError } from "../lib/errors.ts";
import { binomialInterval } from "../lib/metrics/binomialInterval.ts";
import type { Coactivation } from "../lib/metrics/coactivation.ts";
import { clusterOrder } from "./clusterOrder.ts";
import { EXPERT_COLORS, hasExpertColors, themed } from "./colors.ts";
import type { Block } from "./contract.ts";
import { expectedPairs } from "./expectedPairs.ts";
import { Figure } from "./figure.ts";
import { count, percent, real, times } from "./format.ts";
import { divergingLegend, frame, HATCH, MARGIN, TOP, WIDTH } from "./frame.ts";
import { type Table, tableOf } from "./html.ts";
import { drawMarks, MOST_OUTLINES } from "./marks.ts";
import type { Mark } from "./outlines.ts";
import { packReal, packWhole } from "./pack.ts";
import { divergingFills, divergingStep } from "./scale.ts";
import { element, label, rectPath, round } from "./svg.ts";
import { layerRow } from "./traceWindow.ts";

/** Pair counts of one layer: a result of the `coactivation` metric, or counts from elsewhere. */
export type PairCounts = Pick<Coactivation, "layer" | "pairs" | "nTokens" | "counts" | "together">;

export interface CoactivationOptions {
  /** The model's layer number; the first one where absent. */
  layer?: number;
  /** Which experts to show; all where absent. */
  experts?: readonly number[];
  /** "number", as numbered or as listed (default), or "likeness", so that experts often chosen together are neighbours. */
  order?: "number" | "likeness";
}

/** What the co-activation matrix draws. */
export interface CoactivationData {
  layer: number;
  nTokens: number;
  nExperts: number;
  topK: number;
  /** Which expert each row and column is. */
  experts: number[];
  /** Tokens that use each of them: [n]. */
  counts: Float64Array;
  /** Tokens that use both: [n, n]; NaN on the diagonal. */
  together: Float64Array;
  /** Expected number for these loads, drawn without replacement: [n, n]; NaN on the diagonal. */
  expected: Float64Array;
  /** log2(together / expected), in bits: −Infinity for pairs that never meet, NaN on the diagonal and where none is expected. */
  ratio: Float64Array;
  /** 1 where `together` is outside the central 95 % of a binomial count with the expected mean: [n, n]. */
  beyond: Uint8Array;
}

/** Experts that one figure can hold within 300 kB. */
const MOST_EXPERTS = 128;

/** log2 of the ratio in full colour: a quarter and four times, the same in all figures, so that they compare. */
const FULL = 2;

const LEFT = 62;
const BAR = 90;
const ROOM = 600;

/** Side of a cell in pixels from which pairs within chance are drawn, as small squares. */
const SQUARES = 8;

/**
 * Which experts of a layer are chosen together, against chance.
 *
 * A cell is a pair of experts; its colour is log2(observed / expected) of the tokens that use both: one colour for pairs
 * that meet more often than chance, another for less, paper where as expected, full and clipped at four times and a
 * quarter. Expected is what these loads give if each token draws its top_k on its own, without replacement. A small
 * square is a pair within the central 95 % of chance at this sample size; where cells are too small for that, such pairs are
 * left blank. The diagonal, and pairs with an unused expert,
 * are hatched: there is nothing. Bars at the right are the loads; the line is the uniform share.
 * @param layers results of the `coactivation` metric
 * @throws RangeError for a layer or experts that are not there, top-1 counts (no pairs), or more experts than fit (list some
 * in `experts`); ShapeError for counts of another size
 * @example show(coactivation(moe.coactivation(trace), { layer: 2, order: "likeness" }))
 */
export function coactivation(
  layers: readonly PairCounts[],
  options: CoactivationOptions = {},
): Figure<CoactivationData> {
  const where = "coactivation";
  const row = layerRow(
    where,
    layers.map(({ layer }) => layer),
    options.layer,
  );
  const data = gather(layers[row]!, options);
  const { layer, nTokens, nExperts, topK, experts } = data;
  const block = layOut(experts.length);
  const all = (experts.length * (experts.length - 1)) / 2;
  const beyond = data.beyond.reduce((sum, is) => sum + is, 0) / 2;
  const kind = layers[row]!.pairs === "all" ? "" : ", on adjacent ranks";
  const title = `Experts chosen together${kind} in layer ${layer}, against chance`;
  const subtitle = `${count(nTokens)} tokens, ${topK} of ${nExperts} experts each; ${count(beyond)} of ${count(all)} pairs beyond the 95 % of chance, by chance at most ${count(Math.round(all * 0.05))}`;
  const description = `${subtitle}. ${describe(data)}`;
  return new Figure(data, {
    title,
    summary: description,
    caption:
      "A cell is a pair of experts, its colour how much more or less often a token uses both than if it drew its " +
      `${topK} experts at random, without replacement and with these loads. Full squares are beyond the 95 % of chance at this sample size, ${experts.length > ROOM / SQUARES ? "those within are left blank" : "small ones within"}. ` +
      "Hatched: no pair, or none expected. Bars: each expert's load beside the uniform share; tokens of a text are not independent, so a few pairs too many are no surprise.",
    svg: frame({
      title,
      subtitle,
      description,
      height: block.y + experts.length * block.height + 40,
      body: draw(data, block),
    }),
    table: pairTable(data),
    live: {
      view: where,
      blocks: [block],
      tokens: [],
      start: 0,
      experts,
      nTokens,
      counts: Array.from(data.counts),
      together: packReal(triangle(data.together, experts.length)),
      expected: packReal(triangle(data.expected, experts.length)),
      beyond: packWhole(triangle(data.beyond, experts.length)),
      colors: hasExpertColors(nExperts) ? EXPERT_COLORS.slice(0, nExperts) : null,
    },
  });
}

function gather(pairs: PairCounts, { experts: chosen, order = "number" }: CoactivationOptions): CoactivationData {
  const { layer, nTokens, counts, together } = pairs;
  const nExperts = counts.length;
  if (together.length !== nExperts ** 2)
    throw new ShapeError(
      `coactivation: together must be [n_experts, n_experts] = [${nExperts}, ${nExperts}], got ${together.length} numbers`,
    );
  const topK = counts.reduce((sum, n) => sum + n, 0) / nTokens;
  if (!Number.isInteger(topK) || topK < 2)
    throw new RangeError(`coactivation: counts must sum to 2 or more choices for each token, got ${real(topK)}`);
  if (order !== "number" && order !== "likeness")
    throw new RangeError(`coactivation: order must be number or likeness, got ${String(order)}`);
  const shown = chosenExperts(nExperts, chosen);
  const rates = Float64Array.from(counts, (n) => n / nTokens);
  // Of a token's pairs, any two ranks are as likely; k − 1 of the k (k − 1) / 2 are adjacent.
  const part = pairs.pairs === "all" ? 1 : 2 / topK;
  const chance = expectedPairs(rates, topK).map((rate) => rate * part);
  const against = (
    experts: readonly number[],
  ): Pick<CoactivationData, "together" | "expected" | "ratio" | "beyond"> => {
    const at = experts.flatMap((a) => experts.map((b) => (a === b ? -1 : a * nExperts + b)));
    const mine = Float64Array.from(at, (i) => together[i] ?? Number.NaN);
    const expected = Float64Array.from(at, (i) => (chance[i] ?? Number.NaN) * nTokens);
    const ratio = mine.map((tokens, i) => (expected[i]! > 0 ? Math.log2(tokens / expected[i]!) : Number.NaN));
    const beyond = Uint8Array.from(ratio, (bits, i) => {
      if (Number.isNaN(bits)) return 0;
      const { low, high } = binomialInterval(nTokens, Math.min(1, expected[i]! / nTokens));
      return Number(mine[i]! < low || mine[i]! > high);
    });
    return { together: mine, expected, ratio, beyond };
  };
  const experts = order === "number" ? shown : byLikeness(shown, against(shown).ratio);
  const used = Float64Array.from(experts, (e) => counts[e]!);
  return { layer, nTokens, nExperts, topK, experts, counts: used, ...against(experts) };
}

function byLikeness(experts: readonly number[], ratio: Float64Array): number[] {
  const likeness = ratio.map((bits) => (Number.isNaN(bits) ? 0 : Math.max(-FULL, Math.min(FULL, bits))));
  return clusterOrder(likeness, experts.length).map((i) => experts[i]!);
}

function chosenExperts(nExperts: number, chosen: readonly number[] | undefined): number[] {
  const experts = chosen === undefined ? Array.from({ length: nExperts }, (_, e) => e) : [...chosen];
  const wrong = experts.find((e) => !Number.isInteger(e) || e < 0 || e >= nExperts);
  if (wrong !== undefined)
    throw new RangeError(`coactivation: experts must be numbers below ${nExperts}, got ${wrong}`);
  if (experts.length < 2 || experts.length > MOST_EXPERTS || new Set(experts).size < experts.length)
    throw new RangeError(
      `coactivation: experts must be 2 to ${MOST_EXPERTS} different ones, got ${experts.length > MOST_EXPERTS ? experts.length : listed(experts) || "none"}`,
    );
  return experts;
}

/** The cells below the diagonal, row after row: n (n − 1) / 2. */
function triangle(matrix: ArrayLike<number>, n: number): number[] {
  return Array.from(matrix).filter((_, i) => i % n < Math.floor(i / n));
}

/** The pairs above the diagonal as indices of the matrices, furthest from chance first. */
function rankedPairs({ experts, ratio }: CoactivationData): number[] {
  const n = experts.length;
  const upper = Array.from(ratio.keys()).filter((i) => Math.floor(i / n) < i % n && !Number.isNaN(ratio[i]!));
  return upper.sort((a, b) => Math.abs(ratio[b]!) - Math.abs(ratio[a]!) || a - b);
}

function describe(data: CoactivationData): string {
  const { experts, together, expected, beyond } = data;
  const top = rankedPairs(data).find((i) => beyond[i] === 1);
  if (top === undefined) return "No pair is beyond chance.";
  const pair = `${experts[Math.floor(top / experts.length)]} and ${experts[top % experts.length]}`;
  return `Furthest from chance: experts ${pair}, together on ${count(together[top]!)} tokens, expected ${real(expected[top]!)}, ${times(together[top]! / expected[top]!)}.`;
}

function pairTable(data: CoactivationData): Table {
  const { experts, together, expected, beyond, nTokens } = data;
  const ranked = rankedPairs(data);
  return tableOf(["experts", "tokens that use both", "share", "expected", "ratio", "chance"], ranked.length, (i) => {
    const at = ranked[i]!;
    return [
      `${experts[Math.floor(at / experts.length)]} and ${experts[at % experts.length]}`,
      count(together[at]!),
      percent(together[at]! / nTokens),
      percent(expected[at]! / nTokens),
      times(together[at]! / expected[at]!),
      beyond[at] === 1 ? "beyond" : "within",
    ];
  });
}

function layOut(n: number): Block {
  const cell = Math.min(30, Math.max(4, Math.floor((2 * ROOM) / n) / 2));
  return { x: LEFT, y: TOP + 50, width: cell, height: cell, columns: n, rows: n, column: 0, row: 0 };
}

function draw(data: CoactivationData, block: Block): string[] {
  const { x, y, width: cell, columns: n } = block;
  const marks: Mark[] = [];
  const none: string[] = [];
  for (const [i, bits] of data.ratio.entries()) {
    const [left, top] = [x + (i % n) * cell, y + Math.floor(i / n) * cell];
    const size = data.beyond[i] === 1 ? cell - (cell >= SQUARES ? 1 : 0) : cell * 0.5;
    const inset = (cell - size) / 2;
    if (Number.isNaN(bits)) none.push(rectPath(left, top, cell, cell));
    else if (data.beyond[i] === 1 || cell >= SQUARES)
      marks.push({ x: left + inset, y: top + inset, width: size, height: size, fill: divergingStep(bits, FULL) });
  }
  return [
    divergingLegend(LEFT, TOP - 4, "observed / expected", [`≤ ¼ ×`, "1 ×, as expected", "≥ 4 ×"]),
    sizeLegend(LEFT + 480, TOP - 6, cell >= SQUARES),
    element("path", { d: none.join(""), fill: HATCH }),
    element(
      "g",
      { class: "marks", "shape-rendering": "crispEdges" },
      drawMarks("cells", marks, divergingFills(), marks.length > MOST_OUTLINES),
    ),
    element("rect", { x, y, width: n * cell, height: n * cell, fill: "none", stroke: themed("faint") }),
    numbers(data, block),
    loads(data, block),
  ];
}

function sizeLegend(x: number, y: number, squares: boolean): string {
  const square = (left: number, top: number, size: number): string =>
    element("rect", { x: left, y: top, width: size, height: size, fill: themed("positive"), "fill-opacity": 0.5 });
  const muted = { fill: themed("muted") };
  return [
    square(x, y, 14),
    label(x + 20, y + 11, "beyond chance", muted),
    squares ? square(x + 121, y + 3.5, 7) + label(x + 134, y + 11, "within", muted) : "",
    element("rect", { x: x + 188, y, width: 20, height: 14, fill: HATCH, stroke: themed("faint") }),
    label(x + 214, y + 11, "no pair", muted),
  ].join("");
}

function numbers({ experts, nExperts }: CoactivationData, { x, y, width: cell }: Block): string {
  const every = [1, 2, 4, 8].find((step) => step * cell >= 7 * String(nExperts - 1).length + 4) ?? 16;
  const colored = hasExpertColors(nExperts);
  const each = experts.map((e, i) => {
    if (i % every !== 0) return "";
    const middle = x + (i + 0.5) * cell;
    const down = y + (i + 0.5) * cell;
    const swatch = colored
      ? element("rect", { x: middle - 4, y: y - 6, width: 8, height: 4, fill: EXPERT_COLORS[e]! }) +
        element("rect", { x: x - 8, y: down - 4, width: 4, height: 8, fill: EXPERT_COLORS[e]! })
      : "";
    return (
      swatch +
      label(middle, y - 10, String(e), { "text-anchor": "middle" }) +
      label(x - 12, down + 3.5, String(e), { "text-anchor": "end" })
    );
  });
  const name = label(x - 12, y - 10, "expert", { "text-anchor": "end" });
  return element("g", { "font-size": 10, fill: themed("muted") }, name, ...each);
}

/** Each row's load at the right, with the uniform share. */
function loads({ counts, nTokens, topK, nExperts }: CoactivationData, { x, y, width: cell, rows: n }: Block): string {
  const left = x + n * cell + 16;
  const room = Math.min(BAR, WIDTH - MARGIN - left - 30);
  const share = Array.from(counts, (c) => c / (nTokens * topK));
  const most = Math.max(...share, 1 / nExperts);
  const bars = share.map((s, i) => rectPath(left, y + (i + 0.2) * cell, (s / most) * room, cell * 0.6));
  const at = left + room / nExperts / most;
  return [
    label(left, y - 10, `load, 0–${percent(most)}`, { "font-size": 10, fill: themed("muted") }),
    element("path", { d: bars.join(""), fill: themed("muted"), "fill-opacity": 0.6 }),
    element("path", { d: `M${round(at)} ${y}v${n * cell}`, stroke: themed("ink"), "stroke-dasharray": "3 2" }),
    label(at, y + n * cell + 14, `1/${nExperts}`, { "font-size": 10, fill: themed("muted"), "text-anchor": "middle" }),
  ].join("");
}
