import type { RoutingTrace } from "../trace/record.ts";
import { steps } from "./transitions.ts";

/** One expert of one layer, or what is left of the layer. */
export interface FlowNode {
  /** The model's layer number. */
  layer: number;
  /** The expert, or null for all that are not shown by themselves. */
  expert: number | null;
  /** Tokens whose first choice it is. */
  tokens: number;
}

/** Tokens that go from one node to a node of the next layer. */
export interface FlowEdge {
  /** Indices of nodes. */
  source: number;
  target: number;
  tokens: number;
  /** What it would be if the two layers chose independently: tokens(source) · tokens(target) / n_tokens. */
  expected: number;
}

/** First choices through some layers, as nodes and edges. Each layer's nodes sum to n_tokens, and so do the edges between two. */
export interface ExpertFlow {
  layers: number[];
  nTokens: number;
  nodes: FlowNode[];
  edges: FlowEdge[];
}

export interface ExpertFlowOptions {
  /** The model's layer numbers, rising; all that were traced where absent. */
  layers?: readonly number[];
  /** Experts with less than this many times the uniform share are taken together; 0 shows all that are used. */
  atLeast?: number;
}

/**
 * Expert flow, the data of OLMoE's Sankey: how first choices go from layer to layer. Experts below 1.5 times the
 * uniform share are pooled unless told otherwise, as there.
 * @formula tokens whose first choices are the edge's two experts
 * @chance independent layers: tokens(source) · tokens(target) / T, with each edge
 * @throws RangeError for layers that were not traced, or a trace that does not keep the rank order
 * @see Muennighoff et al. 2024, arXiv:2409.02060, figures 34 to 36
 * @example expertFlow(trace).edges.slice(0, 3)
 */
export function expertFlow(
  trace: RoutingTrace,
  { layers = trace.layers, atLeast = 1.5 }: ExpertFlowOptions = {},
): ExpertFlow {
  const { nExperts, topK, tokenIds } = trace;
  const nTokens = tokenIds.length;
  const nodes: FlowNode[] = [];
  const edges: FlowEdge[] = [];
  let previous: Int32Array | undefined;
  for (const { layer, experts } of steps("expertFlow", trace, layers, true)) {
    const counts = new Float64Array(nExperts);
    for (let i = 0; i < experts.length; i += topK) counts[experts[i]!]! += 1;
    const nodeOf = addNodes(nodes, layer, counts, (atLeast * nTokens) / nExperts);
    const at = Int32Array.from(tokenIds, (_, t) => nodeOf[experts[t * topK]!]!);
    if (previous !== undefined) edges.push(...edgesBetween(previous, at, nodes));
    previous = at;
  }
  return { layers: [...layers], nTokens, nodes, edges };
}

/** Adds a layer's nodes, experts rising and the rest last. @returns the node of each expert: [n_experts] */
function addNodes(nodes: FlowNode[], layer: number, counts: Float64Array, least: number): Int32Array {
  const nodeOf = new Int32Array(counts.length).fill(-1);
  let rest = 0;
  for (const [expert, tokens] of counts.entries()) {
    if (tokens === 0) continue;
    if (tokens < least) rest += tokens;
    else nodeOf[expert] = nodes.push({ layer, expert, tokens }) - 1;
  }
  if (rest === 0) return nodeOf;
  const other = nodes.push({ layer, expert: null, tokens: rest }) - 1;
  return nodeOf.map((node) => (node < 0 ? other : node));
}

function edgesBetween(from: Int32Array, to: Int32Array, nodes: readonly FlowNode[]): FlowEdge[] {
  const tokens = new Map<number, number>();
  for (const [t, source] of from.entries()) {
    const key = source * nodes.length + to[t]!;
    tokens.set(key, (tokens.get(key) ?? 0) + 1);
  }
  return [...tokens]
    .sort(([a], [b]) => a - b)
    .map(([key, n]) => {
      const [source, target] = [Math.floor(key / nodes.length), key % nodes.length];
      return { source, target, tokens: n, expected: (nodes[source]!.tokens * nodes[target]!.tokens) / from.length };
    });
}
