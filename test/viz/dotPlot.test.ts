import { describe, expect, test } from "vitest";
import { type Comparison, dotPlot } from "../../viz/dotPlot.ts";
import { byLine, COMPARISON } from "./samples.ts";

/** Horizontal places of filled dots of a colour, without the legend's. */
function places(svg: string, color: string): number[] {
  return [...svg.matchAll(new RegExp(`<circle cx="([\\d.]+)"[^>]*fill="${color}"`, "g"))]
    .slice(1)
    .map((m) => Number(m[1]));
}

describe("dotPlot", () => {
  test("draws dots, bars, a hollow dot and the baseline", async () => {
    await expect(byLine(dotPlot(COMPARISON).svg)).toMatchFileSnapshot("snapshots/dotPlot.svg");
  });

  test("places values in proportion, and ratios on a logarithmic axis", () => {
    const of = (values: number[], logValues: boolean): number[] => {
      const rows = values.map((value) => ({ name: `${value}`, dots: [{ value }] }));
      return places(
        dotPlot({ ...COMPARISON, series: ["a"], rows, baseline: { value: 1, name: "one" } }, { logValues }).svg,
        "#32367c",
      );
    };
    const [a, b, c] = of([1, 2, 4], false);
    expect((c! - a!) / (b! - a!)).toBeCloseTo(3, 1);
    const [d, e, f] = of([1, 2, 4], true);
    expect((f! - d!) / (e! - d!)).toBeCloseTo(2, 1);
  });

  test("says in words what is largest and least, and what was got in another way", () => {
    const figure = dotPlot(COMPARISON);
    expect(figure.text).toBe(
      "Two tests: 100 questions each. accuracy, %: sums: from 50 (ours) to 70 (theirs); spelling <b>: 80.",
    );
    const html = figure.bundle()["text/html"]!;
    expect(html).toContain("50 (40 to 60)");
    expect(html).toContain("70, 8-shot");
    expect(html).not.toContain("<b>");
  });

  test.each<[string, Partial<Comparison>, string]>([
    ["no series", { series: [] }, "dotPlot: series must be 1 to 12, got 0"],
    ["no rows", { rows: [] }, "dotPlot: rows must be 1 to 120, got 0"],
    [
      "a row of another length",
      { rows: [{ name: "x", dots: [null] }] },
      'dotPlot: dots of "x" must be [n_series] = [2], got 1',
    ],
    ["no dot", { rows: [{ name: "x", dots: [null, null] }] }, "dotPlot: rows must hold a dot, got none"],
    [
      "an infinity",
      { rows: [{ name: "x", dots: [{ value: 1, high: Infinity, low: 0 }, null] }] },
      "a value must be finite, got Infinity",
    ],
  ])("refuses %s", (_, part, message) => {
    expect(() => dotPlot({ ...COMPARISON, ...part })).toThrow(message);
  });

  test("refuses what a logarithmic axis cannot hold", () => {
    const rows = [{ name: "x", dots: [{ value: 0 }, null] }];
    expect(() => dotPlot({ ...COMPARISON, rows }, { logValues: true })).toThrow(
      "a value must be finite and above 0, got 0",
    );
  });
});
