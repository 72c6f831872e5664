import { listed, shown } from "../lib/errors.ts";
import { loadPerExpert } from "../lib/metrics/load.ts";
import type { RoutingTrace } from "../lib/trace/record.ts";
import { type CellShape, cellShape } from "./cell.ts";
import { EXPERT_COLORS, hasExpertColors } from "./colors.ts";
import type { ExplorerState } from "./contract.ts";
import type { ExplorerNumbers } from "./explorerPanels.ts";
import { LEAST_TEXT, WIDTH } from "./frame.ts";
import { checkFinite } from "./options.ts";
import type { TraceWindow } from "./traceWindow.ts";

/** What the explorer draws. */
export interface ExplorerData extends ExplorerNumbers {
  /** Position of the first token in its sequence. */
  start: number;
  state: ExplorerState;
}

/** Numbers of the heatmaps of all layers that one figure can hold within 300 kB. */
const MOST_PROBS = 17_920;

/** Where the grid starts, how wide the load's bars are, and what is left for the tokens, in pixels. */
export const LEFT = 76;
export const BARS = 104;
const ROOM = WIDTH - LEFT - BARS - 42;

/** Tokens that an explorer of a trace can hold. */
export function mostTokens({ layers, nExperts }: RoutingTrace): number {
  const byWidth = Math.floor(ROOM / shapeOf(nExperts).width);
  return Math.max(1, Math.min(byWidth, Math.floor(MOST_PROBS / (layers.length * nExperts))));
}

/** The least cell of the grid: slices for up to 16 experts, else a map of squares as small as they can be. */
function shapeOf(nExperts: number): CellShape {
  const least = cellShape(nExperts, hasExpertColors(nExperts), true);
  if (least.mapColumns === 0) return { ...least, width: LEAST_TEXT, height: 17 };
  const unit = least.mapColumns > 8 ? 1 : 2;
  const rows = Math.ceil(nExperts / least.mapColumns);
  return { ...least, unit, width: least.mapColumns * unit + 4, height: rows * unit + 4 };
}

/**
 * What an explorer draws of a window of a trace.
 * @throws RangeError for a state that the trace does not have, an expert that does not exist, or a number that is not finite
 */
export function gatherExplorer(trace: RoutingTrace, window: TraceWindow, asked: Partial<ExplorerState>): ExplorerData {
  const where = "explorer";
  const shape = shapeOf(trace.nExperts);
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
