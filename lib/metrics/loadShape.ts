import { shown } from "../errors.ts";

/** How evenly a load is spread over experts, as plain numbers. */
export interface LoadShape {
  /** Largest share, a fraction of the assignments. */
  maxShare: number;
  /** Coefficient of variation: population standard deviation over mean. */
  cv: number;
  /** Largest count over mean, less 1. */
  maxVio: number;
  /** −Σ p ln p / ln E. */
  normalizedEntropy: number;
  /** Gini coefficient, 0 when all are equal, (E−1)/E when one expert has all. */
  gini: number;
  /** Herfindahl–Hirschman index, Σ p². */
  hhi: number;
  /** Effective number of experts by Σ p², 1 / hhi. */
  inverseHhi: number;
  /** Effective number of experts by entropy, exp(−Σ p ln p). */
  effectiveExperts: number;
  /** Jain's fairness index, (Σ n)² / (E · Σ n²). */
  jain: number;
}

/**
 * The shape of a load. With p = n / Σ n over E experts; an expert without tokens adds 0 to the entropy. All are NaN where
 * there is no assignment; a single expert has normalized entropy 1.
 * @param counts assignments of each expert: [n_experts]; their scale does not matter
 * @throws RangeError for no experts or a count that is negative or not finite
 * @see Wang et al. 2024, arXiv:2408.15664, eq. 4 (MaxVio); Jain et al. 1984, DEC-TR-301 (Jain's index)
 * @example loadShape([3, 1]).hhi // 0.625
 */
export function loadShape(counts: ArrayLike<number>): LoadShape {
  const n = counts.length;
  if (n === 0) throw new RangeError("loadShape: counts must hold at least one expert, got none");
  const rising = Float64Array.from(counts).sort();
  let total = 0;
  for (const count of rising) {
    if (!(count >= 0 && count < Infinity))
      throw new RangeError(`loadShape: a count must be a number of at least 0, got ${shown(count)}`);
    total += count;
  }
  let [hhi, entropy, ranked, variance] = [0, 0, 0, 0];
  for (let i = 0; i < n; i++) {
    const p = rising[i]! / total;
    hhi += p * p;
    if (p > 0) entropy -= p * Math.log(p);
    ranked += (2 * i + 1 - n) * p;
    variance += (p - 1 / n) ** 2 / n;
  }
  if (total === 0) entropy = Number.NaN;
  const maxShare = rising[n - 1]! / total;
  return {
    maxShare,
    cv: n * Math.sqrt(variance),
    maxVio: n * maxShare - 1,
    normalizedEntropy: n === 1 ? entropy + 1 : entropy / Math.log(n),
    gini: ranked / n,
    hhi,
    inverseHhi: 1 / hhi,
    effectiveExperts: Math.exp(entropy),
    jain: 1 / (n * hhi),
  };
}
