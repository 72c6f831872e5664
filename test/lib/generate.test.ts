import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, test } from "vitest";
import { useBackend } from "../../lib/backend.ts";
import { type GenerateOptions, generate } from "../../lib/generate.ts";
import type { MoeModel } from "../../lib/model.ts";
import { sampleToken } from "../../lib/sample.ts";
import { randomModel } from "../helpers.ts";

describe("sampleToken", () => {
  // Probabilities 0.1, 0.4, 0.2, 0.3 of tokens 0 to 3; in falling order 1, 3, 2, 0.
  const logits = Float32Array.from([0.1, 0.4, 0.2, 0.3], Math.log);
  const draws = (options: object): number[] =>
    [0, 0.35, 0.45, 0.65, 0.75, 0.95].map((u) => sampleToken(logits, u, options));

  test("draws each token with its probability, likeliest first", () => {
    expect(draws({})).toEqual([1, 1, 3, 3, 2, 0]);
  });

  test("takes the likeliest at temperature 0, the lower id of equals", () => {
    expect(draws({ temperature: 0 })).toEqual([1, 1, 1, 1, 1, 1]);
    expect(sampleToken(Float32Array.of(2, 5, 5), 0.9, { temperature: 0 })).toBe(1);
  });

  test("flattens with a temperature above 1: at 2 the odds are the square roots", () => {
    // Square roots 0.632, 0.548, 0.447, 0.316 sum to 1.943: shares 0.325, 0.282, 0.230, 0.163.
    const options = { temperature: 2 };
    expect([0.32, 0.33, 0.6, 0.62, 0.83, 0.84].map((u) => sampleToken(logits, u, options))).toEqual([1, 3, 3, 2, 2, 0]);
  });

  test("topK keeps the k likeliest and shares their probability", () => {
    // 0.4 and 0.3 become 4/7 and 3/7.
    expect([0.56, 0.58, 0.99].map((u) => sampleToken(logits, u, { topK: 2 }))).toEqual([1, 3, 3]);
  });

  test("topP keeps the fewest that reach it", () => {
    expect([0, 0.99].map((u) => sampleToken(logits, u, { topP: 0.39 }))).toEqual([1, 1]);
    expect([0.56, 0.58, 0.99].map((u) => sampleToken(logits, u, { topP: 0.6 }))).toEqual([1, 3, 3]);
  });
});

describe("generate", () => {
  let model: MoeModel;
  beforeAll(async () => {
    await useBackend();
    model = randomModel();
    return () => model.dispose();
  });

  async function text(options: GenerateOptions, prompt = [1, 2, 3]): Promise<number[]> {
    const ids: number[] = [];
    for await (const id of generate(model, prompt, options)) ids.push(id);
    return ids;
  }

  test("gives the same text for the same seed and another for another", async () => {
    const [a, b, c] = [await text({ seed: 5 }), await text({ seed: 5 }), await text({ seed: 6 })];
    expect(a).toEqual(b);
    expect(a).not.toEqual(c);
  });

  test("ends at the context's end, at maxTokens and at a stop token, and leaves no tensor behind", async () => {
    await text({ maxTokens: 2 }); // makes the decoder
    const before = tf.memory().numTensors;
    const free = await text({ maxTokens: 1000 });
    expect(free).toHaveLength(29);
    expect(await text({ maxTokens: 4 })).toEqual(free.slice(0, 4));
    expect(await text({ maxTokens: 0 })).toEqual([]);
    const stop = free[6]!;
    expect(await text({ stopIds: [stop] })).toEqual(free.slice(0, free.indexOf(stop)));
    for await (const _ of generate(model, [1])) break;
    expect(tf.memory().numTensors).toBe(before);
  });

  test("hooks live in the prompt and in every step", async () => {
    const seen: number[] = [];
    const hooks = { "blocks.1.hook_resid_post": (x: tf.Tensor) => void seen.push(x.shape[1]!) };
    const favour = {
      logits: (x: tf.Tensor) => x.add(tf.tensor1d(Array.from({ length: 23 }, (_, id) => (id === 7 ? 1000 : 0)))),
    };
    expect(await text({ maxTokens: 3, hooks: { ...hooks, ...favour } })).toEqual([7, 7, 7]);
    expect(seen).toEqual([3, 1, 1]);
  });

  test.each<[GenerateOptions, string]>([
    [{ temperature: -1 }, "generate: temperature must be a number from 0, got -1"],
    [{ topK: 0 }, "generate: topK must be a whole number from 1, got 0"],
    [{ topP: 0 }, "generate: topP must be above 0 and at most 1, got 0"],
    [{ maxTokens: 1.5 }, "generate: maxTokens must be a whole number from 0, got 1.5"],
  ])("refuses %o", async (options, message) => {
    await expect(text(options)).rejects.toThrow(message);
  });

  test("refuses a prompt that is empty or longer than the context", async () => {
    await expect(text({}, [])).rejects.toThrow("run: tokens must hold at least one id, got none");
    await expect(text({}, Array(33).fill(1))).rejects.toThrow("at most 32 tokens long (nCtx), got 33");
  });
});
