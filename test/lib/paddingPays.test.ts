import { describe, expect, test } from "vitest";
import { paddingPays } from "../../lib/paddingPays.ts";

const even = Int32Array.of(64, 64, 64, 64);

describe("whether all experts in one product are faster than one by one, where gradients are taken", () => {
  test("yes, where loads are equal: nothing is padded", () => {
    expect(paddingPays(even, 1e5)).toBe(true);
  });

  test("yes, where matrices are so small that a product costs little beside its dispatch", () => {
    expect(paddingPays(Int32Array.of(1, 200, 3, 0), 100)).toBe(true);
  });

  test("no, where one expert has nearly every row of long products", () => {
    expect(paddingPays(Int32Array.of(1, 2000, 0, 0), 1e6)).toBe(false);
  });

  test("by hand, in rows of 10⁵ numbers, 200 of which are a product's overhead and 48 the reading of its weights", () => {
    const counts = Int32Array.from({ length: 64 }, (_, e) => (e === 5 ? 300 : 100));
    // At once 64 · (300 + 48) are 22,272; one by one 6,600 + 64 · (48 + 200) are 22,472. With 310 rows 22,912 and 22,482.
    expect(paddingPays(counts, 1e5)).toBe(true);
    expect(paddingPays(counts.with(5, 310), 1e5)).toBe(false);
  });

  test("no, where a part of all experts takes more than 128 MB", () => {
    expect(paddingPays(even, 8e6)).toBe(true);
    expect(paddingPays(even, 9e6)).toBe(false);
  });
});
