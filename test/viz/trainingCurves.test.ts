import { describe, expect, test } from "vitest";
import { trainingCurves } from "../../viz/trainingCurves.ts";
import { byLine, HISTORY } from "./samples.ts";

const steps = (n: number): number[] => Array.from({ length: n }, (_, i) => i + 1);

describe("trainingCurves", () => {
  test("draws a loss, and a load of two layers", async () => {
    await expect(byLine(trainingCurves(HISTORY).svg)).toMatchFileSnapshot("snapshots/trainingCurves.svg");
  });

  test("keeps few steps as they are, and marks what was not measured", () => {
    const { data } = trainingCurves(HISTORY);
    expect([data.first, data.last]).toEqual([
      [1, 10, 100, 1000],
      [1, 10, 100, 1000],
    ]);
    expect([...data.panels[0]!.lines[0]!.mean]).toEqual([8, 6, 4, 2]);
    expect(data.panels[1]!.lines.map(({ layer, mean }) => [layer, ...mean])).toEqual([
      [0, 0.5, Number.NaN, 0.25, 0.125],
      [3, 1, Number.NaN, 0.75, 0.5],
    ]);
  });

  test("takes steps that share a point together: mean, lowest and highest", () => {
    const { data } = trainingCurves({
      steps: steps(3500),
      curves: [{ name: "loss", values: steps(3500).map((s) => s % 10) }],
    });
    // A single panel is 700 pixels wide: 350 points of 10 steps each.
    expect(data.nSteps.length).toBe(350);
    expect(data.nSteps.reduce((a, b) => a + b)).toBe(3500);
    const { mean, low, high } = data.panels[0]!.lines[0]!;
    expect([data.first[5], data.last[5], mean[5], low[5], high[5]]).toEqual([51, 60, 4.5, 0, 9]);
  });

  test("gives the beginning room on a logarithmic axis", () => {
    const curves = [{ name: "loss", values: steps(1000) }];
    const points = (logSteps: boolean): number => {
      const { last } = trainingCurves({ steps: steps(1000), curves }, { logSteps }).data;
      return last.filter((step) => step <= 100).length / last.length;
    };
    expect(points(false)).toBeCloseTo(0.1, 1);
    expect(points(true)).toBeGreaterThan(0.3);
  });

  test("says where each quantity starts and ends, beside its baseline", () => {
    expect(trainingCurves(HISTORY).text).toBe(
      "Training, step by step: cross-entropy, MaxVio: 4 steps measured, from 1 to 1,000. " +
        "cross-entropy, nats: 8 to 2, uniform guess 8.3; MaxVio: 0.5–1 to 0.125–0.5, even load 0.",
    );
  });

  test("sets a long name in lines, and moves the row of its panel down", () => {
    const name = "part of the tokens whose chosen experts are already those of the last step that was saved, by layer";
    const curve = { name: "a", values: [1, 2], baseline: { value: 1, name: "what an even load would give" } };
    const top = (svg: string): number => Number(/<path d="M58 (\d+)h291" stroke/.exec(svg)![1]);
    const [short, long] = ["a", name].map(
      (own) => trainingCurves({ steps: [1, 2], curves: [{ ...curve, name: own }, curve] }).svg,
    ) as [string, string];
    expect(top(long) - top(short)).toBe(14);
    // Each line as a text of its own, none longer than the panel's 393 pixels of about 7.6 a letter.
    const lines = [...long.matchAll(/font-weight="bold">([^<]+)</g)].map((match) => match[1]!);
    expect(lines.slice(0, 2).join(" ")).toBe(name);
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(51);
    expect(long).not.toContain(">what an even load would give<");
    expect(long).toContain(">what an even<");
    // A title of 105 letters and more would leave the picture, which holds 76.
    expect(long).toContain(">Training, step by step: 2 quantities<");
  });

  test("labels lines apart from each other where they end together", () => {
    const close = Array.from({ length: 6 }, (_, l) => [1, 2 + l / 1000]);
    const { svg } = trainingCurves({ steps: [1, 2], curves: [{ name: "a", values: close }] });
    const ys = [...svg.matchAll(/y="([\d.]+)">layer \d/g)].map((match) => Number(match[1])).sort((a, b) => a - b);
    expect(ys.length).toBe(6);
    for (const [i, y] of ys.slice(1).entries()) expect(y - ys[i]!).toBeGreaterThanOrEqual(10.999);
  });

  test("draws a single step and a constant", () => {
    expect(trainingCurves({ steps: [7], curves: [{ name: "a", values: [3] }] }).svg).not.toContain("NaN");
    expect(trainingCurves({ steps: [1, 2], curves: [{ name: "a", values: [0, 0] }] }).svg).not.toContain("NaN");
  });

  test("refuses what has no course", () => {
    const of =
      (name: string, values: number[] | number[][]): (() => void) =>
      () =>
        void trainingCurves({ steps: [1, 2], curves: [{ name, values }] });
    expect(() => trainingCurves({ steps: [], curves: [] })).toThrow(
      "trainingCurves: steps must hold at least one step, got none",
    );
    expect(() => trainingCurves({ steps: [2, 2], curves: [] })).toThrow("trainingCurves: steps must rise, got 2 at 1");
    expect(() => trainingCurves({ steps: [0, 2], curves: [] }, { logSteps: true })).toThrow(
      "steps must be above 0 for logSteps, got 0",
    );
    expect(() => trainingCurves({ steps: [1], curves: [] })).toThrow("trainingCurves: curves must be 1 to 8, got 0");
    expect(of("a", [1])).toThrow('trainingCurves: values of "a" must be [n_steps] = [2], got 1');
    expect(of("a", [1, Infinity])).toThrow('values of "a" must be finite or NaN, got Infinity');
    expect(of("a", [Number.NaN, Number.NaN])).toThrow('values of "a" must hold a number, got none');
    expect(
      of(
        "a",
        Array.from({ length: 65 }, () => [1, 2]),
      ),
    ).toThrow('values of "a" must have 1 to 64 layers, got 65');
    expect(() => trainingCurves({ ...HISTORY, layers: [0] })).toThrow(
      'layers must name the 2 layers of "MaxVio", got 1',
    );
  });
});
