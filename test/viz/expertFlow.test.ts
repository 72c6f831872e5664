import { describe, expect, test } from "vitest";
import { expertFlow } from "../../viz/expertFlow.ts";
import { byLine, largeTrace, SMALL } from "./samples.ts";

describe("expertFlow", () => {
  test("draws three tokens through two layers", async () => {
    await expect(byLine(expertFlow(SMALL, { minShare: 0.1 }).svg)).toMatchFileSnapshot("snapshots/expertFlow.svg");
  });

  test("says its threshold, what is below it, and the largest link beside the expected one", () => {
    // 0 → 1 carries 1.046875 of 3 tokens, expected 1.875 · 1.625 / 3; what is left of 3 is 1.203125.
    expect(expertFlow(SMALL, { minShare: 0.2 }).text).toBe(
      "Flow from expert to expert, 2 of 4 for each token: layers 0, 2: 3 tokens; ribbons: links of at least " +
        "20 % = 0.6 tokens; the rest, 40.1 % of the flow, in grey. Largest links: layer 0 to 2: 0 → 1 with 34.9 %, 1.0 × as expected.",
    );
  });

  test("makes blocks as high as loads and ribbons as thick as links", () => {
    const { svg } = expertFlow(SMALL, { minShare: 0.2 });
    // 380 pixels less three gaps of 6 hold 3 tokens: 1.875 of them are 226.25 high, 1.046875 are 126.32.
    expect(svg).toContain("h18v226.25h");
    expect(svg).toContain('stroke-width="126.32"');
  });

  test("chooses evenly spread layers where there are more than can be followed", () => {
    expect(expertFlow(largeTrace(20, 16, 4, 40)).data.layers).toEqual([0, 6, 11, 17, 22, 28, 33, 39]);
    expect(expertFlow(largeTrace(20, 64, 8, 10)).data.layers).toEqual([0, 3, 6, 9]);
    expect(expertFlow(largeTrace(20, 128, 8, 10)).data.layers).toEqual([0, 9]);
  });

  test("leaves the trace as it was", () => {
    const before = [...SMALL.expertIndices];
    expertFlow(SMALL);
    expect([...SMALL.expertIndices]).toEqual(before);
  });

  test("refuses layers that make no flow", () => {
    const must = "expertFlow: layers must be 2 to 8 rising layer numbers, got";
    expect(() => expertFlow(SMALL, { layers: [0] })).toThrow(`${must} 0`);
    expect(() => expertFlow(SMALL, { layers: [] })).toThrow(`${must} none`);
    expect(() => expertFlow(SMALL, { layers: [2, 0] })).toThrow(`${must} 2, 0`);
    expect(() => expertFlow(SMALL, { layers: [0, 1] })).toThrow("expertFlow: layer must be one of 0, 2, got 1");
    expect(() => expertFlow(largeTrace(5, 16, 4, 1))).toThrow(`${must} 0`);
  });

  test("refuses more than fits and says what to change", () => {
    expect(() => expertFlow(largeTrace(9, 200, 4, 2))).toThrow(
      "expertFlow: nExperts must be at most 128 to be drawn, got 200",
    );
    expect(() => expertFlow(largeTrace(200, 16, 4, 3), { minShare: 0 })).toThrow(
      /^expertFlow: minShare must leave at most 160 links here, got \d+ of at least 0$/,
    );
    expect(() => expertFlow(SMALL, { minShare: 5 })).toThrow(
      "expertFlow: minShare must be a number from 0 to 1, got 5",
    );
  });

  test("refuses what no trace should hold", () => {
    const twice = { ...SMALL, expertIndices: SMALL.expertIndices.with(1, 0) };
    const wrong = { ...SMALL, expertWeights: SMALL.expertWeights!.with(2, Number.NaN) };
    const empty = {
      ...SMALL,
      tokenIds: new Int32Array(0),
      pieces: [],
      sequenceOffsets: Int32Array.from([0]),
      expertIndices: new Uint16Array(0),
      expertWeights: null,
      routerProbs: null,
    };
    expect(() => expertFlow(twice)).toThrow("expertFlow: a token's 2 experts must be different, got 0 twice");
    expect(() => expertFlow(wrong)).toThrow("expertFlow: expert weights must be finite, got NaN");
    expect(() => expertFlow(empty)).toThrow("expertFlow: the trace must hold at least one token, got none");
  });
});
