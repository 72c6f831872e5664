import { describe, expect, test } from "vitest";
import { expertSets } from "../../../scripts/studies/expertSets.ts";
import { traceOf } from "../../lib/metrics/traces.ts";

describe("expertSets", () => {
  test("counts sets whatever the order of their experts, by layer, and how many as various ones used evenly would be", () => {
    // Layer 0: {0,1} {0,1} {2,10} {2,3}; layer 1: {0,1} four times. 12 over 2 = 66.
    const indices = [0, 1, 1, 0, 1, 0, 0, 1, 10, 2, 0, 1, 3, 2, 0, 1];
    const [first, second] = expertSets(traceOf({ nExperts: 12, topK: 2, layers: [0, 1], indices }));
    expect(first).toMatchObject({ layer: 0, possible: 66, used: 3 });
    expect(first!.effective).toBeCloseTo(2 ** 1.5, 12); // entropy ½·1 + ½·2 bits
    expect(second).toEqual({ layer: 1, possible: 66, used: 1, effective: 1 });
  });

  test("knows how many sets there are: 1820 of 16 choose 4, 28 of 8 choose 2", () => {
    const possible = (nExperts: number, topK: number, indices: number[]): number =>
      expertSets(traceOf({ nExperts, topK, indices }))[0]!.possible;
    expect([possible(16, 4, [3, 1, 2, 0]), possible(8, 2, [7, 1])]).toEqual([1820, 28]);
  });
});
