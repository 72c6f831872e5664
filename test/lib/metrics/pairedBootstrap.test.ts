import { describe, expect, test } from "vitest";
import { ablationAgreement } from "../../../lib/metrics/ablationAgreement.ts";
import { type DocumentLosses, lossDifference } from "../../../lib/metrics/lossDifference.ts";
import { pairedBootstrap } from "../../../lib/metrics/pairedBootstrap.ts";
import { rankCorrelation } from "../../../lib/metrics/rankCorrelation.ts";

describe("pairedBootstrap", () => {
  test("of a mean is about the mean ± 1.96 standard errors", () => {
    const values = Array.from({ length: 400 }, (_, i) => (i * 7919) % 400);
    const mean = (picked: Int32Array): number => picked.reduce((sum, i) => sum + values[i]!, 0) / picked.length;
    const { value, low, high } = pairedBootstrap(400, mean, { draws: 4000 });
    const error = Math.sqrt((400 ** 2 - 1) / 12 / 400); // of 0 … 399, each once
    expect(value).toBe(199.5);
    expect(Math.abs(low - (199.5 - 1.96 * error))).toBeLessThan(1);
    expect(Math.abs(high - (199.5 + 1.96 * error))).toBeLessThan(1);
  });

  test("needs two units", () => {
    expect(() => pairedBootstrap(1, () => 0)).toThrow("pairedBootstrap: there must be at least two units, got 1");
  });
});

describe("lossDifference", () => {
  const losses = (...documents: number[][]): DocumentLosses => ({
    perToken: Float32Array.from(documents.flat()),
    offsets: Int32Array.from([0, ...documents.map((_, d) => documents.slice(0, d + 1).flat().length)]),
    mean: 0,
  });

  test("weighs tokens alike, pairs them, and tells each document's change", () => {
    const found = lossDifference(losses([2, 3, 4], [8]), losses([1, 1, 1], [9]));
    expect(found.value).toBe((1 + 2 + 3 - 1) / 4);
    expect([...found.perDocument]).toEqual([2, -1]);
    expect([...found.nTokens]).toEqual([3, 1]);
    expect([found.low, found.high]).toEqual([-1, 2]); // twice the one document, or twice the other
  });

  test("of a run and itself is nothing, with no doubt about it", () => {
    const base = losses([1, 5], [2, 2], [9]);
    expect(lossDifference(base, base)).toMatchObject({ value: 0, low: 0, high: 0 });
  });

  test("refuses other documents", () => {
    expect(() => lossDifference(losses([1, 2], [3]), losses([1], [2, 3]))).toThrow(
      "lossDifference: both must be losses of the same documents, got 2 of 3 tokens and 2 of 3 tokens",
    );
  });
});

describe("rankCorrelation", () => {
  test("is 1 − 6 Σ d² / (n (n² − 1)) where nothing is tied", () => {
    // Ranks 1 2 3 4 5 and 2 1 4 3 5: d² sums to 4.
    expect(rankCorrelation([10, 20, 30, 40, 50], [3, 1, 8, 5, 99])).toBeCloseTo(1 - (6 * 4) / (5 * 24), 12);
    expect(rankCorrelation([1, 2, 3], [-1, -20, -300])).toBeCloseTo(-1, 12);
  });

  test("gives ties their mean rank, leaves out what is not known, and knows nothing of what does not vary", () => {
    // Ranks 1.5 1.5 3 and 1 2 3: Pearson of them is 1.5 / √(1.5 · 2).
    expect(rankCorrelation([4, 4, 9, Number.NaN], [0, 1, 2, 3])).toBeCloseTo(1.5 / Math.sqrt(3), 12);
    expect(rankCorrelation([7, 7, 7], [1, 2, 3])).toBeNaN();
    expect(() => rankCorrelation([1], [1, 2])).toThrow("rankCorrelation: both must be equally long, got 1 and 2");
  });
});

describe("ablationAgreement", () => {
  // Two layers of three experts on two documents of 1 and 3 tokens.
  const changes = [1, 3, 2, 6, 4, 12, 5, 0, 0, 3, 0, 6];
  const perDocument = [1, 3];

  test("ranks experts within each layer by their change a token", () => {
    // Layer 0: 1, 2, 4 by both documents. Layer 1: 1.25, 0.75, 1.5 by both, 5, 0, 0 by the first, 0, 1, 2 by the second.
    const [same, mixed] = ablationAgreement({ changes, perDocument, nExperts: 3 }, [10, 20, 30, 1, 2, 3]);
    expect(same).toEqual({ value: 1, low: 1, high: 1 });
    expect(mixed!.value).toBeCloseTo(0.5, 12);
    expect(mixed!.high).toBeCloseTo(1, 12);
    expect(mixed!.low).toBeCloseTo(-Math.sqrt(3) / 2, 12);
  });

  test("refuses a measure of another size", () => {
    expect(() => ablationAgreement({ changes, perDocument, nExperts: 3 }, [1, 2, 3])).toThrow(
      "ablationAgreement: measure must be [n_layers, n_experts], 6 numbers, got 3",
    );
  });
});
