import { describe, expect, test } from "vitest";
import { NGram } from "../../../scripts/reference/ngram.ts";
import { seeded } from "../../helpers.ts";

/** Random documents over few symbols, the next one likely near the last. */
function documents(nSymbols: number, lengths: readonly number[], seed: number): number[][] {
  const random = seeded(seed);
  return lengths.map((length) => {
    let last = 0;
    return Array.from({ length }, () => {
      last = (last + Math.floor(random() ** 3 * nSymbols)) % nSymbols;
      return last;
    });
  });
}

/** The same model from its definition, in strings and maps. */
function oracle(texts: readonly number[][], order: number, nSymbols: number) {
  const padded = texts.map((text) => [...Array<string>(order - 1).fill("^"), ...text.map(String), "$"]);
  const grams = (n: number): string[][] =>
    padded.flatMap((text) => text.slice(order - 1).map((_, i) => text.slice(order + i - n, order + i)));
  const countsOf = (n: number): Map<string, number> => {
    const counts = new Map<string, number>();
    const seen =
      n === order ? grams(n) : [...new Set(grams(n + 1).map((g) => g.join()))].map((g) => g.split(",").slice(1));
    for (const gram of seen) counts.set(gram.join(), (counts.get(gram.join()) ?? 0) + 1);
    return counts;
  };
  const p = (context: string[], symbol: string): number => {
    const n = context.length + 1;
    const lower = n === 1 ? 1 / (nSymbols + 1) : p(context.slice(1), symbol);
    const counts = countsOf(n);
    const of = (k: number): number => [...counts.values()].filter((count) => count === k).length;
    const y = of(1) / (of(1) + 2 * of(2));
    const estimated = [1, 2, 3].map((k) => k - ((k + 1) * y * of(k + 1)) / of(k));
    const discounts = [1, 2, 3, 4].every((k) => of(k) > 0) ? estimated : [0.5, 1, 1.5];
    const discount = (count: number): number => (count === 0 ? 0 : discounts[Math.min(count, 3) - 1]!);
    const follow = [...counts].filter(([gram]) => gram.split(",").slice(0, -1).join() === context.join());
    const total = follow.reduce((sum, [, count]) => sum + count, 0);
    if (total === 0) return lower;
    const taken = follow.reduce((sum, [, count]) => sum + discount(count), 0);
    const count = counts.get([...context, symbol].join()) ?? 0;
    return (count - discount(count) + taken * lower) / total;
  };
  return (beginning: readonly number[], symbol: number): number => {
    const before = [...Array<string>(order - 1).fill("^"), ...beginning.map(String)].slice(beginning.length);
    return p(before, symbol === nSymbols ? "$" : String(symbol));
  };
}

describe("NGram", () => {
  test("of two documents, ab and a, gives the probabilities worked out by hand", () => {
    // Before a stands only the mark, before b only a, before the end a and b: continuation counts 1, 1, 2 of 4. Too few for
    // estimates, so 0.5 and 1 come off counts of 1 and 2: 2 of the 4, shared out evenly over the three.
    const [a, b, end] = [7 / 24, 7 / 24, 10 / 24];
    const model = new NGram([[0, 1], [0]], { order: 2, nSymbols: 2 });
    const rows: [number[], number[]][] = [
      [[], [(2 - 1 + a) / 2, b / 2, end / 2]], // after the mark: a twice
      [[0], [a / 2, (0.5 + b) / 2, (0.5 + end) / 2]], // after a: b once, the end once
      [
        [0, 1],
        [0.5 * a, 0.5 * b, 0.5 + 0.5 * end],
      ], // after b: the end once
    ];
    for (const [beginning, expected] of rows)
      for (const [symbol, p] of model.next(beginning).entries()) expect(p).toBeCloseTo(expected[symbol]!, 14);
    expect(model.bits([0, 1])).toBeCloseTo(-Math.log2((31 / 48) * (19 / 48) * (17 / 24)), 12);
  });

  test("is what its definition gives, with estimated discounts and without, for seen and unseen contexts", () => {
    for (const [order, nSymbols, lengths] of [
      [3, 5, [60, 0, 40, 1]],
      [4, 3, [80, 50]],
      [1, 4, [9, 3]],
    ] as const) {
      const texts = documents(nSymbols, lengths, order);
      const model = new NGram(texts, { order, nSymbols });
      const p = oracle(texts, order, nSymbols);
      for (const beginning of [[], [0], [2, 0], [1, 2, 0], [2, 2, 2, 2], [0, 1, 0, 1, 0]])
        for (const [symbol, found] of model.next(beginning).entries())
          expect(found, `${order}: ${beginning.join()} ${symbol}`).toBeCloseTo(p(beginning, symbol), 12);
    }
  });

  test("gives probabilities that sum to 1, and the bits of a document as the sum over its symbols", () => {
    const texts = documents(11, [500, 300, 20], 3);
    const model = new NGram(texts, { order: 5, nSymbols: 11 });
    const [fresh] = documents(11, [40], 9);
    let bits = 0;
    for (let i = 0; i <= fresh!.length; i++) {
      const next = model.next(fresh!.slice(0, i));
      expect(next.reduce((sum, p) => sum + p, 0)).toBeCloseTo(1, 12);
      bits -= Math.log2(next[fresh![i] ?? 11]!);
    }
    expect(model.bits(fresh!)).toBeCloseTo(bits, 9);
  });

  test("grows beyond its first tables", () => {
    // 70,000 pairs of symbols that all differ, each seen once: an n-gram seen once keeps 0.5, by the fallback.
    const n = 70_000;
    const once = Array.from({ length: n }, (_, i) => i);
    const model = new NGram([once], { order: 2, nSymbols: n });
    // Every symbol and the end has one symbol before it: uniform, and so is what the shorter context gives.
    const uniform = 1 / (n + 1);
    expect(model.bits(once) / (n + 1)).toBeCloseTo(-Math.log2(0.5 + 0.5 * uniform), 9);
  });
});
