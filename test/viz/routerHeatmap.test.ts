import { describe, expect, test } from "vitest";
import { routerHeatmap } from "../../viz/routerHeatmap.ts";
import { byLine, largeTrace, SMALL } from "./samples.ts";

describe("routerHeatmap", () => {
  test("draws one layer of three tokens", async () => {
    await expect(byLine(routerHeatmap(SMALL, { layer: 2 }).svg)).toMatchFileSnapshot("snapshots/routerHeatmap.svg");
  });

  test("takes the layer by its number in the model", () => {
    const { layer, probs, chosen } = routerHeatmap(SMALL, { layer: 2 }).data;
    expect(layer).toBe(2);
    expect([...probs]).toEqual([0.125, 0.375, 0.375, 0.125, 0.0625, 0.75, 0.0625, 0.125, 0.125, 0.25, 0.5, 0.125]);
    expect([...chosen]).toEqual([1, 2, 1, 3, 2, 1]);
  });

  test("measures the margin between the last chosen and the first left out", () => {
    const { margin } = routerHeatmap(SMALL, { layer: 2 }).data;
    // Sorted rows: .375 .375 .125 .125; .75 .125 .0625 .0625; .5 .25 .125 .125.
    expect([...margin]).toEqual([0.25, 0.0625, 0.125]);
  });

  test("measures entropy in nats", () => {
    const { entropy } = routerHeatmap(SMALL, { layer: 2 }).data;
    expect(entropy[2]).toBeCloseTo(0.25 * Math.log(4) + 0.5 * Math.log(2) + 0.25 * Math.log(8), 6);
  });

  test("finds a uniform router as unsure as can be and every choice close", () => {
    const uniform = { ...SMALL, routerProbs: new Float32Array(24).fill(0.25) };
    const figure = routerHeatmap(uniform);
    for (const h of figure.data.entropy) expect(h).toBeCloseTo(Math.log(4), 6);
    expect(figure.text).toContain("3 choices are closer than 0.025; mean entropy 1.39 of at most 1.39 nats");
  });

  test("has no margin where every expert is chosen", () => {
    const dense = {
      ...SMALL,
      nExperts: 2,
      routerProbs: new Float32Array(12).fill(0.5),
      expertIndices: SMALL.expertIndices.map((e) => e % 2),
    };
    const figure = routerHeatmap(dense);
    expect([...figure.data.margin]).toEqual([Number.NaN, Number.NaN, Number.NaN]);
    expect(figure.svg).toContain("no margin: all chosen");
  });

  test("turns to an image beyond 4,000 cells", () => {
    const trace = largeTrace(128, 64, 8, 1);
    expect(routerHeatmap(trace, { end: 62 }).svg).not.toContain("<image");
    expect(routerHeatmap(trace).svg).toContain("<image");
  });

  test("refuses a trace without probabilities, an unknown layer, and NaN", () => {
    expect(() => routerHeatmap({ ...SMALL, routerProbs: null })).toThrow(
      "routerHeatmap: trace.routerProbs must be recorded, got null",
    );
    expect(() => routerHeatmap(SMALL, { layer: 1 })).toThrow("routerHeatmap: layer must be one of 0, 2, got 1");
    expect(() => routerHeatmap({ ...SMALL, routerProbs: SMALL.routerProbs!.with(0, Number.NaN) })).toThrow(
      "routerHeatmap: router probabilities must be finite, got NaN at 0 of the window",
    );
  });
});
