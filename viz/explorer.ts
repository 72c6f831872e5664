import { listed, shown } from "../lib/errors.ts";
import { loadPerExpert } from "../lib/metrics/load.ts";
import type { RoutingTrace } from "../lib/trace/record.ts";
import { type CellShape, cellShape } from "./cell.ts";
import { EXPERT_COLORS, hasExpertColors, themed } from "./colors.ts";
import type { Block, ExplorerState, Shape } from "./contract.ts";
import {
  chosenAt,
  type ExplorerBlocks,
  type ExplorerNumbers,
  explorerBlocks,
  fullProbability,
  heatMarks,
  heatSigns,
  litShapes,
  slicesAt,
  weightAt,
} from "./explorerPanels.ts";
import { Figure } from "./figure.ts";
import { count, percent, probability, quoted } from "./format.ts";
import { frame, MONO, rampLegend, TOP, WIDTH } from "./frame.ts";
import { tableOf } from "./html.ts";
import { drawMarks } from "./marks.ts";
import { checkFinite } from "./options.ts";
import type { Mark } from "./outlines.ts";
import { packReal, packWhole } from "./pack.ts";
import { type Fill, scaleFills, scaleStep } from "./scale.ts";
import { element, label, rectPath, round } from "./svg.ts";
import { textBlocks } from "./textBlocks.ts";
import { type Token, textWidth, tokenText } from "./tokens.ts";
import { type TraceWindow, type TraceWindowOptions, traceWindow } from "./traceWindow.ts";

export interface ExplorerOptions extends TraceWindowOptions {
  /** What is shown and kept at first: a state that an explorer gave, or part of one. */
  state?: Partial<ExplorerState>;
}

/** What the explorer draws. */
export interface ExplorerData extends ExplorerNumbers {
  /** Position of the first token in its sequence. */
  start: number;
  state: ExplorerState;
}

/** Numbers of the heatmaps of all layers that one figure can hold within 300 kB, and tokens that one line of cells can. */
const MOST_PROBS = 17_920;
const MOST_TOKENS = 72;

const LEFT = 76;
const BARS = 104;
const ROOM = WIDTH - LEFT - BARS - 42;

/** Marks of a panel up to which it is drawn as outlines. */
const MOST_OUTLINES = 1500;

/**
 * One text, seen through its routing: text, routing grid, router heatmap and load, linked.
 *
 * Above is the text; then a cell for each token and layer, holding its chosen experts as in `routingGrid`; then, for one
 * layer, a cell for each token and expert with the router's probability, a dot on the chosen, as in `routerHeatmap`; beside
 * it that layer's load over the whole trace, with the uniform share and its 95 % band, as in `expertLoad`. Pointing at any
 * of them lights the same token, layer and expert in all: the expert's slices, the words that it serves (stronger for more
 * weight), its row and its bar, and the token's path through the layers. A click keeps the point and chooses the layer;
 * arrow keys move, Enter keeps, Escape lets go. What is kept is one small object, shown above the picture: given back as
 * `state`, it brings the same picture again. Where probabilities were not recorded, the heatmap shows the weights of the
 * chosen.
 * @throws RangeError for a window that does not exist or fit, a state that the trace does not have, an expert that does not
 * exist, or a number that is not finite
 * @example show(explorer(trace, { state: { layer: 2, token: 14, expert: 3 } }))
 */
export function explorer(trace: RoutingTrace, options: ExplorerOptions = {}): Figure<ExplorerData> {
  const { layers, nExperts, topK } = trace;
  const shape = shapeOf(nExperts);
  const most = Math.max(
    1,
    Math.min(MOST_TOKENS, Math.floor(ROOM / shape.width), Math.floor(MOST_PROBS / (layers.length * nExperts))),
  );
  const window = traceWindow("explorer", trace, options, most);
  const data = gather(trace, window, shape, options.state ?? {});
  const { nTokens, start, state, full } = data;
  const layout = layOut(data, window.tokens);
  const title = `Explorer: ${count(nTokens)} tokens through ${layers.length} layers of ${nExperts} experts, ${topK} for each token`;
  const subtitle = `${window.text}; uniform routing: probability ${probability(1 / nExperts)}, ${percent(topK / nExperts)} of the tokens, load ${percent(1 / nExperts)}`;
  const description = `${subtitle}. ${describe(data, window.tokens)}`;
  return new Figure(data, {
    title,
    summary: description,
    caption:
      "Text, routing by token and layer, the router's probabilities in one layer (dots: chosen), and that layer's load (dashed: " +
      "uniform, band: 95 % under uniform routing). Pointing at one lights the same token, layer and expert in all; a click keeps " +
      "it and chooses the layer.",
    svg: frame({ title, subtitle, description, height: layout.height, body: draw(data, layout, window.tokens) }),
    table: tableOf(["position", "token", ...layers.map((layer) => `layer ${layer}`)], nTokens, (t) => [
      String(start + t),
      window.tokens[t]!.string,
      ...layers.map((_, row) =>
        chosenAt(data, t, row)
          .map((e) => (data.weights === null ? String(e) : `${e} (${probability(weightAt(data, t, row, e))})`))
          .join(" · "),
      ),
    ]),
    live: {
      view: "explorer",
      blocks: layout.blocks,
      tokens: window.tokens.map((token) => token.string),
      start,
      state,
      layers: [...layers],
      nExperts,
      topK,
      indices: packWhole(data.indices),
      weights: data.weights === null ? null : packReal(data.weights),
      probs: data.probs === null ? null : packReal(data.probs),
      load: packReal(data.load),
      low: data.low,
      high: data.high,
      nLoad: data.nLoad,
      full,
      shape: data.shape,
      colors: data.colors,
    },
  });
}

/** The least cell of the grid: slices for up to 16 experts, else a map of squares as small as they can be. */
function shapeOf(nExperts: number): CellShape {
  const least = cellShape(nExperts, hasExpertColors(nExperts), true);
  if (least.mapColumns === 0) return { ...least, width: 8, height: 17 };
  const unit = least.mapColumns > 8 ? 1 : 2;
  const rows = Math.ceil(nExperts / least.mapColumns);
  return { ...least, unit, width: least.mapColumns * unit + 4, height: rows * unit + 4 };
}

function gather(
  trace: RoutingTrace,
  window: TraceWindow,
  shape: CellShape,
  asked: Partial<ExplorerState>,
): ExplorerData {
  const where = "explorer";
  const { layers, nExperts, topK, expertIndices, expertWeights, routerProbs } = trace;
  const { start, first, nTokens } = window;
  const load = loadPerExpert(trace);
  const part = <A extends Uint16Array | Float32Array>(array: A, width: number): A =>
    array.slice(first * layers.length * width, (first + nTokens) * layers.length * width) as A;
  const weights = expertWeights === null ? null : part(expertWeights, topK);
  const probs = routerProbs === null ? null : part(routerProbs, nExperts);
  if (weights !== null) checkFinite(where, "expert weights", weights);
  if (probs !== null) checkFinite(where, "router probabilities", probs);
  const sums = new Float64Array(nTokens * layers.length);
  for (const [at, weight] of (weights ?? []).entries()) sums[Math.floor(at / topK)]! += Math.max(0, weight);
  const full = sums.reduce((most, sum) => Math.max(most, sum), 1);
  const slots = load.nTokens * topK;
  return {
    start,
    state: stateOf(asked, trace, window),
    layers: [...layers],
    nExperts,
    topK,
    nTokens,
    indices: part(expertIndices, topK),
    weights,
    probs,
    load: load.share,
    low: load.uniform.low / slots,
    high: load.uniform.high / slots,
    nLoad: load.nTokens,
    full,
    shape: shape.mapColumns > 0 ? shape : { ...shape, width: Math.min(26, Math.floor((2 * ROOM) / nTokens) / 2) },
    colors: hasExpertColors(nExperts) ? EXPERT_COLORS.slice(0, nExperts) : null,
  };
}

/** @throws RangeError for a layer, token or expert that is not there */
function stateOf(
  asked: Partial<ExplorerState>,
  { layers, nExperts }: RoutingTrace,
  { start, nTokens }: TraceWindow,
): ExplorerState {
  const { layer = layers[0]!, token = null, expert = null } = asked;
  if (!layers.includes(layer))
    throw new RangeError(`explorer: state.layer must be one of ${listed(layers)}, got ${shown(layer)}`);
  if (token !== null && (!Number.isInteger(token) || token < start || token >= start + nTokens))
    throw new RangeError(
      `explorer: state.token must be from ${start} to ${start + nTokens - 1} here, got ${shown(token)}`,
    );
  if (expert !== null && (!Number.isInteger(expert) || expert < 0 || expert >= nExperts))
    throw new RangeError(`explorer: state.expert must be from 0 to ${nExperts - 1}, got ${shown(expert)}`);
  return { layer, token, expert };
}

/** The kept point in words, and its layer's busiest expert. */
function describe(data: ExplorerData, tokens: readonly Token[]): string {
  const { state, layers, load, nExperts, start, nTokens } = data;
  const row = layers.indexOf(state.layer);
  const shares = Array.from({ length: nExperts }, (_, e) => load[row * nExperts + e]!);
  const busiest = shares.indexOf(Math.max(...shares));
  const parts = [
    `Layer ${state.layer}: busiest expert ${busiest} with ${percent(shares[busiest]!)} of the assignments`,
  ];
  if (state.token !== null) {
    const t = state.token - start;
    parts.push(
      `position ${state.token}, ${quoted(tokens[t]!.string)}, takes experts ${chosenAt(data, t, row).join(", ")}`,
    );
  }
  if (state.expert !== null) {
    const { expert } = state;
    const uses = Array.from({ length: nTokens }, (_, t) => t).filter((t) =>
      chosenAt(data, t, row).includes(expert),
    ).length;
    parts.push(`expert ${expert} serves ${count(uses)} of these tokens`);
  }
  return `${parts.join("; ")}.`;
}

interface Layout extends ExplorerBlocks {
  blocks: Block[];
  height: number;
}

/** Width in em at which a token below the grid is cut. */
const LABEL = 6;

/** Rows are numbered so that arrow keys go from the text down through the layers to the experts. */
function layOut({ layers, nTokens, nExperts, shape }: ExplorerData, tokens: readonly Token[]): Layout {
  const nLayers = layers.length;
  const text = textBlocks(tokens, TOP + 6, { size: 12, box: 18, line: 23 }).map(
    (block): Block => ({ ...block, x: round(block.x), width: round(block.width), row: nLayers, upwards: true }),
  );
  const own = { x: LEFT, width: shape.width, columns: nTokens, column: 0, upwards: true as const };
  const grid = {
    ...own,
    y: text.at(-1)!.y + (hasExpertColors(nExperts) ? 60 : 44),
    height: shape.height,
    rows: nLayers,
    row: 0,
  };
  const labels = Math.min(LABEL, Math.max(...tokens.map((token) => textWidth(token.string)))) * labelSize(shape) + 8;
  const row = nExperts <= 16 ? 14 : nExperts <= 32 ? 9 : nExperts <= 64 ? 6 : 4;
  const y = grid.y + nLayers * shape.height + labels + 42;
  const heat = { ...own, y, height: row, rows: nExperts, row: -nExperts };
  const x = WIDTH - 16 - BARS;
  const bars = { ...heat, x, width: BARS, columns: 1, column: nTokens };
  return {
    ...explorerBlocks([...text, grid, heat, bars]),
    blocks: [...text, grid, heat, bars],
    height: y + nExperts * row + 22,
  };
}

function labelSize({ width }: CellShape): number {
  return Math.min(10, width);
}

function draw(data: ExplorerData, layout: Layout, tokens: readonly Token[]): string[] {
  const { nExperts, layers, state, start, probs } = data;
  const { text, grid, heat } = layout;
  const row = layers.indexOf(state.layer);
  const point = { token: state.token === null ? null : state.token - start, row, expert: state.expert };
  const marks = heatMarks(data, heat, row);
  const full = probs === null ? 1 : fullProbability(nExperts);
  const top = grid.y + grid.rows * grid.height;
  return [
    element(
      "g",
      { "font-family": MONO, "font-size": 12 },
      ...text.map(({ x, y, width }, t) => tokenText(tokens[t]!, { x: x + 2.5, y: y + 13 }, (width - 4) / 12)),
    ),
    hasExpertColors(nExperts) ? colorKey(nExperts, grid) : "",
    gridMarks(data, grid),
    ...layers.map((layer, r) =>
      r % Math.ceil(12 / grid.height) === 0
        ? label(LEFT - 6, grid.y + (grid.rows - 0.5 - r) * grid.height + 3.5, `layer ${layer}`, {
            "text-anchor": "end",
            fill: themed("muted"),
            "font-size": 10,
          })
        : "",
    ),
    element(
      "g",
      { "text-anchor": "end", "font-family": MONO, "font-size": labelSize(data.shape), transform: "rotate(-90)" },
      ...tokens.map((token, t) => tokenText(token, { x: -top - 4, y: grid.x + (t + 0.5) * grid.width + 3 }, LABEL)),
    ),
    rampLegend(LEFT, heat.y - 18, probs === null ? "weight (probabilities not recorded)" : "probability", [
      "0",
      `${full < 1 ? "≥ " : ""}${probability(full)}`,
    ]),
    element("path", {
      d: `M${LEFT + 320} ${heat.y - 13}h.01`,
      stroke: themed("accent"),
      "stroke-width": 5,
      "stroke-linecap": "round",
    }),
    label(LEFT + 328, heat.y - 9, "chosen", { fill: themed("muted") }),
    element(
      "g",
      { class: "heat", "shape-rendering": "crispEdges" },
      drawMarks("heat", marks, scaleFills(themed("value")), marks.length > MOST_OUTLINES),
    ),
    element("rect", {
      x: heat.x,
      y: heat.y,
      width: heat.columns * heat.width,
      height: nExperts * heat.height,
      fill: "none",
      stroke: themed("faint"),
    }),
    expertNumbers(data, heat),
    element("g", { class: "signs" }, heatSigns(data, layout, row)),
    element("g", { class: "state" }, ...litShapes(data, layout, point).map(drawn)),
  ];
}

function drawn({ d, fill = "none", opacity = 1, stroke, width = 1.5 }: Shape): string {
  return element("path", {
    d,
    fill,
    "fill-opacity": opacity === 1 ? null : opacity,
    stroke: stroke ?? null,
    "stroke-width": stroke === undefined ? null : width,
  });
}

function gridMarks(data: ExplorerData, grid: Block): string {
  const { nTokens, layers, topK, nExperts } = data;
  const slices = hasExpertColors(nExperts);
  const fills: Fill[] = slices ? EXPERT_COLORS.map((color) => ({ color, opacity: 1 })) : scaleFills(themed("value"));
  const marks: Mark[] = [];
  for (let t = 0; t < nTokens; t++)
    for (const [row] of layers.entries())
      for (const [slot, [x, y, width, height]] of slicesAt(data, grid, t, row).entries()) {
        const expert = chosenAt(data, t, row)[slot]!;
        const shade = 0.3 + 0.7 * Math.min(1, (weightAt(data, t, row, expert) * topK) / 2);
        if (width > 0) marks.push({ x, y, width, height, fill: slices ? expert : scaleStep(shade, 1) });
      }
  const [wide, tall] = [grid.columns * grid.width, grid.rows * grid.height];
  const down = Array.from(
    { length: grid.columns + 1 },
    (_, i) => `M${round(grid.x + i * grid.width)} ${grid.y}v${tall}`,
  );
  const across = Array.from({ length: grid.rows + 1 }, (_, i) => `M${grid.x} ${grid.y + i * grid.height}h${wide}`);
  return (
    element("path", { d: rectPath(grid.x, grid.y, wide, tall), fill: themed("well") }) +
    element("path", { d: [...down, ...across].join(""), stroke: themed("paper"), "stroke-width": 1.5 }) +
    element(
      "g",
      { class: "marks", "shape-rendering": "crispEdges" },
      drawMarks("grid", marks, fills, marks.length > MOST_OUTLINES),
    )
  );
}

function colorKey(nExperts: number, { y }: Block): string {
  const swatches = EXPERT_COLORS.slice(0, nExperts).map((color, expert) => {
    const x = LEFT + 46 + expert * 40;
    return (
      element("rect", { x, y: y - 21, width: 12, height: 12, rx: 2, fill: color }) +
      label(x + 16, y - 11, String(expert))
    );
  });
  return label(LEFT, y - 11, "expert", { fill: themed("muted") }) + swatches.join("");
}

function expertNumbers({ nExperts, colors }: ExplorerData, { x, y, height }: Block): string {
  const every = [1, 2, 4, 8, 16].find((step) => step * height >= 11) ?? 32;
  const each = Array.from({ length: nExperts }, (_, e) => {
    const down = y + (e + 0.5) * height;
    const swatch =
      colors === null ? "" : element("rect", { x: x - 10, y: down - 4, width: 4, height: 8, fill: colors[e]! });
    return swatch + (e % every === 0 ? label(x - 14, down + 3.5, String(e), { "text-anchor": "end" }) : "");
  });
  return element("g", { "font-size": 10, fill: themed("muted") }, ...each);
}
