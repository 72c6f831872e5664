import { describe, expect, test } from "vitest";
import { saturation } from "../../../lib/metrics/saturation.ts";
import { randomTrace, SIX, traceOf } from "./traces.ts";

describe("saturation", () => {
  test("is the part of the chosen experts that the final checkpoint chooses too", () => {
    const early = traceOf({ nExperts: 4, topK: 2, layers: [0, 6], indices: [0, 1, 2, 3, 1, 0, 3, 2] });
    const final = traceOf({ nExperts: 4, topK: 2, layers: [0, 6], indices: [0, 2, 0, 1, 0, 1, 3, 2] });
    // Layer 0: {0,1}∩{0,2} = 1, {1,0}∩{0,1} = 2; firsts 0=0, 1≠0. Layer 6: {2,3}∩{0,1} = 0, 2; firsts 2≠0, 3=3.
    const layers = saturation(early, final, { draws: 10 });
    expect(layers.map(({ layer, topK, firstChoice }) => [layer, topK.value, firstChoice!.value])).toEqual([
      [0, 0.75, 0.5],
      [6, 0.5, 0.5],
    ]);
    // Loads of layer 0: early 2,2,0,0 and final 2,1,1,0 of 2 tokens; Σ (c/2)(c'/2) / 2.
    expect(layers[0]!.topK.byLoad).toBeCloseTo((2 * 2 + 2 * 1) / 4 / 2, 12);
    expect(layers[0]!.firstChoice!.byLoad).toBeCloseTo(0.5 * 1, 12);
  });

  test("is 1 against itself, and at chance against another random router", () => {
    const [itself] = saturation(SIX, SIX, { draws: 10 });
    expect([itself!.topK.value, itself!.firstChoice!.value]).toEqual([1, 1]);
    let inside = 0;
    for (let seed = 1; seed <= 40; seed++) {
      const size = { nExperts: 64, topK: 8, nTokens: 300 };
      const [layer] = saturation(randomTrace({ ...size, seed }), randomTrace({ ...size, seed: 1000 + seed }));
      for (const { value, chance } of [layer!.topK, layer!.firstChoice!])
        inside += Number(value >= chance.low && value <= chance.high);
      expect(layer!.topK.chance.mean).toBeCloseTo(0.125, 12);
      expect(layer!.firstChoice!.chance.mean).toBeCloseTo(1 / 64, 12);
      expect(layer!.topK.byLoad).toBeCloseTo(0.125, 2);
    }
    expect(inside).toBeGreaterThanOrEqual(70); // 76 of 80 expected
  });

  test("refuses traces that cannot be compared, and first choices without rank order", () => {
    expect(() => saturation(SIX, { ...SIX, tokenIds: Int32Array.from([0, 0, 7, 0, 0, 0]) })).toThrow(
      "saturation: both traces must hold the same tokens (0 at 2), got 7",
    );
    const more = randomTrace({ nExperts: 3, topK: 2, nTokens: 7 });
    expect(() => saturation(SIX, more)).toThrow("saturation: both traces must hold the same tokens (6), got 7");
    expect(() => saturation(SIX, { ...SIX, layers: [2] })).toThrow(
      "saturation: layers must be 0 in both traces, got 2",
    );
    expect(() => saturation(SIX, { ...SIX, nExperts: 4 })).toThrow(
      "saturation: nExperts must be 3 in both traces, got 4",
    );
    const unordered = { ...SIX, rankOrdered: false };
    expect(() => saturation(SIX, unordered)).toThrow(
      "saturation: the trace must keep the experts in order of preference",
    );
    expect(saturation(SIX, unordered, { firstChoice: false, draws: 5 })[0]!.firstChoice).toBeNull();
  });
});
