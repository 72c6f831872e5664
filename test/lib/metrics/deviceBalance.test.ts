import { describe, expect, test } from "vitest";
import { deviceBalance } from "../../../lib/metrics/deviceBalance.ts";
import { sketch } from "../../../lib/metrics/sketch.ts";
import { randomTrace, traceOf } from "./traces.ts";

// Two layers, 4 experts: counts 3,1,0,0 and 1,1,1,1.
const TRACE = traceOf({ nExperts: 4, topK: 1, layers: [0, 4], indices: [0, 0, 0, 1, 0, 2, 1, 3] });

describe("deviceBalance", () => {
  test("compares the devices as SGLang and as vLLM do", () => {
    const balance = deviceBalance(TRACE, { placement: [0, 0, 1, 1], draws: 5 });
    expect(balance.nDevices).toBe(2);
    expect(balance.layers.map(({ layer, load, maxOverMean }) => [layer, [...load], maxOverMean.value])).toEqual([
      [0, [4, 0], 2],
      [4, [2, 2], 1],
    ]);
    expect(balance.sglang.value).toBeCloseTo((2.00001 / 4.00001 + 1) / 2, 12);
    expect(balance.vllm.value).toBeCloseTo((2 + 2) / (4 + 2), 12);
  });

  test("has vLLM's other sum, which runs over layers where its comment says devices, by its own name", () => {
    const placement = [
      [0, 1, 1, 1],
      [0, 0, 0, 1],
    ]; // both layers load the devices with 3 and 1
    const { vllm, vllmOverLayers } = deviceBalance(TRACE, { placement, draws: 5 });
    expect(vllm.value).toBeCloseTo((2 + 2) / (3 + 3), 12);
    expect(vllmOverLayers.value).toBeCloseTo((3 + 1) / (3 + 1), 12);
  });

  test("takes a placement for each layer, and a sketch for a trace", () => {
    const placement = [
      [0, 1, 1, 1],
      [0, 0, 1, 1],
    ];
    const balance = deviceBalance(TRACE, { placement, draws: 5 });
    expect(balance.layers.map(({ load }) => [...load])).toEqual([
      [3, 1],
      [2, 2],
    ]);
    expect(deviceBalance(sketch(TRACE), { placement, draws: 5 })).toEqual(balance);
  });

  test("finds random routers within chance, and uneven placements uneven by chance", () => {
    const placement = Array.from({ length: 16 }, (_, e) => e % 4);
    let inside = 0;
    for (let seed = 1; seed <= 40; seed++) {
      const trace = randomTrace({ nExperts: 16, topK: 4, nTokens: 200, layers: [0, 1], seed });
      const { sglang, vllm, layers } = deviceBalance(trace, { placement });
      for (const { value, chance } of [sglang, vllm, layers[1]!.maxOverMean])
        inside += Number(value >= chance.low && value <= chance.high);
    }
    expect(inside).toBeGreaterThanOrEqual(104); // 114 of 120 expected
    const trace = randomTrace({ nExperts: 4, topK: 1, nTokens: 4000 });
    const { vllm } = deviceBalance(trace, { placement: [0, 0, 0, 1] });
    expect(vllm.chance.mean).toBeCloseTo(0.5 / 0.75, 2);
  });

  test("refuses placements of other experts, layers or devices", () => {
    expect(() => deviceBalance(TRACE, { placement: [0, 1] })).toThrow(
      "deviceBalance: placement must name a device for each expert (4), got 2",
    );
    expect(() => deviceBalance(TRACE, { placement: [[0, 1, 0, 1]] })).toThrow(
      "deviceBalance: placement must have a row for each layer (2), got 1",
    );
    expect(() => deviceBalance(TRACE, { placement: [0, 1, 0.5, 1] })).toThrow(
      "deviceBalance: a device must be a whole number from 0 to 3, got 0.5",
    );
    expect(() => deviceBalance(TRACE, { placement: [] })).toThrow("(4), got 0");
  });
});
