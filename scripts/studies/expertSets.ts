import type { RoutingTrace } from "../../lib/trace/record.ts";

/** Which sets of experts the tokens of a text go to in one layer. */
export interface ExpertSets {
  layer: number;
  /** Sets that exist: n_experts over top_k. */
  possible: number;
  /** Sets that some token goes to. */
  used: number;
  /** exp of the entropy of the sets' shares: as many as this, used evenly, would be as various. */
  effective: number;
}

/** Counts the sets of experts that a text's tokens go to, whatever their order. */
export function expertSets({ nExperts, topK, layers, tokenIds, expertIndices }: RoutingTrace): ExpertSets[] {
  const possible = Array.from({ length: topK }, (_, i) => (nExperts - i) / (i + 1)).reduce((a, b) => a * b, 1);
  return layers.map((layer, row) => {
    const counts = new Map<string, number>();
    for (let t = 0; t < tokenIds.length; t++) {
      const start = (t * layers.length + row) * topK;
      const set = expertIndices
        .slice(start, start + topK)
        .sort()
        .join();
      counts.set(set, (counts.get(set) ?? 0) + 1);
    }
    const shares = [...counts.values()].map((count) => count / tokenIds.length);
    const nats = shares.reduce((sum, p) => sum - p * Math.log(p), 0);
    return { layer, possible: Math.round(possible), used: counts.size, effective: Math.exp(nats) };
  });
}
