import { describe, expect, test } from "vitest";
import { windowLabels } from "../../../lib/metrics/labels.ts";
import { routingDivergence } from "../../../lib/metrics/routingDivergence.ts";
import { randomTrace, traceOf } from "./traces.ts";

describe("routingDivergence", () => {
  test("compares whom two experts serve", () => {
    // Windows of 4: expert 0 has 2|2, expert 1 has 2|0, expert 2 has 0|2, expert 3 nobody.
    const trace = traceOf({ nExperts: 4, topK: 1, indices: [0, 0, 1, 1, 0, 0, 2, 2] });
    const [layer] = routingDivergence(trace, windowLabels(trace, 4), { draws: 5 });
    expect(layer!.bits[1 * 4 + 2]).toBeCloseTo(1, 12);
    expect(layer!.bits[2 * 4 + 1]).toBe(layer!.bits[1 * 4 + 2]);
    expect(layer!.bits[0]).toBe(0);
    // (½,½) against (1,0): 2 − ¾ log2 3 − ½.
    const half = 2 - 0.75 * Math.log2(3) - 0.5;
    expect(layer!.bits[1]).toBeCloseTo(half, 12);
    expect(layer!.bits[3]).toBeNaN();
    expect(layer!.mean.value).toBeCloseTo((1 + 2 * half) / 3, 12);
  });

  test("finds random routers within chance", () => {
    let inside = 0;
    for (let seed = 1; seed <= 30; seed++) {
      const trace = randomTrace({ nExperts: 6, topK: 2, nTokens: 200, seed });
      const { value, chance } = routingDivergence(trace, windowLabels(trace, 50), { draws: 60 })[0]!.mean;
      inside += Number(value >= chance.low && value <= chance.high);
    }
    expect(inside).toBeGreaterThanOrEqual(24);
  });

  test("finds experts with a clientele of their own beyond chance", () => {
    const indices = Array.from({ length: 200 }, (_, t) => 2 * Math.floor(t / 50) + (t % 2));
    const trace = traceOf({ nExperts: 8, topK: 1, indices });
    const { value, chance } = routingDivergence(trace, windowLabels(trace, 50))[0]!.mean;
    expect(value).toBeCloseTo(24 / 28, 12); // of 28 pairs the four within a window share all
    expect(chance.high).toBeLessThan(0.3);
  });
});
