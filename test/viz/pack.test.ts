import { describe, expect, test } from "vitest";
import { packCoarse, packReal, packWhole } from "../../viz/pack.ts";
import { unpack } from "../../viz/unpack.ts";

describe("packWhole", () => {
  test.each([[[0, 255, 7]], [[0, 256, 65535]], [[15, 0, 7]], [[1, 2]], [[]]])("gives %o back", (values) => {
    expect([...unpack(packWhole(values))]).toEqual(values);
  });

  test("takes half a byte or one byte each where that suffices", () => {
    expect(packWhole([15, 3, 1]).data).toHaveLength(4);
    expect(packWhole([16, 3, 1]).type).toBe("u1");
    expect(packWhole([255]).type).toBe("u1");
    expect(packWhole([256]).type).toBe("u2");
  });
});

describe("packReal", () => {
  test("keeps every value within its stated error", () => {
    const values = Array.from({ length: 1000 }, (_, i) => Math.sin(i) * 3);
    const back = unpack(packReal(values));
    for (const [i, value] of values.entries())
      expect(Math.abs(back[i]! - value)).toBeLessThanOrEqual(6 / 131_068 + 1e-12);
  });

  test("keeps NaN, the ends, and a constant", () => {
    expect([...unpack(packReal([Number.NaN, -1, 2]))]).toEqual([Number.NaN, -1, 2]);
    expect([...unpack(packReal([0.3, 0.3]))]).toEqual([0.3, 0.3]);
    expect([...unpack(packReal([Number.NaN]))]).toEqual([Number.NaN]);
  });

  test("refuses an infinity", () => {
    expect(() => packReal([1, -Infinity])).toThrow("figure: every value must be finite or NaN, got -Infinity");
  });
});

describe("packCoarse", () => {
  test("keeps every value within its stated error, in a byte each", () => {
    const values = Array.from({ length: 999 }, (_, i) => Math.sin(i) * 3);
    const packed = packCoarse(values);
    const back = unpack(packed);
    expect(packed.data).toHaveLength(1332);
    for (const [i, value] of values.entries()) expect(Math.abs(back[i]! - value)).toBeLessThanOrEqual(6 / 508 + 1e-12);
  });

  test("keeps NaN, the ends, and a constant", () => {
    expect([...unpack(packCoarse([Number.NaN, -1, 2]))]).toEqual([Number.NaN, -1, 2]);
    expect([...unpack(packCoarse([0.3, 0.3]))]).toEqual([0.3, 0.3]);
  });
});
