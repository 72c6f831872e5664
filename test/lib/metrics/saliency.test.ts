import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { seeded } from "../../../lib/metrics/random.ts";
import { SALIENCIES, saliency } from "../../../lib/metrics/saliency.ts";
import { randomSet } from "./traces.ts";

// Two tokens, 2 of 3 experts, outputs of two numbers: ‖f‖ = 5, 1, 10, 2.
const CAPTURE = {
  nExperts: 3,
  topK: 2,
  indices: [0, 1, 0, 2],
  weights: [0.75, 0.25, 0.5, 0.5],
  outputs: [3, -4, 0, 1, -6, 8, 2, 0],
};

function randomCapture(seed: number): Parameters<typeof saliency>[0] {
  const uniform = seeded(seed);
  const indices = Array.from({ length: 30 }, () => randomSet(5, 2, uniform)).flat();
  const numbers = (n: number): number[] => Array.from({ length: n }, () => uniform() - 0.5);
  return { nExperts: 5, topK: 2, indices, weights: numbers(60).map(Math.abs), outputs: numbers(60 * 3) };
}

describe("saliency", () => {
  test("gives every measure worked by hand", () => {
    const found = saliency(CAPTURE, { draws: 5 });
    expect([...found.frequency]).toEqual([2, 1, 1]);
    expect([...found.weightedFrequency]).toEqual([1.25, 0.25, 0.5]);
    expect([...found.eanSum]).toEqual([15, 1, 2]);
    expect([...found.eanMean]).toEqual([7.5, 1, 2]);
    expect([...found.weightedEan]).toEqual([0.75 * 5 + 0.5 * 10, 0.25, 1]);
    expect([...found.reap]).toEqual([4.375, 0.25, 1]);
    expect([...found.maxActivation]).toEqual([8, 1, 2]);
  });

  test("scales with the outputs, and moves with its experts", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1000 }), (seed) => {
        const capture = randomCapture(seed);
        const found = saliency(capture, { draws: 2 });
        const outputs = Array.from(capture.outputs, (x) => 2 * x);
        const indices = Array.from(capture.indices, (e) => 4 - e);
        const other = saliency({ ...capture, outputs, indices }, { draws: 2 });
        for (const name of SALIENCIES)
          for (let e = 0; e < 5; e++) {
            const scale = name === "frequency" || name === "weightedFrequency" ? 1 : 2;
            expect(other[name][4 - e]! / scale, name).toBeCloseTo(found[name][e]!, 9);
          }
      }),
      { numRuns: 20 },
    );
  });

  test("finds experts that are all alike within chance, and one that is not beyond it", () => {
    let [inside, all] = [0, 0];
    for (let seed = 1; seed <= 20; seed++) {
      const found = saliency(randomCapture(seed));
      for (const name of ["eanMean", "reap", "weightedEan"] as const)
        for (const [e, { low, high }] of found.chance[name].entries()) {
          inside += Number(found[name][e]! >= low && found[name][e]! <= high);
          all += 1;
        }
    }
    expect(inside / all).toBeGreaterThan(0.88);
    const capture = randomCapture(3);
    const outputs = Array.from(capture.outputs, (x, i) => (capture.indices[Math.floor(i / 3)] === 2 ? 5 * x : x));
    const found = saliency({ ...capture, outputs });
    expect(found.reap[2]).toBeGreaterThan(found.chance.reap[2]!.high);
    expect(found.maxActivation[2]).toBeGreaterThan(2);
  });

  test("has no mean for an expert without tokens", () => {
    const found = saliency({ ...CAPTURE, nExperts: 4 }, { draws: 3 });
    expect([found.frequency[3], found.eanSum[3]]).toEqual([0, 0]);
    expect([found.eanMean[3], found.reap[3], found.maxActivation[3]]).toEqual([Number.NaN, Number.NaN, Number.NaN]);
    const none = saliency({ nExperts: 2, topK: 1, indices: [], weights: [], outputs: [] }, { draws: 2 });
    expect([...none.frequency]).toEqual([0, 0]);
  });

  test("refuses arrays that do not fit together", () => {
    expect(() => saliency({ ...CAPTURE, weights: [1] })).toThrow(
      "saliency: weights must be as many as indices (4), got 1",
    );
    expect(() => saliency({ ...CAPTURE, outputs: [1, 2, 3] })).toThrow(
      "saliency: outputs must be [n_tokens, top_k, d_model], a multiple of 4, got 3 numbers",
    );
    expect(() => saliency({ ...CAPTURE, indices: [0, 1, 0] })).toThrow(
      "indices must be [n_tokens, top_k] with top_k 2",
    );
    expect(() => saliency({ ...CAPTURE, indices: [0, 0, 1, 2] })).toThrow("must be different, got 0 twice");
    expect(() => saliency({ ...CAPTURE, topK: 0 })).toThrow(
      "topK must be a whole number from 1 to nExperts (3), got 0",
    );
  });
});
