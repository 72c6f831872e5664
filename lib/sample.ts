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
  const best = likeliest(logits);
  if (temperature === 0) return best;
  const oddsOf = (id: number): number => Math.exp((logits[id]! - logits[best]!) / temperature);
  const ranking = new Ranking(logits);
  let kept = Math.min(topK, logits.length);
  let mass = 0;
  for (let i = 0; i < kept; i++) mass += oddsOf(kept < logits.length ? ranking.at(i) : i);
  if (topP < 1) {
    const wanted = topP * mass;
    mass = 0;
    let nucleus = 0;
    while (nucleus < kept && mass < wanted) mass += oddsOf(ranking.at(nucleus++));
    kept = nucleus;
  }
  let left = uniform * mass;
  for (let i = 0; i < kept - 1; i++) {
    left -= oddsOf(ranking.at(i));
    if (left < 0) return ranking.at(i);
  }
  return ranking.at(kept - 1);
}

/** The token with the largest logit; of equals the lowest id. */
function likeliest(logits: Float32Array): number {
  let best = 0;
  for (let id = 1; id < logits.length; id++) if (logits[id]! > logits[best]!) best = id;
  return best;
}

/** Tokens by falling logit, of equals the lower id first, found as they are asked for: mostly few are (a binary heap). */
class Ranking {
  readonly #logits: Float32Array;
  readonly #heap: Int32Array;
  #size: number;
  readonly #ranked: number[] = [];

  constructor(logits: Float32Array) {
    this.#logits = logits;
    this.#size = logits.length;
    this.#heap = Int32Array.from(logits.keys());
    for (let place = (this.#size >> 1) - 1; place >= 0; place--) this.#sink(place);
  }

  /** The token of a rank, from 0. */
  at(rank: number): number {
    while (this.#ranked.length <= rank) {
      this.#ranked.push(this.#heap[0]!);
      this.#heap[0] = this.#heap[--this.#size]!;
      this.#sink(0);
    }
    return this.#ranked[rank]!;
  }

  /** Moves the token at a place down until none below it comes first. */
  #sink(place: number): void {
    const heap = this.#heap;
    const id = heap[place]!;
    for (let child = 2 * place + 1; child < this.#size; child = 2 * place + 1) {
      if (child + 1 < this.#size && this.#first(heap[child + 1]!, heap[child]!)) child++;
      if (!this.#first(heap[child]!, id)) break;
      heap[place] = heap[child]!;
      place = child;
    }
    heap[place] = id;
  }

  #first(a: number, b: number): boolean {
    const [x, y] = [this.#logits[a]!, this.#logits[b]!];
    return x > y || (x === y && a < b);
  }
}
