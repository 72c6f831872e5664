import type { RoutingTrace } from "../lib/trace/record.ts";
import { type CellShape, cellRects, cellShape, type Rect } from "./cell.ts";
import { EXPERT_COLORS, hasExpertColors, inkOn, themed } from "./colors.ts";
import type { Block } from "./contract.ts";
import { expertLegend } from "./expertLegend.ts";
import { Figure } from "./figure.ts";
import { percent, probability } from "./format.ts";
import { frame, MARGIN, MONO, TOP, WIDTH } from "./frame.ts";
import { tableOf } from "./html.ts";
import { drawMarks, MOST_OUTLINES } from "./marks.ts";
import { checkExperts, checkFinite } from "./options.ts";
import type { Mark } from "./outlines.ts";
import { packReal, packWhole } from "./pack.ts";
import { type Fill, scaleFills, scaleStep } from "./scale.ts";
import { element, label } from "./svg.ts";
import { type Token, textWidth, tokenText } from "./tokens.ts";
import { type TraceWindow, type TraceWindowOptions, traceWindow } from "./traceWindow.ts";

export type RoutingGridOptions = TraceWindowOptions;

/** What the routing grid draws. */
export interface RoutingGridData {
  /** Position of the first token in its sequence. */
  start: number;
  nTokens: number;
  layers: number[];
  nExperts: number;
  topK: number;
  /** Best first where the trace keeps the order or has weights, else by number: [n_tokens, n_layers, top_k]. */
  indices: Uint16Array;
  /** In the same order, or null where not recorded. */
  weights: Float32Array | null;
}

/** Slices, squares of maps, and tokens that one figure can hold within 300 kB. */
const MOST_SLICES = 10_240;
const MOST_SQUARES = 6144;
const MOST_TOKENS = 384;

/** Cells up to which they are large enough to read. */
const MOST_LARGE = 640;

const LEFT = 70;

/** Width of a cell of slices in pixels, where there is room. */
const WIDEST = 33;

/** Opacity of a chosen expert with no weight in a map; twice the equal weight and more is opaque. */
const FAINTEST = 0.25;

/**
 * Token by layer: which experts each token takes, and how strongly.
 *
 * One mark is one chosen expert of one token in one layer; a cell holds the top_k of them. Up to 16 experts it is a slice,
 * best first: width is its weight, colour the expert, and the first expert's number is printed where it fits. Beyond 16
 * the cell is a map with a square for every expert, the chosen ones filled, more strongly for more weight and in full
 * from twice the equal weight. Layers rise as the residual stream does. Empty width in a cell is weight that is missing to
 * the largest sum in the window; a weight that is not positive has no width. Without recorded weights all slices are
 * equal, and the subtitle says so.
 * @throws RangeError for a window that does not exist or does not fit (narrow it with `start` and `end`), an expert that
 * does not exist, or a weight that is not finite
 * @example show(routingGrid(trace, { start: 0, end: 40 }))
 */
export function routingGrid(trace: RoutingTrace, options: RoutingGridOptions = {}): Figure<RoutingGridData> {
  const { layers, topK, nExperts } = trace;
  const mostMarks = hasExpertColors(nExperts) ? MOST_SLICES : MOST_SQUARES;
  const most = Math.max(1, Math.min(MOST_TOKENS, Math.floor(mostMarks / (layers.length * topK))));
  const window = traceWindow("routingGrid", trace, options, most);
  const data = gather(trace, window);
  const layout = layOut(data, window.tokens);
  const chance = probability(1 / topK);
  const way = hasExpertColors(nExperts) ? "width = weight" : "shade = weight";
  const weighed = data.weights === null ? "weights not recorded" : `${way}, equal weights: ${chance} each`;
  const title = `Routing by token and layer: ${topK} of ${nExperts} experts for each token`;
  const extent = `${window.text}, ${layers.length} layer${layers.length === 1 ? "" : "s"}`;
  const busiest = describeLoad(data);
  return new Figure(data, {
    title,
    summary: `${extent}. ${busiest}`,
    caption: captionOf(data),
    svg: frame({
      title,
      subtitle: `${extent}; ${weighed}`,
      description: busiest,
      height: layout.height,
      body: draw(data, layout, window.tokens),
    }),
    table: tableOf(["position", "token", ...layers.map((layer) => `layer ${layer}`)], data.nTokens, (t) => [
      String(data.start + t),
      window.tokens[t]!.string,
      ...layers.map((_, row) => cellText(data, t, row)),
    ]),
    live: {
      view: "routingGrid",
      blocks: layout.blocks,
      tokens: window.tokens.map((token) => token.string),
      start: data.start,
      layers,
      nExperts,
      topK,
      indices: packWhole(data.indices),
      weights: data.weights === null ? null : packReal(data.weights),
      full: layout.full,
      shape: layout.shape,
      colors: hasExpertColors(nExperts) ? EXPERT_COLORS.slice(0, nExperts) : null,
    },
  });
}

function gather(trace: RoutingTrace, { start, first, nTokens }: TraceWindow): RoutingGridData {
  const { layers, topK, nExperts, expertIndices, expertWeights, rankOrdered } = trace;
  const [from, to] = [first * layers.length * topK, (first + nTokens) * layers.length * topK];
  const indices = expertIndices.slice(from, to);
  const weights = expertWeights?.slice(from, to) ?? null;
  checkExperts("routingGrid", indices, nExperts);
  if (weights !== null) checkFinite("routingGrid", "expert weights", weights);
  if (!rankOrdered)
    for (let at = 0; at < indices.length; at += topK) {
      const slots = Array.from({ length: topK }, (_, k) => ({
        expert: indices[at + k]!,
        weight: weights?.[at + k] ?? 0,
      }));
      slots.sort((a, b) => b.weight - a.weight || a.expert - b.expert);
      slots.forEach(({ expert, weight }, k) => {
        indices[at + k] = expert;
        if (weights !== null) weights[at + k] = weight;
      });
    }
  return { start, nTokens, layers: [...layers], nExperts, topK, indices, weights };
}

interface Layout {
  shape: CellShape;
  blocks: Block[];
  /** Weight that fills a cell: the largest sum of a cell's weights, at least 1. */
  full: number;
  height: number;
  compact: boolean;
}

function layOut(data: RoutingGridData, tokens: readonly Token[]): Layout {
  const { nTokens, layers, nExperts, topK, weights } = data;
  const compact = nTokens * layers.length > MOST_LARGE;
  const room = WIDTH - LEFT - MARGIN;
  const least = cellShape(nExperts, hasExpertColors(nExperts), compact);
  const fitting = Math.floor(room / least.width);
  // Bands of equal length, rather than a last one with a token or two.
  const across = Math.ceil(nTokens / Math.ceil(nTokens / fitting));
  const shape = least.mapColumns > 0 ? least : { ...least, width: Math.min(WIDEST, Math.floor(room / across)) };
  const blocks: Block[] = [];
  let y = TOP + (hasExpertColors(nExperts) ? 30 : 92);
  for (let column = 0; column < nTokens; column += across) {
    const columns = Math.min(across, nTokens - column);
    const { width, height } = shape;
    blocks.push({ x: LEFT, y, width, height, columns, rows: layers.length, column, row: 0, upwards: true });
    y += layers.length * height + labelHeight(tokens.slice(column, column + columns), compact) + 12;
  }
  let full = 1;
  if (weights !== null)
    for (let at = 0; at < weights.length; at += topK)
      full = Math.max(
        full,
        weights.subarray(at, at + topK).reduce((sum, w) => sum + (w > 0 ? w : 0), 0),
      );
  return { shape, blocks, full, height: y, compact };
}

function draw(data: RoutingGridData, layout: Layout, tokens: readonly Token[]): string[] {
  const slices = hasExpertColors(data.nExperts);
  const fullWeight = Math.min(1, 2 / data.topK);
  const fills: Fill[] = slices ? EXPERT_COLORS.map((color) => ({ color, opacity: 1 })) : scaleFills(themed("value"));
  const fillOf = (expert: number, weight: number): number =>
    slices ? expert : scaleStep(FAINTEST + ((1 - FAINTEST) * weight) / fullWeight, 1);
  const asImage = data.indices.length > MOST_OUTLINES;
  const bands = layout.blocks.map((block, band) => {
    const cells = cellsOf(block, data, layout);
    const marks = cells.flatMap(({ experts, weights, rects }): Mark[] =>
      rects.map(([x, y, width, height], k) => ({ x, y, width, height, fill: fillOf(experts[k]!, weights[k]!) })),
    );
    const numbers = slices && !layout.compact ? firstExperts(cells) : "";
    return [
      wells(block),
      element(
        "g",
        { class: "marks" },
        drawMarks(
          `band${band}`,
          marks.filter(({ width }) => width > 0),
          fills,
          asImage,
        ),
        numbers,
      ),
      rowLabels(block, data.layers),
      tokenLabels(block, layout.compact, tokens),
    ].join("");
  });
  return [expertLegend({ ...data, fullWeight }, layout.shape.mapColumns, LEFT, FAINTEST), ...bands];
}

/** A cell's experts and where they stand in the picture. */
interface PlacedCell {
  experts: Uint16Array;
  weights: number[];
  rects: Rect[];
}

function cellsOf(block: Block, data: RoutingGridData, { shape, full }: Layout): PlacedCell[] {
  const { topK } = data;
  return Array.from({ length: block.columns * block.rows }, (_, i) => {
    const [across, row] = [Math.floor(i / block.rows), i % block.rows];
    const at = ((block.column + across) * block.rows + row) * topK;
    const experts = data.indices.subarray(at, at + topK);
    const weights = Array.from(experts, (_expert, k) => data.weights?.[at + k] ?? 1 / topK);
    const left = block.x + across * block.width;
    const top = block.y + (block.rows - 1 - row) * block.height;
    const rects = cellRects(
      shape,
      experts,
      weights.map((w) => w / full),
    );
    return { experts, weights, rects: rects.map(([x, y, width, height]): Rect => [left + x, top + y, width, height]) };
  });
}

/** The number of each cell's first expert, where its slice is wide enough. */
function firstExperts(cells: readonly PlacedCell[]): string {
  const numbers = cells.map(({ experts, rects }) => {
    const [expert, [x, y, width]] = [experts[0]!, rects[0]!];
    const number = String(expert);
    if (width < number.length * 5.8 + 1.5) return "";
    return label(x + width / 2, y + 12.5, number, { fill: inkOn(EXPERT_COLORS[expert]!) });
  });
  return element("g", { "font-size": 9, "text-anchor": "middle" }, ...numbers);
}

/** The empty cells: a ground with lines of paper between columns and rows. */
function wells({ x, y, width, height, columns, rows }: Block): string {
  const down = Array.from({ length: columns + 1 }, (_, i) => `M${x + i * width} ${y}v${rows * height}`);
  const across = Array.from({ length: rows + 1 }, (_, i) => `M${x} ${y + i * height}h${columns * width}`);
  return (
    element("rect", { x, y, width: columns * width, height: rows * height, fill: themed("well") }) +
    element("path", { d: [...down, ...across].join(""), stroke: themed("paper"), "stroke-width": 2 })
  );
}

function rowLabels({ x, y, height, rows }: Block, layers: readonly number[]): string {
  const every = Math.ceil(14 / height);
  const labels = layers.map((layer, row) =>
    row % every === 0 ? label(x - 6, y + (rows - 1 - row) * height + height / 2 + 4, `layer ${layer}`) : "",
  );
  return element("g", { "text-anchor": "end", fill: themed("muted") }, ...labels);
}

/** Width in em at which a token below the grid is cut. */
const LABEL_WIDTH = 6.2;

/** Height of the tokens below a band: slanted by 45°, or upright in the compact form. */
function labelHeight(tokens: readonly Token[], compact: boolean): number {
  const widest = Math.min(LABEL_WIDTH, Math.max(...tokens.map((token) => textWidth(token.string))));
  return compact ? widest * 9 + 8 : widest * 10.5 * Math.SQRT1_2 + 14;
}

function tokenLabels(block: Block, compact: boolean, tokens: readonly Token[]): string {
  const y = block.y + block.rows * block.height;
  const labels = Array.from({ length: block.columns }, (_, i) => {
    const token = tokens[block.column + i]!;
    const x = block.x + (i + 0.5) * block.width;
    if (compact) return tokenText(token, { x: -y - 4, y: x + 3 }, LABEL_WIDTH);
    return tokenText(token, { transform: `translate(${x + 4} ${y + 10})rotate(-45)` }, LABEL_WIDTH);
  });
  const turned = { "font-size": compact ? 9 : 10.5, transform: compact ? "rotate(-90)" : null };
  return element("g", { "text-anchor": "end", "font-family": MONO, ...turned }, ...labels);
}

function cellText({ layers, topK, indices, weights }: RoutingGridData, token: number, row: number): string {
  const at = (token * layers.length + row) * topK;
  return Array.from({ length: topK }, (_, k) =>
    weights === null ? String(indices[at + k]) : `${indices[at + k]} (${probability(weights[at + k]!)})`,
  ).join(" · ");
}

/** Each layer's most used expert beside the uniform share of tokens. */
function describeLoad({ nTokens, layers, nExperts, topK, indices }: RoutingGridData): string {
  const most = layers.map((layer, row) => {
    const uses = Array.from({ length: nExperts }, () => 0);
    for (let t = 0; t < nTokens; t++)
      for (let k = 0; k < topK; k++) uses[indices[(t * layers.length + row) * topK + k]!]! += 1;
    const top = Math.max(...uses);
    return `layer ${layer}: expert ${uses.indexOf(top)} by ${percent(top / nTokens)}`;
  });
  return `Most used: ${most.join("; ")} of tokens. Uniform routing: ${percent(topK / nExperts)}.`;
}

function captionOf({ nExperts, topK, weights }: RoutingGridData): string {
  const cell = hasExpertColors(nExperts)
    ? `A cell holds the ${topK} experts that a token takes in a layer, best first: colour and number say which, ${weights === null ? "all equally wide, since no weights were recorded" : "width is the weight"}.`
    : `A cell maps all ${nExperts} experts; the ${topK} that the token takes are filled${weights === null ? "" : ", more strongly for more weight"}.`;
  return `${cell} Layers rise from the first. If routing were uniform, an expert would serve ${percent(topK / nExperts)} of the tokens.`;
}
