import { binomial, type Uniform } from "./random.ts";

/**
 * Adds to the counts what tokens would choose if each drew its top_k experts uniformly, without replacement and on its
 * own. An exact draw of the counts whose cost does not depend on the number of tokens: expert by expert, of the tokens
 * that still have j choices to make among the r experts left, binomial(·, j / r) take this one.
 * @param counts [n_experts], added to
 */
export function addUniformCounts(counts: Float64Array, nTokens: number, topK: number, uniform: Uniform): void {
  const waiting = new Float64Array(topK + 1); // tokens by choices still to make
  waiting[topK] = nTokens;
  for (let expert = 0; waiting[0]! < nTokens; expert++) {
    const left = counts.length - expert;
    for (let j = 1; j <= topK; j++) {
      const taken = binomial(waiting[j]!, j / left, uniform);
      counts[expert]! += taken;
      waiting[j]! -= taken;
      waiting[j - 1]! += taken;
    }
  }
}

/**
 * How many experts two top_k sets share if one is drawn uniformly: hypergeometric, C(k, m) · C(E−k, k−m) / C(E, k) for
 * m = 0 … k. The first entry is the chance to share none, so 1 less it is the "any overlap" of 72.8 % for 4 of 16.
 */
export function overlapProbabilities(nExperts: number, topK: number): Float64Array {
  const probabilities = new Float64Array(topK + 1);
  const logTotal = logChoose(nExperts, topK);
  for (let m = Math.max(0, 2 * topK - nExperts); m <= topK; m++)
    probabilities[m] = Math.exp(logChoose(topK, m) + logChoose(nExperts - topK, topK - m) - logTotal);
  return probabilities;
}

function logChoose(n: number, k: number): number {
  let sum = 0;
  for (let i = 1; i <= k; i++) sum += Math.log((n - k + i) / i);
  return sum;
}
