import type { RoutingTrace } from "../lib/trace/record.ts";
import { cellShape } from "./cell.ts";
import { EXPERT_COLORS, hasExpertColors } from "./colors.ts";
import type { Block, RoutingGridLive, RoutingOverviewLive } from "./contract.ts";
import { expertLegend } from "./expertLegend.ts";
import { Figure } from "./figure.ts";
import { count, percent, probability } from "./format.ts";
import { frame, MARGIN, TOP, WIDTH } from "./frame.ts";
import {
  cellMarks,
  FAINTEST,
  firstExperts,
  fullWeight,
  GRID_LEFT,
  type GridStyle,
  gridFills,
  labelHeight,
  placedCells,
  rowLabels,
  tokenLabels,
  wells,
  widestOf,
} from "./gridCells.ts";
import { tableOf } from "./html.ts";
import { drawMarks, MOST_OUTLINES } from "./marks.ts";
import { checkExperts, checkFinite, maybeFlag } from "./options.ts";
import { packCoarse, packReal, packWhole } from "./pack.ts";
import { drawOverview, layOutOverview } from "./routingOverview.ts";
import { element } from "./svg.ts";
import type { Token } from "./tokens.ts";
import { type TraceWindow, type TraceWindowOptions, traceWindow } from "./traceWindow.ts";

export interface RoutingGridOptions extends TraceWindowOptions {
  /**
   * Whether the figure may outgrow the 300 kB that suit a committed notebook: up to 400,000 choices rather than 28,672, in
   * about 4 bytes each. For looking at a long text, and for `saveHtml`.
   */
  large?: boolean;
}

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

/** Slices and squares of maps that cells of a readable size can hold, and their tokens; a longer text has an overview. */
const MOST_SLICES = 9440;
const MOST_SQUARES = 6144;
const MOST_TOKENS = 384;

/** Choices and tokens that an overview can hold within 300 kB, and without that limit. */
const MOST_CHOICES = { small: 28_672, large: 400_000 };
const MOST_COLUMNS = { small: 2048, large: 16_384 };

/** Cells up to which they are large enough to read. */
const MOST_LARGE = 640;

/** Width of a cell of slices in pixels, where there is room. */
const WIDEST = 33;

/**
 * Token by layer: which experts each token takes, and how strongly.
 *
 * One mark is one chosen expert of one token in one layer; a cell holds the top_k of them. Up to 16 experts it is a slice,
 * best first: width is its weight, colour the expert, and the first expert's number is printed where it fits. Beyond 16
 * the cell is a map with a square for every expert, the chosen ones filled, more strongly for more weight and in full
 * from twice the equal weight. Layers rise as the residual stream does. Empty width in a cell is weight that is missing to
 * the largest sum in the window; a weight that is not positive has no width. Without recorded weights all slices are
 * equal, and the subtitle says so.
 *
 * A text too long for readable cells stands as an overview, with a part of it enlarged below. There a column of pixels is a
 * token and a row of each layer is a rank, first expert on top: every choice is drawn, none is taken together with others;
 * weights show as shades beyond 16 experts, and otherwise only in the enlarged part, which goes where a click asks it to.
 * @throws RangeError for a window that does not exist or does not fit (narrow it with `start` and `end`, or ask for a
 * `large` figure), an expert that
 * does not exist, or a weight that is not finite
 * @example show(routingGrid(trace, { start: 0, end: 40 }))
 */
export function routingGrid(trace: RoutingTrace, options: RoutingGridOptions = {}): Figure<RoutingGridData> {
  const { layers, topK, nExperts } = trace;
  const size = maybeFlag("routingGrid", "large", options.large) ? "large" : "small";
  const choices = layers.length * topK;
  const readable = Math.min(
    MOST_TOKENS,
    Math.floor((hasExpertColors(nExperts) ? MOST_SLICES : MOST_SQUARES) / choices),
  );
  const most = Math.min(MOST_COLUMNS[size], Math.floor(MOST_CHOICES[size] / choices));
  const larger = size === "small" ? "pass large: true" : null;
  const window = traceWindow("routingGrid", trace, options, Math.max(1, readable, most), larger);
  const data = gather(trace, window);
  const form = (data.nTokens <= readable ? formOfCells : formOfOverview)(data, window.tokens);
  const chance = probability(1 / topK);
  const way = hasExpertColors(nExperts) ? "width = weight" : "shade = weight";
  const weighed = data.weights === null ? "weights not recorded" : `${way}, equal weights: ${chance} each`;
  const title = `Routing by token and layer: ${topK} of ${nExperts} experts for each token`;
  const extent = `${window.text}, ${layers.length} layer${layers.length === 1 ? "" : "s"}`;
  const busiest = describeLoad(data);
  const legend = { ...data, fullWeight: fullWeight(topK) };
  return new Figure(data, {
    title,
    summary: `${extent}. ${busiest}`,
    caption: `${captionOf(data)} ${form.caption}`.trim(),
    svg: frame({
      title,
      subtitle: `${extent}; ${weighed}`,
      description: busiest,
      height: form.height,
      body: [expertLegend(legend, form.style.shape.mapColumns, GRID_LEFT, FAINTEST), ...form.body],
    }),
    table: tableOf(["position", "token", ...layers.map((layer) => `layer ${layer}`)], data.nTokens, (t) => [
      String(data.start + t),
      window.tokens[t]!.string,
      ...layers.map((_, row) => cellText(data, t, row)),
    ]),
    live: {
      blocks: form.blocks,
      tokens: window.tokens.map((token) => token.string),
      start: data.start,
      layers,
      nExperts,
      topK,
      indices: packWhole(data.indices),
      full: form.style.full,
      shape: form.style.shape,
      colors: hasExpertColors(nExperts) ? EXPERT_COLORS.slice(0, nExperts) : null,
      ...form.live,
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

type FormLive =
  | Pick<RoutingGridLive, "view" | "weights">
  | Pick<RoutingOverviewLive, "view" | "weights" | "compact" | "slot">;

/** The picture of a text: cells, or an overview with a part enlarged. */
interface Form {
  style: GridStyle;
  blocks: Block[];
  height: number;
  body: string[];
  /** What the caption adds. */
  caption: string;
  /** What the browser's script is told about this form alone. */
  live: FormLive;
}

/** Weight that fills a cell: the largest sum of a cell's weights, at least 1. */
function fullOf({ weights, topK }: RoutingGridData): number {
  let full = 1;
  for (let at = 0; at < (weights?.length ?? 0); at += topK) {
    let sum = 0;
    for (let k = 0; k < topK; k++) sum += Math.max(0, weights![at + k]!);
    full = Math.max(full, sum);
  }
  return full;
}

/** Where the grid starts: below the key. */
function topOf(nExperts: number): number {
  return TOP + (hasExpertColors(nExperts) ? 30 : 92);
}

function formOfCells(data: RoutingGridData, tokens: readonly Token[]): Form {
  const { nTokens, layers, nExperts } = data;
  const compact = nTokens * layers.length > MOST_LARGE;
  const room = WIDTH - GRID_LEFT - MARGIN;
  const least = cellShape(nExperts, hasExpertColors(nExperts), compact);
  const fitting = Math.floor(room / least.width);
  // Bands of equal length, rather than a last one with a token or two.
  const across = Math.ceil(nTokens / Math.ceil(nTokens / fitting));
  const shape = least.mapColumns > 0 ? least : { ...least, width: Math.min(WIDEST, Math.floor(room / across)) };
  const blocks: Block[] = [];
  let y = topOf(nExperts);
  for (let column = 0; column < nTokens; column += across) {
    const columns = Math.min(across, nTokens - column);
    const { width, height } = shape;
    blocks.push({ x: GRID_LEFT, y, width, height, columns, rows: layers.length, column, row: 0, upwards: true });
    y += layers.length * height + labelHeight(widestOf(tokens.slice(column, column + columns)), compact) + 12;
  }
  const style = { shape, full: fullOf(data), compact };
  const body = blocks.map((block, band) => drawBand(block, band, data, style, tokens));
  const live: FormLive = { view: "routingGrid", weights: data.weights === null ? null : packReal(data.weights) };
  return { style, blocks, height: y, body, caption: "", live };
}

function drawBand(
  block: Block,
  band: number,
  data: RoutingGridData,
  style: GridStyle,
  tokens: readonly Token[],
): string {
  const cells = placedCells(block, data, style);
  const marks = cellMarks(cells, data);
  const asImage = data.indices.length > MOST_OUTLINES;
  const numbers = hasExpertColors(data.nExperts) && !style.compact ? firstExperts(cells) : "";
  return [
    wells(block),
    element("g", { class: "marks" }, drawMarks(`band${band}`, marks, gridFills(data.nExperts), asImage), numbers),
    rowLabels(block, data.layers),
    tokenLabels(block, style.compact, tokens),
  ].join("");
}

function formOfOverview(data: RoutingGridData, tokens: readonly Token[]): Form {
  const layout = layOutOverview(data, data.nTokens, fullOf(data), topOf(data.nExperts));
  const { bands, detail, style, slot, height } = layout;
  const many = data.indices.length > MOST_CHOICES.small;
  const size = `It holds ${count(data.indices.length)} choices, more than suit a notebook that is committed: save it as a page.`;
  return {
    style,
    blocks: [...bands, detail],
    height,
    body: drawOverview(data, layout, tokens, data.start),
    caption: `Above, each pixel column is a token and each row of a layer a rank; the frame shows which part stands enlarged, and a click moves it. ${many ? size : ""}`,
    live: {
      view: "routingOverview",
      weights: data.weights === null ? null : packCoarse(data.weights),
      compact: style.compact,
      slot,
    },
  };
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
