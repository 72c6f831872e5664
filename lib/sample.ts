/** How the next token is drawn from its logits. */
export interface SamplingOptions {
  /** Divides the logits; 0 takes the likeliest token (ties: the lower id). Default 1. */
  temperature?: number;
  /** Only the k likeliest tokens may be drawn. Default: all. */
  topK?: number;
  /** Only the fewest likeliest tokens whose probabilities reach this sum may be drawn. Default 1: all. */
  topP?: number;
}

/** @throws RangeError for an option that makes no sense */
export function checkSampling({ temperature = 1, topK = 1, topP = 1 }: SamplingOptions): void {
  if (!(temperature >= 0 && temperature < Infinity))
    throw new RangeError(`generate: temperature must be a number from 0, got ${temperature}`);
  if (!Number.isInteger(topK) || topK < 1)
    throw new RangeError(`generate: topK must be a whole number from 1, got ${topK}`);
  if (!(topP > 0 && topP <= 1)) throw new RangeError(`generate: topP must be above 0 and at most 1, got ${topP}`);
}

/**
 * Draws a token.
 * @param logits [d_vocab]
 * @param uniform a number in [0, 1) that decides
 * @see Holtzman et al. 2020, arXiv:1904.09751, section 3.1, for top-p
 */
export function sampleToken(
  logits: Float32Array,
  uniform: number,
  { temperature = 1, topK = Infinity, topP = 1 }: SamplingOptions,
): number {
  const ranked = [...logits.keys()].sort((a, b) => logits[b]! - logits[a]! || a - b);
  const best = ranked[0]!;
  if (temperature === 0) return best;
  const kept = ranked.slice(0, topK);
  const odds = kept.map((id) => Math.exp((logits[id]! - logits[best]!) / temperature));
  const total = odds.reduce((a, b) => a + b, 0);
  let nucleus = 0;
  let mass = 0;
  while (nucleus < odds.length && mass < topP * total) mass += odds[nucleus++]!;
  let left = uniform * mass;
  for (let i = 0; i < nucleus; i++) {
    left -= odds[i]!;
    if (left < 0) return kept[i]!;
  }
  return kept[nucleus - 1]!;
}
