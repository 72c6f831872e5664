import { Pairs } from "./pairs.ts";

/** What a count of 1, of 2, and of 3 or more is lowered by. */
type Discounts = readonly [number, number, number];

/** Where counts of 1 to 4 do not all occur, so that discounts cannot be estimated. */
const FALLBACK: Discounts = [0.5, 1, 1.5];

/** The n-grams of one length, and what is known of their contexts, the n-grams one shorter. */
interface Level {
  pairs: Pairs;
  /** By n-gram: how often it was seen if it is the longest, else how many different symbols stood before it. */
  counts: Int32Array;
  discounts: Discounts;
  /** By context: the sum of the counts of what follows it, and what the discounts take off that. */
  total: Int32Array;
  taken: Float64Array;
}

/**
 * A language model of n-grams with interpolated modified Kneser–Ney smoothing:
 * p(w | context) = (c − D(c) + taken · p(w | shorter context)) / Σ c, where `taken` is the sum of what the discounts D take
 * off the counts; a context that was not seen leaves the word to the shorter one, and the shortest of all is uniform. Counts
 * of all but the longest n-grams are of the different symbols before them. A document begins with n − 1 marks that no symbol
 * equals and ends with one that is predicted like the others.
 * @see Chen and Goodman 1999, "An empirical study of smoothing techniques for language modeling", section 3, eqs. 20 to 26
 */
export class NGram {
  readonly #nSymbols: number;
  readonly #levels: Level[];

  /**
   * @param documents symbols from 0 to below `nSymbols`
   * @param size n, from 1, and the number of symbols
   */
  constructor(documents: Iterable<ArrayLike<number>>, { order, nSymbols }: { order: number; nSymbols: number }) {
    this.#nSymbols = nSymbols;
    const counting = Array.from({ length: order }, () => ({ pairs: new Pairs(), counts: new Int32Array(1 << 16) }));
    for (const document of documents) {
      const numbers = [0];
      for (let n = 1; n < order; n++)
        for (let i = n; i >= 1; i--) numbers[i] = counting[i - 1]!.pairs.add(this.#key(numbers[i - 1]!, this.#mark));
      for (let i = 0; i <= document.length; i++) {
        const symbol = document[i] ?? this.#end;
        let isLongest = true;
        let longerIsNew = false;
        for (let n = order; n >= 1; n--) {
          const level = counting[n - 1]!;
          const known = level.pairs.size;
          const number = level.pairs.add(this.#key(numbers[n - 1]!, symbol));
          if (number >= level.counts.length) level.counts = longer(level.counts);
          if (isLongest || longerIsNew) level.counts[number]! += 1;
          longerIsNew = level.pairs.size > known;
          isLongest = false;
          numbers[n] = number;
        }
      }
    }
    this.#levels = counting.map(({ pairs, counts }, i) => this.#level(pairs, counts, counting[i - 1]?.pairs.size ?? 1));
  }

  /** −log2 of the probability of a document with its end: what an ideal code built on the model would need, in bits. */
  bits(document: ArrayLike<number>): number {
    let numbers = this.#start();
    let bits = 0;
    for (let i = 0; i <= document.length; i++) {
      const symbol = document[i] ?? this.#end;
      bits -= Math.log2(this.#probability(numbers, symbol));
      numbers = this.#after(numbers, symbol);
    }
    return bits;
  }

  /** The probability of each symbol, and last of the end, where a document begins with these: [n_symbols + 1]. */
  next(beginning: readonly number[]): Float64Array {
    const numbers = beginning.reduce((before, symbol) => this.#after(before, symbol), this.#start());
    return Float64Array.from({ length: this.#nSymbols + 1 }, (_, symbol) => this.#probability(numbers, symbol));
  }

  get #end(): number {
    return this.#nSymbols;
  }

  get #mark(): number {
    return this.#nSymbols + 1;
  }

  #key(context: number, symbol: number): number {
    return context * (this.#nSymbols + 2) + symbol;
  }

  #level(pairs: Pairs, counts: Int32Array, nContexts: number): Level {
    const occur = [0, 0, 0, 0];
    for (let i = 0; i < pairs.size; i++) if (counts[i]! >= 1 && counts[i]! <= 4) occur[counts[i]! - 1]! += 1;
    const discounts = estimate(occur);
    const total = new Int32Array(nContexts);
    const taken = new Float64Array(nContexts);
    pairs.each((key, number) => {
      const context = Math.floor(key / (this.#nSymbols + 2));
      total[context]! += counts[number]!;
      taken[context]! += discountOf(counts[number]!, discounts);
    });
    return { pairs, counts, discounts, total, taken };
  }

  /** The number of each n-gram that ends where a document begins, from the empty one on; -1 for one that was not seen. */
  #start(): number[] {
    let numbers = [0];
    for (let n = 1; n < this.#levels.length; n++) numbers = this.#after(numbers, this.#mark);
    return numbers;
  }

  #after(numbers: readonly number[], symbol: number): number[] {
    const longest = Math.min(numbers.length, this.#levels.length - 1);
    const next = [0];
    for (let n = 1; n <= longest; n++)
      next.push(numbers[n - 1] === -1 ? -1 : this.#levels[n - 1]!.pairs.find(this.#key(numbers[n - 1]!, symbol)));
    return next;
  }

  #probability(numbers: readonly number[], symbol: number): number {
    let p = 1 / (this.#nSymbols + 1);
    for (const [n, { pairs, counts, discounts, total, taken }] of this.#levels.entries()) {
      const context = numbers[n] ?? -1;
      if (context === -1 || total[context] === 0) break;
      const found = pairs.find(this.#key(context, symbol));
      const count = found === -1 ? 0 : counts[found]!;
      p = (count - discountOf(count, discounts) + taken[context]! * p) / total[context]!;
    }
    return p;
  }
}

function discountOf(count: number, discounts: Discounts): number {
  return count === 0 ? 0 : discounts[Math.min(count, 3) - 1]!;
}

/** Discounts from how many n-grams have a count of 1, 2, 3 and 4. */
function estimate([n1, n2, n3, n4]: readonly number[]): Discounts {
  if (!n1 || !n2 || !n3 || !n4) return FALLBACK;
  const y = n1 / (n1 + 2 * n2);
  return [1 - (2 * y * n2) / n1, 2 - (3 * y * n3) / n2, 3 - (4 * y * n4) / n3];
}

function longer(values: Int32Array): Int32Array<ArrayBuffer> {
  const grown = new Int32Array(2 * values.length);
  grown.set(values);
  return grown;
}
