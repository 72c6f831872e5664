/** Types shared by the views, which write them, and the browser's script, which reads them. No DOM, no Node. */

import type { CellShape } from "./cell.ts";
import type { GatingRule } from "./routeToken.ts";

/** A typed array on its way to the browser. */
export interface Packed {
  /**
   * `u4`, `u1`, `u2`: whole numbers of 4, 8 or 16 bits; `q1`, `q2`: reals as low + step · n in 8 or 16 bits, with the
   * largest n for NaN.
   */
  type: "u4" | "u1" | "u2" | "q1" | "q2";
  /** Numbers there are. */
  length: number;
  low: number;
  step: number;
  /** Little-endian, base64. */
  data: string;
}

/** A rectangle of equal cells in the picture. Cells are numbered across all blocks of a figure. */
export interface Block {
  x: number;
  y: number;
  /** Size of one cell in pixels. */
  width: number;
  height: number;
  columns: number;
  rows: number;
  /** Number of the first column and the first row. */
  column: number;
  row: number;
  /** Rows rise upwards. */
  upwards?: true;
}

/** A shape drawn above the picture. */
export interface Shape {
  d: string;
  fill?: string;
  opacity?: number;
  stroke?: string;
  /** Width of the stroke; 1.5 where absent. */
  width?: number;
}

/** What every figure tells the script; each view adds its own data. */
interface LiveBase {
  blocks: Block[];
  /** The tokens of the window as text. */
  tokens: string[];
  /** Position of the first of them in its sequence. */
  start: number;
}

export interface RoutingGridLive extends LiveBase {
  view: "routingGrid";
  layers: number[];
  nExperts: number;
  topK: number;
  /** [n_tokens, n_layers, top_k] */
  indices: Packed;
  weights: Packed | null;
  /** Weight that a full cell stands for. */
  full: number;
  shape: CellShape;
  /** One colour an expert, or null where position says which. */
  colors: readonly string[] | null;
}

/** The grid of a long text: its blocks are the bands of the overview and, last, the part enlarged. */
export interface RoutingOverviewLive extends Omit<RoutingGridLive, "view"> {
  view: "routingOverview";
  compact: boolean;
  /** Height of a choice in the overview, in pixels. */
  slot: number;
}

export interface RouterHeatmapLive extends LiveBase {
  view: "routerHeatmap";
  nExperts: number;
  topK: number;
  /** [n_tokens, n_experts] */
  probs: Packed;
  /** [n_tokens, top_k] */
  chosen: Packed;
  /** [n_tokens]; NaN where every expert is chosen. */
  margin: Packed;
  /** In nats: [n_tokens]. */
  entropy: Packed;
}

export interface AttentionMapLive extends LiveBase {
  view: "attentionMap";
  /** Row after row of the lower triangle: n (n + 1) / 2 numbers. */
  weights: Packed;
  /** Weight drawn in full colour. */
  most: number;
}

export interface TextActivationsLive extends LiveBase {
  view: "textActivations";
  layer: number;
  expert: number;
  dFf: number;
  /** Neurons that can be picked, strongest first. */
  neurons: number[];
  /** The one drawn in the static picture. */
  neuron: number;
  /** Window positions whose neurons were computed. */
  computed: number[];
  /** [neurons, computed tokens] */
  values: Packed;
}

export interface ExpertLoadLive extends LiveBase {
  view: "expertLoad";
  layers: number[];
  nExperts: number;
  /** [n_layers, n_experts] */
  counts: number[];
  /** Assignments of a layer, n_tokens · top_k. */
  assignments: number;
  /** The central 95 % of one expert's share under uniform routing. */
  low: number;
  high: number;
  colors: readonly string[] | null;
}

export interface ExpertFlowLive extends LiveBase {
  view: "expertFlow";
  layers: number[];
  nExperts: number;
  nTokens: number;
  /** Tokens at each node: [n_layers, n_experts]. */
  load: number[];
  /** The links drawn; `y0` and `y1` are where their middle line starts and ends. */
  links: { gap: number; source: number; target: number; tokens: number; expected: number; y0: number; y1: number }[];
  /** Tokens on the links that are not drawn: [n_layers − 1]. */
  rest: number[];
  /** Pixels for one token. */
  unit: number;
  /** Of each node and link, the part (0 to 255) due to the tokens that pass a node: [n_nodes, n_nodes + n_links]. */
  through: Packed;
  colors: readonly string[] | null;
}

export interface CoactivationLive extends LiveBase {
  view: "coactivation";
  /** Which expert each row and column is. */
  experts: number[];
  nTokens: number;
  /** Tokens that use each: [n]. */
  counts: number[];
  /** Tokens that use both, and the expected number; row after row below the diagonal: n (n − 1) / 2. */
  together: Packed;
  expected: Packed;
  /** 1 where the pair is beyond the central 95 % of chance; likewise. */
  beyond: Packed;
  colors: readonly string[] | null;
}

export interface DomainSpecializationLive extends LiveBase {
  view: "domainSpecialization";
  domains: string[];
  /** [n_domains] */
  nTokens: number[];
  nExperts: number;
  /** Shares of assignments, and the bounds of shuffled ones: [n_domains, n_experts]; pooled: [n_experts]. */
  share: Packed;
  pooled: Packed;
  low: Packed;
  high: Packed;
  colors: readonly string[] | null;
}

export interface TrainingCurvesLive extends LiveBase {
  view: "trainingCurves";
  /** First and last step behind each point: [n_points]. */
  first: number[];
  last: number[];
  panels: {
    name: string;
    baseline: { value: number; name: string } | null;
    /** The layer of each line, or null where the quantity has no layers. */
    layers: (number | null)[];
    /** [n_lines, n_points]; NaN where nothing was measured. */
    mean: Packed;
    low: Packed;
    high: Packed;
  }[];
}

export interface ExpertAblationLive extends LiveBase {
  view: "expertAblation";
  layers: number[];
  nExperts: number;
  nTokens: number;
  baseLoss: number;
  minTokens: number;
  /** Tokens that use each expert: [n_layers, n_experts]. */
  routed: Packed;
  /** Numbers of each kind: [n_layers, n_experts]; its rows in the picture follow those of the kind before. */
  kinds: { name: string; delta: Packed; low: Packed | null; high: Packed | null }[];
}

export interface AttentionHeadsLive extends LiveBase {
  view: "attentionHeads";
  /** Layer after layer, head after head. */
  heads: { layer: number; head: number; first: number; previous: number; self: number; spread: number }[];
  even: { first: number; previous: number; self: number };
  nHeads: number;
  /** Pixels of a tile's side. */
  side: number;
  /** Step of the scale of each pixel, triangle after triangle: [n_heads, side (side + 1) / 2]. */
  steps: Packed;
  large: { x: number; y: number; unit: number };
}

export interface AttentionArcsLive extends LiveBase {
  view: "attentionArcs";
  /** Row after row of the lower triangle: n (n + 1) / 2 numbers. */
  weights: Packed;
  /** First key that counts: 1 where the first token is left out. */
  from: number;
  /** Where arcs start, and the height of a row. */
  x: number;
  y: number;
  row: number;
}

export interface LogitLensLive extends LiveBase {
  view: "logitLens";
  rows: string[];
  nTop: number;
  dVocab: number;
  /** The predicted tokens as text, by number. */
  names: string[];
  /** [n_tokens, n_rows, n_top] */
  top: Packed;
  probs: Packed;
  /** [n_tokens, n_rows] */
  finalRank: Packed | null;
  isNext: Packed;
}

export interface ResidualNormsLive extends LiveBase {
  view: "residualNorms";
  rows: string[];
  /** [n_tokens, n_rows] */
  norms: Packed;
  /** [n_rows] */
  median: number[];
}

export interface RouterStepsLive extends LiveBase {
  view: "routerSteps";
  layer: number;
  /** The expert of each row. */
  experts: number[];
  /** [n_experts] */
  logits: number[];
  topK: number;
  gating: GatingRule;
  /** Experts whose outputs are known, and the outputs' products with each other: [n, n]. */
  computed: number[];
  gram: number[];
  colors: readonly string[] | null;
}

export interface DotPlotLive extends LiveBase {
  view: "dotPlot";
  quantity: string;
  series: string[];
  /** Of each series. */
  colors: string[];
  /** Each series' value as it is to be read, or null where there is none. */
  rows: { name: string; texts: (string | null)[] }[];
  baseline: { name: string; text: string } | null;
}

export interface ExplorerLive extends LiveBase {
  view: "explorer";
  state: ExplorerState;
  /** The panels' blocks: one for each token of the text, then the grid, the heatmap and the load. */
  layers: number[];
  nExperts: number;
  topK: number;
  /** [n_tokens, n_layers, top_k] */
  indices: Packed;
  weights: Packed | null;
  /** Router probabilities, or null where they were not recorded: [n_tokens, n_layers, n_experts]. */
  probs: Packed | null;
  /** Load over the whole trace, and the bounds of its central 95 % under uniform routing: [n_layers, n_experts]. */
  load: Packed;
  low: number;
  high: number;
  /** Tokens behind the load. */
  nLoad: number;
  full: number;
  shape: CellShape;
  colors: readonly string[] | null;
}

/** What an explorer shows: small enough to be kept in a notebook and given back. */
export interface ExplorerState {
  /** The model's layer number. */
  layer: number;
  /** Position of a token in its sequence, or null. */
  token: number | null;
  /** An expert of the layer, or null. */
  expert: number | null;
}

export type Live =
  | RoutingGridLive
  | RoutingOverviewLive
  | RouterHeatmapLive
  | AttentionMapLive
  | TextActivationsLive
  | ExpertLoadLive
  | ExpertFlowLive
  | CoactivationLive
  | DomainSpecializationLive
  | DotPlotLive
  | TrainingCurvesLive
  | ExpertAblationLive
  | AttentionHeadsLive
  | AttentionArcsLive
  | LogitLensLive
  | ResidualNormsLive
  | RouterStepsLive
  | ExplorerLive;
