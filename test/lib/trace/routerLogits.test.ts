import { describe, expect, test } from "vitest";
import { ConfigError } from "../../../lib/errors.ts";
import { importRouting } from "../../../lib/trace/import.ts";
import type { NdArray } from "../../../lib/trace/ndarray.ts";
import { importRouterLogits } from "../../../lib/trace/routerLogits.ts";
import { expected, fixture, type Held, traceIn } from "./fixtures.ts";
import { failure } from "./traces.ts";

const held = expected("logits.json") as Record<string, Held & { routerProbs: number[] }>;
const floats = (shape: number[], values: number[]): NdArray => ({ shape, values: Float32Array.from(values) });
const whole = (shape: number[], values: number[]): NdArray => ({ shape, values: Int32Array.from(values) });
const read = (arrays: Record<string, NdArray>, options = {}) =>
  importRouterLogits("x", new Map(Object.entries(arrays)), { topK: 1, ...options });

describe("importRouterLogits", () => {
  test.each(["layers.safetensors", "stack.npz", "softmaxed.npz"])(
    "reads what torch and numpy wrote: %s",
    async (file) => {
      const imported = await importRouting("x", fixture(`logits/${file}`), { topK: 2 });
      const trace = traceIn(imported);
      expect(trace).toMatchObject({ nExperts: 6, topK: 2, layers: held[file]!.layers, rankOrdered: true });
      expect([...trace.sequenceOffsets]).toEqual(held[file]!.sequenceOffsets);
      expect([...trace.tokenIds]).toEqual(held[file]!.tokenIds);
      expect([...trace.expertIndices]).toEqual(held[file]!.expertIndices);
      expect(trace.routerProbs!.length).toBe(held[file]!.routerProbs.length);
      for (const [i, p] of held[file]!.routerProbs.entries()) expect(trace.routerProbs![i]).toBeCloseTo(p, 6);
      expect(imported.findings.includes("values are probabilities, not logits: taken as they are")).toBe(
        file === "softmaxed.npz",
      );
    },
  );

  test("takes the lower of equal experts, and the layers' numbers from the option", () => {
    const arrays = { "router_logits.10": floats([1, 3], [0, 2, 2]), "router_logits.9": floats([1, 3], [2, 2, 1]) };
    const trace = traceIn(read(arrays, { layers: [4, 7] }));
    expect(trace.layers).toEqual([4, 7]);
    expect([...trace.expertIndices]).toEqual([0, 1]); // 9 before 10, by number
  });

  const one = { layer_0: floats([2, 3], [1, 2, 3, 4, 5, 6]) };
  test.each<[string, Record<string, NdArray>, RegExp]>([
    ["no logits", { input_ids: whole([2], [1, 2]) }, /must hold router logits of some layer, got none$/],
    ["layers of other sizes", { ...one, layer_1: floats([1, 3], [1, 2, 3]) }, /"layer_1": must be .*, got \[1, 3\]$/],
    ["a layer twice", { ...one, arr_0: one.layer_0 }, /layer 0 must be there once, got it twice$/],
    ["whole numbers", { layer_0: whole([1, 2], [1, 2]) }, /must be real numbers, got Int32Array$/],
    ["a number that is none", { layer_0: floats([1, 2], [1, Number.NaN]) }, /values must be finite, got NaN$/],
    ["nothing", { layer_0: floats([0, 3], []) }, /must be \[n_tokens, n_experts\]/],
    ["a flat stack", { router_logits: floats([2, 2], [1, 2, 3, 4]) }, /must be \[n_layers, .*, got \[2, 2\]$/],
    ["an empty stack", { router_logits: floats([0, 2, 2], []) }, /must hold router logits of some layer, got none$/],
    ["ids of other tokens", { ...one, input_ids: whole([3], [1, 2, 3]) }, /for 2 tokens, got \[3\]$/],
    ["ids that are none", { ...one, input_ids: whole([2], [1, -2]) }, /must be token ids, got -2$/],
    ["nothing but padding", { ...one, attention_mask: whole([1, 2], [0, 0]) }, /must leave some token, got none$/],
  ])("refuses %s", async (_, arrays, message) => {
    expect(await failure(Promise.resolve().then(() => read(arrays)))).toMatch(message);
  });

  test("must be told the experts per token", () => {
    expect(() => importRouterLogits("x", new Map(Object.entries(one)))).toThrow(ConfigError);
    expect(() => read(one, { topK: 4 })).toThrow(new ConfigError("x: experts must be from topK (4) to 65536, got 3"));
  });

  test.each(["layers.safetensors", "stack.npz"])("refuses %s cut short anywhere", async (file) => {
    const bytes = fixture(`logits/${file}`);
    for (let length = 10; length < bytes.length; length += 23)
      await failure(importRouting("x", bytes.subarray(0, length), { topK: 2 }));
  });
});
