import type { RoutingTrace } from "../trace/record.ts";
import { checkTrace } from "./checkTrace.ts";
import { checkChoices } from "./choices.ts";

/**
 * Counts the assignments of each expert in each layer.
 * @param where who asks, for messages
 * @returns [n_layers, n_experts]
 * @throws RangeError for a trace whose choices are not top_k different experts each; ShapeError for arrays that do not fit
 * @example countExperts(trace).subarray(0, trace.nExperts) // the first traced layer
 */
export function countExperts(trace: RoutingTrace, where = "countExperts"): Uint32Array {
  checkTrace(where, trace);
  const { nExperts, topK, layers, expertIndices } = trace;
  checkChoices(where, expertIndices, trace);
  const counts = new Uint32Array(layers.length * nExperts);
  for (let i = 0; i < expertIndices.length; i++)
    counts[(Math.floor(i / topK) % layers.length) * nExperts + expertIndices[i]!]! += 1;
  return counts;
}
