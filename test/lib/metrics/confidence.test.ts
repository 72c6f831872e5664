import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type ConfidenceMeasure, confidence } from "../../../lib/metrics/confidence.ts";
import { traceOf } from "./traces.ts";

function probsTrace(probs: number[][], topK: number): Parameters<typeof confidence>[0] {
  const indices = probs.flatMap(() => Array.from({ length: topK }, (_, slot) => slot));
  return traceOf({ nExperts: probs[0]!.length, topK, indices, routerProbs: Float32Array.from(probs.flat()) });
}

describe("confidence", () => {
  test("measures probabilities worked by hand", () => {
    // 1/2, 1/4, 1/8, 1/8: entropy 1.75 bits.
    const [layer] = confidence(probsTrace([[0.125, 0.5, 0.125, 0.25]], 2));
    expect(layer!.routerEntropy[0]).toBeCloseTo(1.75 * Math.LN2, 12);
    expect(layer!.topMargin[0]).toBeCloseTo(0.25, 12);
    expect(layer!.boundaryMargin[0]).toBeCloseTo(0.125, 12);
    expect(layer!.topKMass[0]).toBeCloseTo(0.75, 12);
  });

  test("gives an indifferent router the ends of its scales", () => {
    const [layer] = confidence(probsTrace([[0.25, 0.25, 0.25, 0.25]], 3));
    for (const [name, value] of Object.entries(layer!.indifferent))
      expect(layer!.mean[name as ConfidenceMeasure], name).toBeCloseTo(value, 12);
  });

  test("averages over the tokens of each layer", () => {
    const probs = Float32Array.from([0.5, 0.5, 1, 0, 0.75, 0.25, 0.5, 0.5]);
    const trace = traceOf({ nExperts: 2, topK: 1, layers: [1, 8], indices: [0, 0, 0, 0], routerProbs: probs });
    const layers = confidence(trace);
    expect(layers.map(({ layer, mean }) => [layer, mean.topMargin, mean.topKMass])).toEqual([
      [1, 0.25, 0.625],
      [8, 0.5, 0.75],
    ]);
    expect(layers[1]!.routerEntropy[0]).toBe(0);
  });

  test("does not mind the order of experts, nor the scale of scores", () => {
    const scores = fc.array(fc.integer({ min: 1, max: 64 }), { minLength: 6, maxLength: 6 });
    fc.assert(
      fc.property(scores, (row) => {
        const [one, other] = [row, row.toReversed().map((p) => p * 4)].map(
          (r) => confidence(probsTrace([r], 2))[0]!.mean,
        );
        for (const name of Object.keys(one!) as ConfidenceMeasure[]) expect(other![name]).toBeCloseTo(one![name], 9);
        expect(one!.topKMass).toBeGreaterThanOrEqual(1 / 3 - 1e-9);
        expect(one!.routerEntropy).toBeLessThanOrEqual(Math.log(6) + 1e-9);
      }),
    );
  });

  test("has no margin beyond the last expert, and no mean without tokens", () => {
    const [all] = confidence(probsTrace([[0.75, 0.25]], 2));
    expect([all!.boundaryMargin[0], all!.indifferent.boundaryMargin]).toEqual([Number.NaN, Number.NaN]);
    const none = traceOf({ nExperts: 2, topK: 1, indices: [], routerProbs: new Float32Array() });
    expect(confidence(none)[0]!.mean.routerEntropy).toBeNaN();
  });

  test("refuses a trace without probabilities, and what are none", () => {
    expect(() => confidence(traceOf({ nExperts: 2, topK: 1, indices: [0] }))).toThrow(
      "confidence: the trace must hold the router probabilities of all experts, got one whose recorder kept only the chosen experts (routerProbs is null)",
    );
    expect(() => confidence(probsTrace([[0.5, -0.5]], 1))).toThrow(
      "confidence: a router probability must be a number of at least 0, got -0.5",
    );
    expect(() => confidence(probsTrace([[0, 0]], 1))).toThrow("must sum to more than 0, got 0");
    expect(() => confidence(probsTrace([[Number.NaN, 1]], 1))).toThrow(RangeError);
    const short = { ...probsTrace([[0.5, 0.5]], 1), routerProbs: new Float32Array(1) };
    expect(() => confidence(short)).toThrow(
      "routerProbs must be [n_tokens, n_layers, n_experts] = [1, 1, 2], got 1 numbers",
    );
  });
});
