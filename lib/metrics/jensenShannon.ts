import { shown } from "../errors.ts";

/**
 * Generalised Jensen–Shannon divergence in bits: 0 where all distributions are equal, at most log2 of their number.
 * @formula H(Σ w_d p_d) − Σ w_d H(p_d), in bits
 * @chance 0 for distributions that are known; estimated from N counts about (D−1)(E−1) / (2 N ln 2), so
 * `specialization` shuffles labels
 * @param distributions shares or counts, each scaled to sum to 1: D rows of E
 * @param weights of the distributions, scaled to sum to 1; equal where absent
 * @throws RangeError for rows of different lengths, negative numbers, or a row without any share
 * @see Lin 1991, "Divergence measures based on the Shannon entropy", eq. 5.1
 * @example jensenShannon([[1, 0], [0, 1]]) // 1 bit: nothing in common
 */
export function jensenShannon(
  distributions: readonly ArrayLike<number>[],
  weights: ArrayLike<number> = distributions.map(() => 1),
): number {
  const [first] = distributions;
  if (first === undefined) throw new RangeError("jensenShannon: there must be at least one distribution, got none");
  if (weights.length !== distributions.length)
    throw new RangeError(
      `jensenShannon: there must be one weight for each distribution (${distributions.length}), got ${weights.length}`,
    );
  const mixture = new Float64Array(first.length);
  const allWeights = sumOf("the weights", weights);
  let within = 0;
  for (const [d, row] of distributions.entries()) {
    if (row.length !== first.length)
      throw new RangeError(
        `jensenShannon: distributions must have the same length (${first.length}), got ${row.length}`,
      );
    const sum = sumOf(`distribution ${d}`, row);
    const weight = weights[d]! / allWeights;
    for (let e = 0; e < row.length; e++) {
      const p = row[e]! / sum;
      mixture[e]! += weight * p;
      if (p > 0) within -= weight * p * Math.log2(p);
    }
  }
  const across = mixture.reduce((bits, p) => (p > 0 ? bits - p * Math.log2(p) : bits), 0);
  return Math.max(0, across - within); // rounding can leave −1e-16
}

function sumOf(what: string, values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (!(value >= 0 && value < Infinity))
      throw new RangeError(`jensenShannon: ${what} must hold numbers of at least 0, got ${shown(value)}`);
    sum += value;
  }
  if (sum === 0) throw new RangeError(`jensenShannon: ${what} must sum to more than 0, got 0`);
  return sum;
}
