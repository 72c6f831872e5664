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
    // By hand: 64 · 100 rows and 800 by themselves, against 64 · 900 rows or 64 products of their own.
    expect(rowsTogether(counts, 1e5, false)).toBe(100);
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
      const product = (rows: number): number => Math.max(rows, 24) * numbers;
      const alone = [...counts].filter((rows) => rows > together).map((rows) => product(rows - together) + 1.2e7);
      return alone.reduce((a, b) => a + b, together === 0 ? 0 : counts.length * product(together));
    };
    for (let seed = 0; seed < 50; seed++) {
      const counts = Int32Array.from({ length: 16 }, (_, e) => Math.floor(300 * hashUniform(seed, e) ** 3));
      const numbers = 10 ** (3 + 3 * hashUniform(seed, 99));
      const chosen = cost(counts, numbers, rowsTogether(counts, numbers, false));
      for (const other of [0, ...counts]) expect(chosen).toBeLessThanOrEqual(cost(counts, numbers, other));
    }
  });
});
