import type { MoeConfig } from "../config.ts";
import { softmax } from "./softmax.ts";

/**
 * Chooses experts for one token and weighs them, as `route` in router.ts does for many.
 * @param logits the router's, [n_experts]
 * @returns chosen experts, best first (equal probabilities: lower expert first), and their weights, each [top_k]
 */
export function chooseExperts(
  logits: Float32Array,
  { topK, gating }: MoeConfig,
): { experts: number[]; weights: Float32Array } {
  const probs = logits.slice();
  softmax(probs);
  const experts = largest(probs, topK);
  switch (gating.kind) {
    case "sigmoid":
      throw new RangeError("chooseExperts: gating must be one that canStep lets through, got sigmoid");
    case "topKThenSoftmax": {
      const weights = Float32Array.from(experts, (e) => logits[e]!);
      softmax(weights);
      return { experts, weights };
    }
    case "softmaxThenTopK": {
      const weights = Float32Array.from(experts, (e) => probs[e]!);
      if (gating.normalize === null) return { experts, weights };
      const p = gating.normalize;
      const norm = weights.reduce((sum, weight) => sum + weight ** p, 0) ** (1 / p);
      return { experts, weights: weights.map((weight) => weight / norm) };
    }
  }
}

/** Places of the k largest values, largest first; equal values: lower place first. */
function largest(values: Float32Array, k: number): number[] {
  const best: number[] = [];
  for (const [place, value] of values.entries()) {
    if (best.length === k && !(value > values[best[k - 1]!]!)) continue;
    let at = best.length === k ? k - 1 : best.length;
    for (; at > 0 && value > values[best[at - 1]!]!; at--) best[at] = best[at - 1]!;
    best[at] = place;
  }
  return best;
}
