import { describe, expect, test } from "vitest";
import { cellRects, cellShape } from "../../viz/cell.ts";

describe("cellRects", () => {
  test("lays slices side by side, as wide as their weight", () => {
    const shape = cellShape(16, true, false);
    const inner = shape.width - 2;
    const [first, second, third] = cellRects(shape, [3, 9, 4], [0.5, 0.25, 0]);
    expect(first!.slice(0, 3)).toEqual([1, 1, inner / 2]);
    expect(second!.slice(0, 3)).toEqual([1 + inner / 2, 1, inner / 4]);
    expect(third![2]).toBe(0);
  });

  test("gives a weight below zero no width", () => {
    expect(cellRects(cellShape(8, true, false), [0, 1], [-1, 0.5])[0]![2]).toBe(0);
  });

  test.each([
    { nExperts: 64, columns: 8 },
    { nExperts: 128, columns: 16 },
    { nExperts: 60, columns: 8 },
    { nExperts: 256, columns: 16 },
  ])("maps $nExperts experts in $columns columns, each square its own and inside the cell", ({ nExperts, columns }) => {
    for (const compact of [false, true]) {
      const shape = cellShape(nExperts, false, compact);
      expect(shape.mapColumns).toBe(columns);
      const all = cellRects(
        shape,
        Array.from({ length: nExperts }, (_, e) => e),
        [],
      );
      expect(new Set(all.map(([x, y]) => `${x} ${y}`)).size).toBe(nExperts);
      for (const [x, y, width, height] of all) {
        expect(x + width).toBeLessThan(shape.width);
        expect(y + height).toBeLessThan(shape.height);
      }
    }
  });
});
