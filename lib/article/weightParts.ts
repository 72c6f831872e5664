import type { ModelConfig } from "../config.ts";
import { paramShapes } from "../params.ts";

/** Parameters by what they do; they sum to the model's total. */
export interface WeightParts {
  /** Of tokens and, where they are learned, positions. */
  embedding: number;
  /** 0 where the embedding, turned, does its work. */
  unembedding: number;
  /** Projections to queries, keys and values, and back. */
  attention: number;
  router: number;
  /** All routed experts of all layers. */
  experts: number;
  /** The MLPs of blocks without experts, and shared experts. */
  dense: number;
  /** Norms, and what little is none of the above. */
  norms: number;
}

/**
 * Where a model's parameters are.
 * @example weightParts(DBRX).experts / parameterCounts(DBRX).total // 0.9638
 */
export function weightParts(config: ModelConfig): WeightParts {
  const parts = { embedding: 0, unembedding: 0, attention: 0, router: 0, experts: 0, dense: 0, norms: 0 };
  for (const [name, shape] of paramShapes(config))
    parts[partOf(name, shape.length)] += shape.reduce((product, size) => product * size, 1);
  return parts;
}

function partOf(name: string, nAxes: number): keyof WeightParts {
  if (name.startsWith("embed.")) return "embedding";
  if (name === "unembed.W_U") return "unembedding";
  if (/\.attn\.(W|b)_/.test(name)) return "attention";
  if (/\.mlp\.(W_router|b_router|b_choice)$/.test(name)) return "router";
  if (/\.mlp\.(shared\.)?W_/.test(name)) return nAxes === 3 ? "experts" : "dense";
  if (/\.mlp\.(shared\.)?b_/.test(name)) return nAxes === 2 ? "experts" : "dense";
  return "norms";
}
