import { shown } from "../errors.ts";
import type { RoutingTrace } from "../trace/record.ts";
import { checkTrace } from "./checkTrace.ts";

export type ConfidenceMeasure = "routerEntropy" | "topMargin" | "boundaryMargin" | "topKMass";

/** How sure the router of one layer is: each measure by token, its mean, and what an indifferent router gives. */
export interface Confidence {
  /** The model's layer number. */
  layer: number;
  /** −Σ p ln p over all experts, in nats: [n_tokens]. */
  routerEntropy: Float64Array;
  /** Largest probability less the second: [n_tokens]. */
  topMargin: Float64Array;
  /** The k-th largest less the one after it, which nearly was chosen; small ones flip under rounding: [n_tokens]. */
  boundaryMargin: Float64Array;
  /** Sum of the k largest: [n_tokens]. */
  topKMass: Float64Array;
  /** Over tokens; NaN without tokens. */
  mean: Record<ConfidenceMeasure, number>;
  /** A router that gives all experts the same: ln E, 0, 0 and k/E. These are ends of the scales, not chance levels. */
  indifferent: Record<ConfidenceMeasure, number>;
}

/**
 * How sure the router is of its choice, from its probabilities over all experts, in rank order of those probabilities
 * (a router that adds a bias may choose others). Scores of a sigmoid router are scaled to sum to 1. A margin that needs
 * an expert beyond the last, as for k = E, is NaN.
 * @formula −Σ p ln p; p(1) − p(2); p(k) − p(k+1); p(1) + … + p(k), for probabilities in falling order
 * @chance none: instead the end of each scale, a router that gives all experts the same (ln E, 0, 0, k/E)
 * @throws RangeError for a trace without router probabilities, or probabilities that are negative or all 0
 * @example confidence(trace)[0].mean.boundaryMargin
 */
export function confidence(trace: RoutingTrace): Confidence[] {
  checkTrace("confidence", trace, "routerProbs");
  const { nExperts, topK, layers, tokenIds } = trace;
  const nTokens = tokenIds.length;
  return layers.map((layer, row) => {
    const of: Record<ConfidenceMeasure, Float64Array> = {
      routerEntropy: new Float64Array(nTokens),
      topMargin: new Float64Array(nTokens),
      boundaryMargin: new Float64Array(nTokens),
      topKMass: new Float64Array(nTokens),
    };
    for (let t = 0; t < nTokens; t++) {
      const at = (t * layers.length + row) * nExperts;
      const falling = scaled(trace.routerProbs!.subarray(at, at + nExperts))
        .sort()
        .toReversed();
      const margin = (rank: number): number => falling[rank - 1]! - (falling[rank] ?? Number.NaN);
      of.routerEntropy[t] = falling.reduce((nats, p) => (p > 0 ? nats - p * Math.log(p) : nats), 0);
      of.topMargin[t] = margin(1);
      of.boundaryMargin[t] = margin(topK);
      of.topKMass[t] = falling.subarray(0, topK).reduce((sum, p) => sum + p, 0);
    }
    return {
      layer,
      ...of,
      mean: {
        routerEntropy: mean(of.routerEntropy),
        topMargin: mean(of.topMargin),
        boundaryMargin: mean(of.boundaryMargin),
        topKMass: mean(of.topKMass),
      },
      indifferent: {
        routerEntropy: Math.log(nExperts),
        topMargin: nExperts > 1 ? 0 : Number.NaN,
        boundaryMargin: topK < nExperts ? 0 : Number.NaN,
        topKMass: topK / nExperts,
      },
    };
  });
}

function scaled(probs: Float32Array): Float64Array {
  let sum = 0;
  for (const p of probs) {
    if (!(p >= 0 && p < Infinity))
      throw new RangeError(`confidence: a router probability must be a number of at least 0, got ${shown(p)}`);
    sum += p;
  }
  if (sum === 0) throw new RangeError("confidence: a token's router probabilities must sum to more than 0, got 0");
  return Float64Array.from(probs, (p) => p / sum);
}

function mean(values: Float64Array): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
