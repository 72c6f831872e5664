import { describe, expect, test } from "vitest";
import { hashUniform } from "../../lib/random.ts";
import { rowsTogether } from "../../lib/rowsTogether.ts";

const even = Int32Array.of(64, 64, 64, 64);

describe("how many rows of each expert are batched", () => {
  test("all, where loads are equal: padding costs nothing", () => {
    expect(rowsTogether(even, 1e5, false)).toBe(64);
    expect(rowsTogether(even, 1e5, true)).toBe(64);
  });

  test("all, where matrices are so small that a product costs little beside its dispatch", () => {
    expect(rowsTogether(Int32Array.of(1, 200, 3, 0), 100, false)).toBe(200);
  });

  test("none, where one expert has nearly every row of long products", () => {
    expect(rowsTogether(Int32Array.of(1, 2000, 0, 0), 1e6, false)).toBe(0);
  });

  test("what most experts have, where one has far more", () => {
    const counts = Int32Array.from({ length: 64 }, (_, e) => (e === 5 ? 900 : 100));
    // By hand, in rows of 10⁵ numbers, 80 of which are a product's overhead and 32 the reading of its weights: 64 · (100 + 32)
    // and 800 + 32 + 80 by themselves are 9,360; 64 · (900 + 32) are 59,648; one by one 7,200 + 64 · (32 + 80) are 14,368.
    expect(rowsTogether(counts, 1e5, false)).toBe(100);
  });

  test("the fullest's, where what it has beyond the others is less than what left-over rows cost", () => {
    const counts = Int32Array.from({ length: 16 }, (_, e) => (e === 5 ? 120 : 100));
    // In rows of 10⁵ numbers: 16 · (100 + 32), 20 + 32 + 80 by themselves and 300 for what is left over are 2,544; 16 · (120 + 32)
    // are 2,432. With 140 rows the one would be by itself: 2,564 and 2,752.
    expect(rowsTogether(counts, 1e5, false)).toBe(120);
    expect(rowsTogether(counts.with(5, 140), 1e5, false)).toBe(100);
  });

  test("none, where what is saved is less than reading the weights of most experts once more", () => {
    const counts = Int32Array.of(28, 30, 42, 48, 51, 55, 57, 62, 70, 72, 76, 77, 77, 85, 89, 105);
    // In rows of 512 · 1792 numbers, about 9 of which are a product's overhead: one by one 1,024 + 16 · (32 + 9) are 1,680. With
    // 30 rows of each, which two experts do with, 16 · (30 + 32), and of the other fourteen 546 + 14 · (32 + 9): 2,112.
    expect(rowsTogether(counts, 512 * 1792, false)).toBe(0);
  });

  test("all or none, where gradients are taken", () => {
    const counts = Int32Array.from({ length: 64 }, (_, e) => (e === 5 ? 900 : 100));
    expect([0, 900]).toContain(rowsTogether(counts, 1e5, true));
  });

  test("none, where a part of all experts takes more than 128 MB", () => {
    expect(rowsTogether(even, 8e6, false)).toBeGreaterThan(0);
    expect(rowsTogether(even, 9e6, false)).toBe(0);
  });

  test("never costs more than none or all by the same reckoning, whatever the loads", () => {
    const cost = (counts: Int32Array, numbers: number, together: number): number => {
      const product = (rows: number): number => (rows + 32) * numbers;
      const alone = [...counts].filter((rows) => rows > together).map((rows) => product(rows - together) + 8e6);
      const batched = together === 0 ? 0 : counts.length * product(together) + (alone.length > 0 ? 3e7 : 0);
      return alone.reduce((a, b) => a + b, batched);
    };
    for (let seed = 0; seed < 50; seed++) {
      const counts = Int32Array.from({ length: 16 }, (_, e) => Math.floor(300 * hashUniform(seed, e) ** 3));
      const numbers = 10 ** (3 + 3 * hashUniform(seed, 99));
      const chosen = cost(counts, numbers, rowsTogether(counts, numbers, false));
      for (const other of [0, ...counts]) expect(chosen).toBeLessThanOrEqual(cost(counts, numbers, other));
    }
  });
});
