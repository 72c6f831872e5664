import type { RoutingTrace } from "../trace/record.ts";
import { checkTrace } from "./checkTrace.ts";

/**
 * Counts how tokens go from their first choice in one traced layer to their first choice in the next.
 * @returns [n_layers − 1, n_experts, n_experts]: from, to
 * @throws RangeError for a trace without rank order, or an expert that does not exist
 * @example countTransitions(trace)[2 * trace.nExperts + 5] // tokens from expert 2 of the first layer to expert 5 of the second
 */
export function countTransitions(trace: RoutingTrace): Uint32Array {
  checkTrace("countTransitions", trace, "rankOrder");
  const { nExperts, topK, layers, tokenIds, expertIndices } = trace;
  const seen = new Uint32Array((layers.length - 1) * nExperts * nExperts);
  const width = layers.length * topK;
  for (let t = 0; t < tokenIds.length; t++) {
    for (let row = 0; row < layers.length; row++) {
      const at = t * width + row * topK;
      const to = expertIndices[at]!;
      if (to >= nExperts)
        throw new RangeError(`countTransitions: expert must be below nExperts (${nExperts}), got ${to}`);
      if (row > 0) seen[((row - 1) * nExperts + expertIndices[at - topK]!) * nExperts + to]! += 1;
    }
  }
  return seen;
}
