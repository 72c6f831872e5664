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
  for (let from = 0, layer = 0; from < expertIndices.length; from += topK) {
    for (let slot = from; slot < from + topK; slot++) counts[layer + expertIndices[slot]!]! += 1;
    layer = layer + nExperts === counts.length ? 0 : layer + nExperts;
  }
  return counts;
}
