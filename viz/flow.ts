import { seeded, shuffle } from "../lib/metrics/random.ts";
import type { RoutingTrace } from "../lib/trace/record.ts";

/** The part of a text that goes from one expert to another between two layers. */
export interface FlowLink {
  /** Number of the earlier of the two layers among the chosen ones. */
  gap: number;
  source: number;
  target: number;
  /** Tokens on this link: Σ w(source) · w(target). */
  tokens: number;
  /** Tokens there would be if the two layers chose independently: load(source) · load(target) / n_tokens. */
  expected: number;
}

/** What stays below the threshold between two layers. */
export interface FlowRest {
  tokens: number;
  /** Links that carry anything and are not drawn. */
  links: number;
}

/** Steps of a scale of ratios, from a quarter to four times, in steps of a sixth of a doubling. */
export const RATIO_STEPS = 24;

export interface Flow {
  /** Tokens at each expert: [n_layers, n_experts]; each row sums to n_tokens. */
  load: Float64Array;
  /** Links of at least the threshold, between neighbours of the chosen layers; by gap, source, target. */
  links: FlowLink[];
  /** [n_layers − 1] */
  rest: FlowRest[];
  /**
   * Share of the flow on links whose ratio tokens / expected falls into each step, ratios beyond the ends in the first and
   * last: [n_layers − 1, RATIO_STEPS]; and the same once the later layer's tokens are shuffled, so that only chance is left.
   */
  ratios: Float64Array;
  shuffledRatios: Float64Array;
  /** Smallest share of the tokens that makes a link. */
  minShare: number;
}

/** A text's way through some layers, as one number for each expert and slot: which nodes a token is at, how strongly. */
interface Paths {
  /** Node, row · n_experts + expert: [n_tokens, n_layers, top_k]. */
  nodes: Uint32Array;
  /** A token's weights as fractions of their sum in the layer, in the same order. */
  fractions: Float64Array;
}

/**
 * The tokens' paths through some layers. In each layer a token counts as 1 and is split among its experts by weight, so
 * that nothing is lost or made between layers; where no weight is recorded or positive it is split evenly.
 * @param rows rows of the layers in the trace
 */
export function flowPaths(trace: RoutingTrace, rows: readonly number[]): Paths {
  const { tokenIds, layers, topK, nExperts, expertIndices, expertWeights } = trace;
  const nodes = new Uint32Array(tokenIds.length * rows.length * topK);
  const fractions = new Float64Array(nodes.length);
  let at = 0;
  for (let t = 0; t < tokenIds.length; t++)
    for (const [i, row] of rows.entries()) {
      const from = (t * layers.length + row) * topK;
      let sum = 0;
      for (let k = 0; k < topK; k++) sum += Math.max(0, expertWeights?.[from + k] ?? 1);
      for (let k = 0; k < topK; k++, at++) {
        nodes[at] = i * nExperts + expertIndices[from + k]!;
        fractions[at] = sum > 0 ? Math.max(0, expertWeights?.[from + k] ?? 1) / sum : 1 / topK;
      }
    }
  return { nodes, fractions };
}

interface Size {
  nTokens: number;
  nLayers: number;
  nExperts: number;
  topK: number;
}

/**
 * Adds up the paths to loads and links.
 * @param minShare the smallest share of tokens that makes a link; that of an even link where null, or as much more as leaves
 * `mostLinks` links
 */
export function flowOf(paths: Paths, size: Size, minShare: number | null, mostLinks: number): Flow {
  const { nTokens, nLayers, nExperts } = size;
  const load = new Float64Array(nLayers * nExperts);
  for (const [at, node] of paths.nodes.entries()) load[node]! += paths.fractions[at]!;
  const joint = jointOf(
    paths,
    size,
    Int32Array.from({ length: nTokens }, (_, t) => t),
  );
  const expectedOf = (i: number): number => {
    const [node, target] = [Math.floor(i / nExperts), i % nExperts];
    return (load[node]! * load[(Math.floor(node / nExperts) + 1) * nExperts + target]!) / nTokens;
  };
  const share = minShare ?? defaultShare(joint, size, mostLinks);
  const links: FlowLink[] = [];
  const rest = Array.from({ length: nLayers - 1 }, (): FlowRest => ({ tokens: 0, links: 0 }));
  for (const [i, tokens] of joint.entries()) {
    if (tokens === 0) continue;
    const node = Math.floor(i / nExperts);
    const gap = Math.floor(node / nExperts);
    if (tokens >= share * nTokens)
      links.push({ gap, source: node % nExperts, target: i % nExperts, tokens, expected: expectedOf(i) });
    else {
      rest[gap]!.tokens += tokens;
      rest[gap]!.links += 1;
    }
  }
  const order = Int32Array.from({ length: nTokens }, (_, t) => t);
  shuffle(order, seeded(1));
  const steps = (of: Float64Array): Float64Array => {
    const shares = new Float64Array((nLayers - 1) * RATIO_STEPS);
    for (const [i, tokens] of of.entries())
      if (tokens > 0)
        shares[Math.floor(i / nExperts ** 2) * RATIO_STEPS + ratioStep(tokens / expectedOf(i))]! += tokens / nTokens;
    return shares;
  };
  const shuffledRatios = steps(jointOf(paths, size, order));
  return { load, links, rest, minShare: share, ratios: steps(joint), shuffledRatios };
}

function ratioStep(ratio: number): number {
  const step = Math.floor(((Math.log2(ratio) + 2) / 4) * RATIO_STEPS);
  return Math.max(0, Math.min(RATIO_STEPS - 1, step));
}

/**
 * Tokens on every link: [n_layers − 1, n_experts, n_experts].
 * @param order for each token, the one whose experts it has in the later layer
 */
function jointOf({ nodes, fractions }: Paths, { nLayers, nExperts, topK }: Size, order: Int32Array): Float64Array {
  const joint = new Float64Array((nLayers - 1) * nExperts ** 2);
  for (const [t, other] of order.entries())
    for (let gap = 0; gap + 1 < nLayers; gap++) {
      const from = (t * nLayers + gap) * topK;
      const to = (other * nLayers + gap + 1) * topK;
      for (let a = from; a < from + topK; a++)
        for (let b = to; b < to + topK; b++)
          joint[nodes[a]! * nExperts + (nodes[b]! % nExperts)]! += fractions[a]! * fractions[b]!;
    }
  return joint;
}

/** An even link's share of the tokens; more where too many links would be left. */
function defaultShare(joint: Float64Array, { nTokens, nExperts }: Size, mostLinks: number): number {
  const share = 1 / nExperts ** 2;
  const drawn = joint.filter((tokens) => tokens >= share * nTokens).sort();
  const over = drawn.length - mostLinks;
  return over > 0 ? (drawn[over]! / nTokens) * (1 + 1e-12) : share;
}

/**
 * For each node, how much of every node of the other layers and of every link is due to the tokens that pass it: whole
 * paths, not only the next layer. A token is at one expert of each layer at a time, at each with its weight.
 * @returns shares from 0 to 1: [n_nodes, (n_layers − 1) · n_experts + n_links]
 */
export function flowThrough({ nodes, fractions }: Paths, { nLayers, nExperts, topK }: Size, flow: Flow): Float64Array {
  const { load, links } = flow;
  const others = (nLayers - 1) * nExperts;
  const width = others + links.length;
  const layerOf = (node: number): number => Math.floor(node / nExperts);
  const place = new Map(links.map(({ gap, source, target }, i) => [(gap * nExperts + source) * nExperts + target, i]));
  const through = new Float64Array(nLayers * nExperts * width);
  const perToken = nLayers * topK;
  for (let first = 0; first < nodes.length; first += perToken)
    for (let a = first; a < first + perToken; a++) {
      const own = layerOf(nodes[a]!);
      for (let c = first; c < first + perToken; c++)
        if (layerOf(nodes[c]!) !== own)
          through[nodes[c]! * width + besides(nodes[a]!, layerOf(nodes[c]!), nExperts)]! +=
            fractions[a]! * fractions[c]!;
      if (own === nLayers - 1) continue;
      for (let b = first + (own + 1) * topK; b < first + (own + 2) * topK; b++) {
        const link = place.get(nodes[a]! * nExperts + (nodes[b]! % nExperts));
        if (link === undefined) continue;
        for (let c = first; c < first + perToken; c++) {
          const layer = layerOf(nodes[c]!);
          const isEnd = layer === own || layer === own + 1;
          if (isEnd && c !== a && c !== b) continue;
          through[nodes[c]! * width + others + link]! += fractions[a]! * fractions[b]! * (isEnd ? 1 : fractions[c]!);
        }
      }
    }
  for (let node = 0; node < load.length; node++) {
    for (let other = 0; other < load.length; other++)
      if (layerOf(other) !== layerOf(node) && load[other]! > 0)
        through[node * width + besides(other, layerOf(node), nExperts)]! /= load[other]!;
    for (const [i, link] of links.entries()) through[node * width + others + i]! /= link.tokens;
  }
  return through;
}

/** The number of a node among those outside a layer. */
export function besides(node: number, layer: number, nExperts: number): number {
  return Math.floor(node / nExperts) < layer ? node : node - nExperts;
}
