import type { RoutingTrace } from "../lib/trace/record.ts";
import { EXPERT_COLORS, hasExpertColors, themed } from "./colors.ts";
import type { Block } from "./contract.ts";
import { Figure } from "./figure.ts";
import { probability, real } from "./format.ts";
import { frame, MARGIN, MONO, rampLegend, TOP, WIDTH } from "./frame.ts";
import { tableOf } from "./html.ts";
import { drawMarks, MOST_OUTLINES } from "./marks.ts";
import { checkExperts, checkFinite } from "./options.ts";
import type { Mark } from "./outlines.ts";
import { packReal, packWhole } from "./pack.ts";
import { scaleFills, scaleStep } from "./scale.ts";
import { element, label, rectPath, round } from "./svg.ts";
import { type Token, tokenText } from "./tokens.ts";
import { layerRow, type TraceWindow, type TraceWindowOptions, traceWindow } from "./traceWindow.ts";

export interface RouterHeatmapOptions extends TraceWindowOptions {
  /** The model's layer number; the first traced layer where absent. */
  layer?: number;
}

/** What the router heatmap draws. */
export interface RouterHeatmapData {
  layer: number;
  /** Position of the first token in its sequence. */
  start: number;
  nTokens: number;
  nExperts: number;
  topK: number;
  /** [n_tokens, n_experts] */
  probs: Float32Array;
  /** [n_tokens, top_k] */
  chosen: Uint16Array;
  /** p(k) − p(k+1) of the sorted probabilities; NaN where top_k = n_experts: [n_tokens]. */
  margin: Float64Array;
  /** −Σ p ln p in nats, between 0 and ln n_experts: [n_tokens]. */
  entropy: Float64Array;
}

/** Cells and tokens that one figure can hold within 300 kB. */
const MOST_CELLS = 7680;
const MOST_TOKENS = 120;

/** Tokens up to which rows are large enough to read with ease. */
const MOST_LARGE = 80;

const LEFT = 132;
const BAR = 84;

/**
 * Token by expert: the router's probabilities in one layer, and how sure it was.
 *
 * One cell is the probability of one expert for one token: from paper at 0 to full colour at eight times uniform,
 * in 64 steps; larger ones are clipped, as the key says. Every cell is computed and none is masked. A dot marks each chosen
 * expert. A long text is shown in windows, as the subtitle says. The bars beside are the margin between the last expert
 * chosen and the first left out, with a mark where it is below a tenth of 1 / n_experts (such a choice flips under small
 * noise), and the entropy against that of a uniform router, ln n_experts.
 * @throws RangeError without recorded probabilities, for a layer that was not traced, a window that does not fit, an
 * expert that does not exist, or a probability that is not finite
 * @example show(routerHeatmap(trace, { layer: 2 }))
 */
export function routerHeatmap(trace: RoutingTrace, options: RouterHeatmapOptions = {}): Figure<RouterHeatmapData> {
  const row = layerRow("routerHeatmap", trace.layers, options.layer);
  const most = Math.max(1, Math.min(MOST_TOKENS, Math.floor(MOST_CELLS / trace.nExperts)));
  const window = traceWindow("routerHeatmap", trace, options, most);
  const data = gather(trace, window, row);
  const { nExperts, topK, layer, nTokens } = data;
  const uniform = probability(1 / nExperts);
  const close = data.margin.filter((margin) => margin < closeMargin(nExperts)).length;
  const meanEntropy = data.entropy.reduce((sum, h) => sum + h, 0) / nTokens;
  const title = `Router probabilities in layer ${layer}: ${topK} of ${nExperts} experts chosen`;
  const subtitle = `${window.text}; uniform: ${uniform} each; ${close} ${close === 1 ? "choice is" : "choices are"} closer than ${closeMargin(nExperts).toPrecision(2)}`;
  const layout = layOut(data);
  const description = `${subtitle}; mean entropy ${real(meanEntropy)} of at most ${real(Math.log(nExperts))} nats.`;
  return new Figure(data, {
    title,
    summary: description,
    caption:
      `A row is a token, a column an expert; colour is the router's probability, dots mark the ${topK} chosen. ` +
      `Margin: the last chosen expert's probability less that of the first left out; a ring marks a choice closer than ` +
      `a tenth of the uniform ${uniform}. Entropy in nats: ${real(Math.log(nExperts))} would be a uniform router, 0 a certain one.`,
    svg: frame({ title, subtitle, description, height: layout.height, body: draw(data, layout, window.tokens) }),
    table: tableOf(["position", "token", "chosen", "margin", "entropy (nats)"], nTokens, (t) => [
      String(data.start + t),
      window.tokens[t]!.string,
      Array.from(chosenOf(data, t), (e) => `${e} (${probability(data.probs[t * nExperts + e]!)})`).join(" · "),
      probability(data.margin[t]!),
      real(data.entropy[t]!),
    ]),
    live: {
      view: "routerHeatmap",
      blocks: [layout.block],
      tokens: window.tokens.map((token) => token.string),
      start: data.start,
      nExperts,
      topK,
      probs: packReal(data.probs),
      chosen: packWhole(data.chosen),
      margin: packReal(data.margin),
      entropy: packReal(data.entropy),
    },
  });
}

/** Probability drawn in full colour, eight times uniform: the same for every layer and text, so that pictures compare. */
function fullColor(nExperts: number): number {
  return Math.min(1, 8 / nExperts);
}

/** A choice closer than this is marked. */
function closeMargin(nExperts: number): number {
  return 0.1 / nExperts;
}

function chosenOf({ chosen, topK }: RouterHeatmapData, token: number): Uint16Array {
  return chosen.subarray(token * topK, (token + 1) * topK);
}

function gather(trace: RoutingTrace, { start, first, nTokens }: TraceWindow, row: number): RouterHeatmapData {
  const { layers, nExperts, topK, routerProbs, expertIndices } = trace;
  if (routerProbs === null)
    throw new RangeError(
      "routerHeatmap: trace.routerProbs must be recorded, got null; capture with router probabilities",
    );
  const probs = new Float32Array(nTokens * nExperts);
  const chosen = new Uint16Array(nTokens * topK);
  const margin = new Float64Array(nTokens);
  const entropy = new Float64Array(nTokens);
  for (let t = 0; t < nTokens; t++) {
    const at = (first + t) * layers.length + row;
    const p = routerProbs.subarray(at * nExperts, (at + 1) * nExperts);
    probs.set(p, t * nExperts);
    chosen.set(expertIndices.subarray(at * topK, (at + 1) * topK), t * topK);
    const sorted = p.toSorted().toReversed();
    margin[t] = topK < nExperts ? sorted[topK - 1]! - sorted[topK]! : Number.NaN;
    entropy[t] = p.reduce((sum, x) => sum - (x > 0 ? x * Math.log(x) : 0), 0);
  }
  checkExperts("routerHeatmap", chosen, nExperts);
  checkFinite("routerHeatmap", "router probabilities", probs);
  return { layer: layers[row]!, start, nTokens, nExperts, topK, probs, chosen, margin, entropy };
}

interface Layout {
  block: Block;
  /** Left ends of the two columns of bars. */
  marginX: number;
  entropyX: number;
  height: number;
}

function layOut({ nTokens, nExperts }: RouterHeatmapData): Layout {
  const height = nTokens <= MOST_LARGE ? 17 : 12;
  const room = WIDTH - LEFT - MARGIN - 2 * (BAR + 28);
  const width = Math.min(26, Math.floor((2 * room) / nExperts) / 2 || room / nExperts);
  const block = { x: LEFT, y: TOP + 50, width, height, columns: nExperts, rows: nTokens, column: 0, row: 0 };
  const marginX = LEFT + nExperts * width + 28;
  return { block, marginX, entropyX: marginX + BAR + 28, height: block.y + nTokens * height + 20 };
}

function draw(data: RouterHeatmapData, layout: Layout, tokens: readonly Token[]): string[] {
  const { block } = layout;
  const full = fullColor(data.nExperts);
  const marks: Mark[] = Array.from(data.probs, (p, i) => ({
    x: block.x + (i % data.nExperts) * block.width,
    y: block.y + Math.floor(i / data.nExperts) * block.height,
    width: block.width,
    height: block.height,
    fill: scaleStep(p, full),
  }));
  const cells = drawMarks("cells", marks, scaleFills(themed("value")), marks.length > MOST_OUTLINES);
  return [
    rampLegend(LEFT, TOP - 2, "probability", ["0", `${full < 1 ? "≥ " : ""}${probability(full)}`]),
    uniformTick(LEFT, TOP - 2, 1 / data.nExperts / full),
    columnNumbers(block, data.nExperts),
    element("g", { class: "marks", "shape-rendering": "crispEdges" }, cells),
    element("rect", {
      x: block.x,
      y: block.y,
      width: block.width * block.columns,
      height: block.height * block.rows,
      fill: "none",
      stroke: themed("faint"),
    }),
    dots(data, block, full),
    rowTokens(block, tokens),
    marginBars(data, layout),
    entropyBars(data, layout),
  ];
}

/** Where 1 / n_experts lies on the scale of {@link rampLegend}. */
function uniformTick(x: number, y: number, at: number): string {
  const left = x + 12 * 6.8 + 16 + at * 128;
  return (
    element("path", { d: `M${round(left)} ${y - 3}v16`, stroke: themed("ink") }) +
    label(x + 12 * 6.8 + 16 + 190, y + 9, "│ uniform", { fill: themed("muted") })
  );
}

function columnNumbers({ x, y, width, columns }: Block, nExperts: number): string {
  const every = [1, 2, 4, 8, 16, 32].find((step) => step * width >= 18) ?? 64;
  const shown = Array.from({ length: Math.ceil(columns / every) }, (_, i) => i * every);
  const numbers = shown.map((e) => label(x + (e + 0.5) * width, y - 9, String(e)));
  const swatches = hasExpertColors(nExperts)
    ? shown.map((e) =>
        element("rect", { x: x + (e + 0.5) * width - 4, y: y - 6, width: 8, height: 4, fill: EXPERT_COLORS[e]! }),
      )
    : [];
  return (
    element("g", { "text-anchor": "middle", "font-size": 10, fill: themed("muted") }, ...numbers) +
    swatches.join("") +
    label(x - 8, y - 9, `expert (of ${nExperts})`, { "text-anchor": "end", "font-size": 10, fill: themed("muted") })
  );
}

function rowTokens({ x, y, height }: Block, tokens: readonly Token[]): string {
  const size = height > 14 ? 11 : 10;
  const rows = tokens.map((token, t) =>
    tokenText(token, { x: x - 8, y: y + (t + 0.5) * height + size * 0.36 }, 112 / size),
  );
  return element("g", { "text-anchor": "end", "font-family": MONO, "font-size": size }, ...rows);
}

/** A dot for each chosen expert: paper on dark cells, ink on light ones. */
function dots(data: RouterHeatmapData, block: Block, full: number): string {
  const size = round(Math.min(5.2, block.width * 0.6, block.height * 0.5));
  const paths = { ink: "", paper: "" };
  for (let t = 0; t < data.nTokens; t++)
    for (const expert of chosenOf(data, t)) {
      const dark = data.probs[t * data.nExperts + expert]! > 0.45 * full;
      const [x, y] = [block.x + (expert + 0.5) * block.width, block.y + (t + 0.5) * block.height];
      paths[dark ? "paper" : "ink"] += `M${round(x)} ${round(y)}h.01`;
    }
  return (["ink", "paper"] as const)
    .map((role) =>
      element("path", { d: paths[role], stroke: themed(role), "stroke-width": size, "stroke-linecap": "round" }),
    )
    .join("");
}

function marginBars({ margin, nExperts, topK }: RouterHeatmapData, { block, marginX }: Layout): string {
  const all = topK === nExperts;
  const largest = margin.reduce((most, m) => Math.max(most, m), 0) || 1;
  const rings = Array.from(margin, (m, t) =>
    m < closeMargin(nExperts)
      ? element("circle", { cx: marginX - 8, cy: block.y + (t + 0.5) * block.height, r: Math.min(3, block.height / 4) })
      : "",
  );
  const name = all ? "no margin: all chosen" : `margin p(${topK})−p(${topK + 1})`;
  const lengths = Array.from(margin, (m) => (all ? 0 : m / largest));
  return (
    sideBars(block, marginX, [name, all ? "" : `0 to ${probability(largest)}`], lengths) +
    element("g", { fill: "none", stroke: themed("accent"), "stroke-width": 1.4 }, ...rings)
  );
}

function entropyBars({ entropy, nExperts }: RouterHeatmapData, { block, entropyX }: Layout): string {
  const most = Math.log(nExperts) || 1;
  const uniform = { d: `M${entropyX + BAR} ${block.y}v${block.rows * block.height}`, "stroke-dasharray": "3 2" };
  const lengths = Array.from(entropy, (h) => h / most);
  return (
    sideBars(block, entropyX, ["entropy", `0 to ln ${nExperts} = ${real(most)} nats`], lengths) +
    element("path", { ...uniform, stroke: themed("ink") })
  );
}

/** A bar for each row beside the cells, under two lines of heading. */
function sideBars(block: Block, x: number, heading: readonly [string, string], lengths: readonly number[]): string {
  const { y, height, rows } = block;
  const thick = height * 0.42;
  const d = lengths.map((length, t) => rectPath(x, y + (t + 0.5) * height - thick / 2, length * BAR, thick));
  return [
    label(x, y - 18, heading[0], { "font-size": 10 }),
    label(x, y - 6, heading[1], { "font-size": 10, fill: themed("muted") }),
    element("path", { d: `M${x} ${y}v${rows * height}`, stroke: themed("faint") }),
    element("path", { d: d.join(""), fill: themed("muted"), "fill-opacity": 0.6 }),
  ].join("");
}
