import { describe, expect, test } from "vitest";
import { trajectories } from "../../../lib/metrics/trajectories.ts";
import { randomTrace, traceOf } from "./traces.ts";

describe("trajectories", () => {
  test("count the different ways through first choices", () => {
    // Ways: (0,2) (0,2) (1,2) (0,1).
    const trace = traceOf({ nExperts: 3, topK: 1, layers: [2, 5], indices: [0, 2, 0, 2, 1, 2, 0, 1] });
    const found = trajectories(trace, { draws: 10 });
    expect([found.nTokens, found.distinct.value, found.shared.value]).toEqual([4, 3, 0.5]);
    expect(found.entropy.value).toBeCloseTo(1.5, 12);
    // Each layer has 3:1, of 2 − ¾ log2 3 bits.
    expect(found.totalCorrelation.value).toBeCloseTo(2 * (2 - 0.75 * Math.log2(3)) - 1.5, 12);
    expect(found.top).toEqual([
      { experts: [0, 2], tokens: 2 },
      { experts: [1, 2], tokens: 1 },
      { experts: [0, 1], tokens: 1 },
    ]);
    expect(trajectories(trace, { draws: 10, most: 1, layers: [5] })).toMatchObject({
      layers: [5],
      top: [{ experts: [2], tokens: 3 }],
    });
  });

  test("find layers that choose alone within chance", () => {
    const inside: Record<string, number> = {};
    for (let seed = 1; seed <= 40; seed++) {
      const found = trajectories(randomTrace({ nExperts: 6, topK: 2, nTokens: 200, layers: [0, 1, 2], seed }));
      for (const name of ["distinct", "shared", "entropy", "totalCorrelation"] as const) {
        const { value, chance } = found[name];
        inside[name] = (inside[name] ?? 0) + Number(value >= chance.low && value <= chance.high);
      }
    }
    for (const [name, n] of Object.entries(inside)) expect(n, name).toBeGreaterThanOrEqual(33);
  });

  test("find layers that follow each other far beyond it", () => {
    const one = randomTrace({ nExperts: 6, topK: 1, nTokens: 200 }).expertIndices;
    const trace = traceOf({
      nExperts: 6,
      topK: 1,
      layers: [0, 1, 2],
      indices: Array.from(one).flatMap((e) => [e, e, e]),
    });
    const found = trajectories(trace);
    expect(found.distinct.value).toBe(6);
    expect(found.distinct.chance.low).toBeGreaterThan(90);
    expect(found.totalCorrelation.value).toBeCloseTo(2 * found.entropy.value, 9);
  });

  test("need rank order, and have no number without tokens", () => {
    const trace = traceOf({ nExperts: 3, topK: 1, layers: [2, 5], indices: [] });
    expect(trajectories(trace, { draws: 2 }).entropy.value).toBeNaN();
    expect(() => trajectories({ ...trace, rankOrdered: false })).toThrow(
      "trajectories: the trace must keep the experts",
    );
    expect(() => trajectories(trace, { layers: [3] })).toThrow("trajectories: a layer must be one of 2, 5, got 3");
  });
});
