import { describe, expect, test } from "vitest";
import { checkShape, shapeText } from "../../lib/axes.ts";
import { ShapeError } from "../../lib/errors.ts";

describe("a declared shape", () => {
  test("is written in square brackets, outermost axis first", () => {
    expect(shapeText(["batch", "pos", "d_model"])).toBe("[batch, pos, d_model]");
    expect(shapeText([2, "n_experts"])).toBe("[2, n_experts]");
    expect(shapeText([])).toBe("[]");
  });

  test("fits sizes that are its own; an axis without a size may have any, 0 too", () => {
    expect(() => checkShape("x", [4, 3, 1], ["batch", "n_experts", 1], { n_experts: 3 })).not.toThrow();
    expect(() => checkShape("x", [0, 6], ["n_routed", "d_ff"], { d_ff: 6 })).not.toThrow();
    expect(() => checkShape("x", [], [], {})).not.toThrow();
  });

  test.each<[string, number[], string]>([
    ["another size", [2, 5, 7], "[2, 5, 7]"],
    ["axes in another order", [2, 8, 5], "[2, 8, 5]"],
    ["too few axes", [2, 8], "[2, 8]"],
    ["too many axes", [2, 5, 8, 1], "[2, 5, 8, 1]"],
    ["no axis", [], "[]"],
  ])("refuses %s in one line with both shapes", (_, actual, shown) => {
    expect(() => checkShape("hook x", actual, ["batch", "pos", "d_model"], { pos: 5, d_model: 8 })).toThrow(
      new ShapeError(`hook x: shape must be [batch, pos, d_model] = [any, 5, 8], got ${shown}`),
    );
  });
});
