import { describe, expect, test } from "vitest";
import { besides, flowOf, flowPaths, flowThrough, RATIO_STEPS } from "../../viz/flow.ts";
import { largeTrace, SMALL } from "./samples.ts";

const SIZE = { nTokens: 3, nLayers: 2, nExperts: 4, topK: 2 };

describe("flowOf", () => {
  test("adds up loads and links by weight", () => {
    const { load, links, rest } = flowOf(flowPaths(SMALL, [0, 1]), SIZE, 0.2, 100);
    // Weights by hand: 0.75 + 0.625 + 0.5 for expert 0 in layer 0, and so on.
    expect([...load]).toEqual([1.875, 0.25, 0.375, 0.5, 0, 1.625, 1.25, 0.125]);
    // 0 → 1: 0.75·0.5 + 0.625·0.875 + 0.5·0.25; 0 → 2: 0.75·0.5 + 0.5·0.75.
    expect(links).toEqual([
      { gap: 0, source: 0, target: 1, tokens: 1.046875, expected: (1.875 * 1.625) / 3 },
      { gap: 0, source: 0, target: 2, tokens: 0.75, expected: (1.875 * 1.25) / 3 },
    ]);
    // The rest: 0→3, 1→1, 1→2, 2→1, 2→3, 3→1, 3→2.
    expect(rest).toEqual([{ tokens: 3 - 1.796875, links: 7 }]);
  });

  test("splits evenly where no weight is recorded or none is positive", () => {
    const even = [1.5, 0.5, 0.5, 0.5, 0, 1.5, 1, 0.5];
    for (const expertWeights of [null, new Float32Array(12), new Float32Array(12).fill(7)])
      expect([...flowOf(flowPaths({ ...SMALL, expertWeights }, [0, 1]), SIZE, 0, 100).load]).toEqual(even);
  });

  test("puts the whole flow on steps of ratios, and near 1 only where chance decides", () => {
    const trace = largeTrace(4000, 4, 1, 2);
    // Layer 1 repeats the choice of layer 0, so each link is 4 times what independent layers would give.
    for (let t = 0; t < 4000; t++) trace.expertIndices[2 * t + 1] = trace.expertIndices[2 * t]!;
    const flow = flowOf(flowPaths(trace, [0, 1]), { nTokens: 4000, nLayers: 2, nExperts: 4, topK: 1 }, null, 100);
    const sum = (values: Float64Array): number => values.reduce((a, b) => a + b, 0);
    expect(sum(flow.ratios)).toBeCloseTo(1, 9);
    expect(sum(flow.shuffledRatios)).toBeCloseTo(1, 9);
    expect(sum(flow.ratios.slice(RATIO_STEPS - 3))).toBeCloseTo(1, 9);
    expect(sum(flow.shuffledRatios.slice(RATIO_STEPS / 2 - 2, RATIO_STEPS / 2 + 2))).toBeCloseTo(1, 9);
  });

  test("leaves as many links as fit where no threshold is given", () => {
    const size = { nTokens: 200, nLayers: 3, nExperts: 16, topK: 4 };
    const paths = flowPaths(largeTrace(200, 16, 4, 3), [0, 1, 2]);
    const { links, minShare } = flowOf(paths, size, null, 20);
    expect(links.length).toBeGreaterThan(15);
    expect(links.length).toBeLessThanOrEqual(20);
    expect(minShare).toBeGreaterThan(1 / 256);
    expect(flowOf(paths, size, null, 1000).minShare).toBe(1 / 256);
  });
});

describe("flowThrough", () => {
  test("says which part of a node and of a link is due to another node's tokens", () => {
    const paths = flowPaths(SMALL, [0, 1]);
    const flow = flowOf(paths, SIZE, 0.2, 100);
    const through = flowThrough(paths, SIZE, flow);
    const width = 4 + 2;
    // Expert 3 of layer 0 has half of the last token: 0.5 · 0.75 of the 1.25 at expert 2, 0.5 · 0.25 of the 1.625 at expert 1.
    expect([...through.subarray(3 * width, 4 * width)]).toEqual([0, 0.125 / 1.625, 0.3, 0, 0, 0]);
    // Expert 2 of layer 2 has all of the link 0 → 2 and nothing of 0 → 1.
    expect([...through.subarray(6 * width + 4, 7 * width)]).toEqual([0, 1]);
  });

  test("shares of one layer's experts make up every node and every link", () => {
    const trace = largeTrace(30, 8, 2, 4);
    const size = { nTokens: 30, nLayers: 4, nExperts: 8, topK: 2 };
    const paths = flowPaths(trace, [0, 1, 2, 3]);
    const flow = flowOf(paths, size, 0.01, 1000);
    const through = flowThrough(paths, size, flow);
    const width = 24 + flow.links.length;
    for (let layer = 0; layer < 4; layer++)
      for (let i = 0; i < width; i++) {
        let sum = 0;
        for (let expert = 0; expert < 8; expert++) sum += through[(layer * 8 + expert) * width + i]!;
        expect(sum).toBeCloseTo(1, 6);
      }
  });
});

test("nodes of other layers are numbered without a node's own layer", () => {
  expect([0, 3, 8, 11].map((node) => besides(node, 1, 4))).toEqual([0, 3, 4, 7]);
});
