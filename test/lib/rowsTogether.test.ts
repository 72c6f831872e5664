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
    // By hand, in rows of 10⁵ numbers, 160 of which are a product's overhead, 48 the reading of its weights and 600 what left-over
    // rows cost: 64 · (100 + 48), 800 + 48 + 160 by themselves and 600 are 11,080; 64 · (900 + 48) are 60,672; one by one
    // 7,200 + 64 · (48 + 160) are 20,512.
    expect(rowsTogether(counts, 1e5, false)).toBe(100);
  });

  test("the fullest's, where what it has beyond the others is less than what left-over rows cost", () => {
    const counts = Int32Array.from({ length: 16 }, (_, e) => (e === 5 ? 120 : 100));
    // In rows of 10⁵ numbers: 16 · (100 + 48), 20 + 48 + 160 by themselves and 600 for what is left over are 3,196; 16 · (120 + 48)
    // are 2,688. With 170 rows the one would be by itself: 3,246 and 3,488.
    expect(rowsTogether(counts, 1e5, false)).toBe(120);
    expect(rowsTogether(counts.with(5, 170), 1e5, false)).toBe(100);
  });

  test("none, where what is saved is less than reading the weights of most experts once more", () => {
    const counts = Int32Array.of(28, 30, 42, 48, 51, 55, 57, 62, 70, 72, 76, 77, 77, 85, 89, 105);
    // In rows of 512 · 1792 numbers, about 17 of which are a product's overhead and 65 what left-over rows cost: one by one
    // 1,024 + 16 · (48 + 17) are 2,064. All at once 16 · (105 + 48) are 2,448. With 77 rows of each, which three experts exceed,
    // 16 · (77 + 48), of those three 48 + 3 · (48 + 17), and 65: 2,308.
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
      const product = (rows: number): number => (rows + 48) * numbers;
      const alone = [...counts].filter((rows) => rows > together).map((rows) => product(rows - together) + 1.6e7);
      const batched = together === 0 ? 0 : counts.length * product(together) + (alone.length > 0 ? 6e7 : 0);
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
