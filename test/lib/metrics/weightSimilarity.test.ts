import { describe, expect, test } from "vitest";
import { seeded, shuffle } from "../../../lib/metrics/random.ts";
import { weightSimilarity } from "../../../lib/metrics/weightSimilarity.ts";

/** Numbers with mean 0 and variance 1, near enough to normal: sums of twelve. */
function noise(n: number, seed: number): Float32Array {
  const uniform = seeded(seed);
  const one = (): number => Array.from({ length: 12 }, uniform).reduce((sum, u) => sum + u, -6);
  return Float32Array.from({ length: n }, one);
}

describe("weightSimilarity", () => {
  test("knows an expert again whose neurons were put in another order", () => {
    const [dFf, width] = [12, 20];
    const a = noise(dFf * width, 1);
    const order = Int32Array.from({ length: dFf }, (_, i) => i);
    shuffle(order, seeded(2));
    const b = new Float32Array(a.length);
    for (const [to, from] of order.entries()) b.set(a.subarray(from * width, (from + 1) * width), to * width);
    const found = weightSimilarity(
      a,
      b.map((x) => 3 * x),
      { dFf },
    );
    expect(found.aligned).toBeCloseTo(1, 5);
    expect(Math.abs(found.unaligned)).toBeLessThan(0.5);
    for (const [row, column] of found.match.entries()) expect(order[column]).toBe(row);
  });

  test("finds strangers within chance, which aligning lifts above 0", () => {
    let inside = 0;
    for (let seed = 1; seed <= 20; seed++) {
      const { aligned, chance } = weightSimilarity(noise(240, seed), noise(240, 100 + seed), { dFf: 12, draws: 60 });
      inside += Number(aligned >= chance.low && aligned <= chance.high);
      expect(chance.low).toBeGreaterThan(0.1);
    }
    expect(inside).toBeGreaterThanOrEqual(16);
  });

  test("is the plain cosine for one neuron", () => {
    const found = weightSimilarity(Float32Array.from([3, 4]), Float32Array.from([4, 3]), { dFf: 1 });
    expect(found.aligned).toBeCloseTo(24 / 25, 6);
    expect(found.unaligned).toBe(found.aligned);
  });

  test("has no angle to an expert of zeros, and refuses experts of different sizes", () => {
    expect(weightSimilarity(new Float32Array(4), noise(4, 1), { dFf: 2 }).aligned).toBeNaN();
    expect(() => weightSimilarity(noise(4, 1), noise(6, 1), { dFf: 2 })).toThrow(
      "weightSimilarity: both experts must be [d_ff, width] with d_ff 2, got 4 and 6 numbers",
    );
    expect(() => weightSimilarity(noise(4, 1), noise(4, 1), { dFf: 3 })).toThrow("with d_ff 3");
  });
});
