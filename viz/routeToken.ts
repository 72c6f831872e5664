/** How a router turns probabilities into weights: see `Gating` of the configuration. */
export type GatingRule = { kind: "softmaxThenTopK"; normalize: number | null } | { kind: "topKThenSoftmax" };

/** Every number on a token's way through a router. */
export interface TokenSteps {
  /** exp(logit − largest): [n_experts], and their sum. */
  exps: number[];
  sum: number;
  /** exps / sum: [n_experts]. */
  probs: number[];
  /** Best first; equal probabilities: lower expert first: [top_k]. */
  chosen: number[];
  /** What the chosen are divided by to give weights. */
  divisor: number;
  /** In the order of `chosen`: [top_k]. */
  weights: number[];
}

/**
 * One token through a router in plain numbers, for the static picture and the browser's script alike.
 * @param logits [n_experts]
 */
export function routeToken(logits: readonly number[], topK: number, gating: GatingRule): TokenSteps {
  const largest = Math.max(...logits);
  const exps = logits.map((logit) => Math.exp(logit - largest));
  const total = (values: number[]): number => values.reduce((sum, value) => sum + value, 0);
  const sum = total(exps);
  const probs = exps.map((e) => e / sum);
  const chosen = [...probs.keys()].sort((a, b) => probs[b]! - probs[a]! || a - b).slice(0, topK);
  const own = chosen.map((e) => (gating.kind === "topKThenSoftmax" ? exps[e]! : probs[e]!));
  const divisor = gating.kind === "topKThenSoftmax" ? total(own) : pNorm(own, gating.normalize);
  return { exps, sum, probs, chosen, divisor, weights: own.map((value) => value / divisor) };
}

function pNorm(values: readonly number[], p: number | null): number {
  if (p === null) return 1;
  return values.reduce((sum, value) => sum + value ** p, 0) ** (1 / p);
}

/**
 * Each expert's part of the weighted sum y = Σ w_e E_e: w_e (E_e · y) / (y · y), which sum to 1.
 * @param weights [n]
 * @param gram products E_i · E_j: [n, n]
 */
export function partsOfSum(weights: readonly number[], gram: ArrayLike<number>): { parts: number[]; length: number } {
  const n = weights.length;
  const onSum = weights.map((w, i) => w * weights.reduce((sum, v, j) => sum + v * gram[i * n + j]!, 0));
  const square = onSum.reduce((sum, part) => sum + part, 0);
  return { parts: onSum.map((part) => (square > 0 ? part / square : 0)), length: Math.sqrt(Math.max(0, square)) };
}
