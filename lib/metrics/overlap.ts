import { type Chance, meanOfDraws, type SimulationOptions } from "./chance.ts";
import { overlapProbabilities } from "./uniformRouting.ts";

/** How alike two sets of top_k experts are, by the number m that they share. */
export const OVERLAPS = {
  /** 1 where they share any. */
  anyOverlap: (m: number): number => (m > 0 ? 1 : 0),
  /** m / k. */
  meanOverlap: (m: number, topK: number): number => m / topK,
  /** m over the size of the union, m / (2k − m). */
  jaccard: (m: number, topK: number): number => m / (2 * topK - m),
} as const;

export type OverlapMeasure = keyof typeof OVERLAPS;

/**
 * How many of the first set are in the second; a set is top_k experts in a row.
 * @param from where the first set starts in a
 * @param other where the second set starts in b
 */
export function sharedExperts(a: Uint16Array, from: number, b: Uint16Array, other: number, topK: number): number {
  let shared = 0;
  for (let i = from; i < from + topK; i++) for (let j = other; j < other + topK; j++) if (a[i] === b[j]) shared += 1;
  return shared;
}

/**
 * Mean of a measure over pairs of sets.
 * @param sharing how many pairs share m experts: [top_k + 1]
 */
export function overlapOf(measure: OverlapMeasure, sharing: ArrayLike<number>): number {
  const topK = sharing.length - 1;
  let [sum, n] = [0, 0];
  for (let m = 0; m <= topK; m++) {
    sum += sharing[m]! * OVERLAPS[measure](m, topK);
    n += sharing[m]!;
  }
  return sum / n;
}

/** A measure over n pairs of sets where the second is drawn uniformly each time: its mean is exact. */
export function overlapChance(
  measure: OverlapMeasure,
  { nExperts, topK }: { nExperts: number; topK: number },
  n: number,
  options: SimulationOptions,
): Chance {
  const values = Array.from({ length: topK + 1 }, (_, m) => OVERLAPS[measure](m, topK));
  return meanOfDraws(values, overlapProbabilities(nExperts, topK), n, options);
}
