import type { RoutingTrace } from "../trace/record.ts";
import { checkTrace, type Need } from "./checkTrace.ts";

/** The choices of one layer. */
export interface Choices {
  /** The model's layer number. */
  layer: number;
  /** Chosen experts, a token's in a row: [n_tokens, top_k]. */
  experts: Uint16Array;
}

/**
 * The chosen experts of every layer, layer by layer, from a trace that keeps them token by token.
 * @throws RangeError for a trace whose arrays do not fit together, lacks a need, or whose choices are not top_k
 * different experts each
 */
export function choices(where: string, trace: RoutingTrace, ...needs: Need[]): Choices[] {
  checkTrace(where, trace, ...needs);
  const { topK, layers, tokenIds, expertIndices } = trace;
  return layers.map((layer, row) => {
    const experts = new Uint16Array(tokenIds.length * topK);
    for (let t = 0; t < tokenIds.length; t++) {
      const from = (t * layers.length + row) * topK;
      for (let slot = 0; slot < topK; slot++) experts[t * topK + slot] = expertIndices[from + slot]!;
    }
    checkChoices(where, experts, trace);
    return { layer, experts };
  });
}

/**
 * Checks that every top_k choices in a row are different experts that exist.
 * @throws RangeError
 */
export function checkChoices(where: string, experts: Uint16Array, { nExperts, topK }: SetSize): void {
  for (let from = 0; from < experts.length; from += topK)
    for (let a = from; a < from + topK; a++) {
      const expert = experts[a]!;
      if (expert >= nExperts)
        throw new RangeError(`${where}: expert must be below nExperts (${nExperts}), got ${expert}`);
      for (let b = from; b < a; b++)
        if (experts[b] === expert)
          throw new RangeError(`${where}: a token's ${topK} experts must be different, got ${expert} twice`);
    }
}

interface SetSize {
  nExperts: number;
  topK: number;
}
