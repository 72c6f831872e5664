import type { ModelConfig } from "../config.ts";
import { paramShapes } from "../params.ts";

/** Parameters by what they do; they sum to the model's total. */
export interface WeightParts {
  embedding: number;
  /** 0 where the embedding, turned, does its work. */
  unembedding: number;
  /** Projections to queries, keys and values, and back. */
  attention: number;
  router: number;
  /** All routed experts of all layers. */
  experts: number;
  /** The MLPs of blocks without experts. */
  dense: number;
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
  if (name === "embed.W_E") return "embedding";
  if (name === "unembed.W_U") return "unembedding";
  if (name.includes(".attn.W_")) return "attention";
  if (name.endsWith(".W_router")) return "router";
  if (name.includes(".mlp.W_")) return nAxes === 3 ? "experts" : "dense";
  return "norms";
}
