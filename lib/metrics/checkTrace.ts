import { ShapeError } from "../errors.ts";
import type { RoutingTrace } from "../trace/record.ts";

/** What a metric needs of a trace beyond the chosen experts. */
export type Need = "rankOrder" | "routerProbs" | "pieces" | "phases";

const REASONS: Record<Need, { has: (trace: RoutingTrace) => boolean; must: string; got: string }> = {
  rankOrder: {
    has: (trace) => trace.rankOrdered,
    must: "keep the experts in order of preference, because a first choice has no meaning without it",
    got: "one whose recorder did not (rankOrdered is false)",
  },
  routerProbs: {
    has: (trace) => trace.routerProbs !== null,
    must: "hold the router probabilities of all experts",
    got: "one whose recorder kept only the chosen experts (routerProbs is null)",
  },
  pieces: {
    has: (trace) => trace.pieces !== null,
    must: "hold the tokens' text",
    got: "one whose recorder kept only token ids (pieces is null)",
  },
  phases: {
    has: (trace) => trace.phases !== undefined,
    must: "tell prompts from what was generated",
    got: "one whose recorder did not (phases is absent)",
  },
};

/**
 * Checks that a trace's arrays fit together and that it holds what a metric needs.
 * @throws ShapeError for arrays of other sizes; RangeError naming what is missing and why it is needed
 */
export function checkTrace(where: string, trace: RoutingTrace, ...needs: Need[]): void {
  const { nExperts, topK, layers, tokenIds, sequenceOffsets } = trace;
  if (!Number.isInteger(topK) || topK < 1 || topK > nExperts)
    throw new RangeError(`${where}: topK must be a whole number from 1 to nExperts (${nExperts}), got ${topK}`);
  if (layers.length === 0) throw new ShapeError(`${where}: layers must hold at least one layer, got none`);
  const [nTokens, nLayers] = [tokenIds.length, layers.length];
  const arrays = [
    ["expertIndices", trace.expertIndices, "[n_tokens, n_layers, top_k]", [nTokens, nLayers, topK]],
    ["expertWeights", trace.expertWeights, "[n_tokens, n_layers, top_k]", [nTokens, nLayers, topK]],
    ["routerProbs", trace.routerProbs, "[n_tokens, n_layers, n_experts]", [nTokens, nLayers, nExperts]],
    ["pieces", trace.pieces, "[n_tokens]", [nTokens]],
    ["positions", trace.positions ?? null, "[n_tokens]", [nTokens]],
    ["phases", trace.phases ?? null, "[n_tokens]", [nTokens]],
  ] as const;
  for (const [name, array, axes, sizes] of arrays) {
    if (array === null || array.length === sizes.reduce((a, b) => a * b)) continue;
    const items = name === "pieces" ? "tokens" : "numbers";
    throw new ShapeError(`${where}: ${name} must be ${axes} = [${sizes.join(", ")}], got ${array.length} ${items}`);
  }
  const rises = sequenceOffsets.every((offset, i) => offset >= (sequenceOffsets[i - 1] ?? 0));
  if (sequenceOffsets[0] !== 0 || sequenceOffsets.at(-1) !== nTokens || !rises)
    throw new RangeError(`${where}: sequenceOffsets must rise from 0 to the number of tokens (${nTokens})`);
  for (const need of needs) {
    const { has, must, got } = REASONS[need];
    if (!has(trace)) throw new RangeError(`${where}: the trace must ${must}, got ${got}`);
  }
}
