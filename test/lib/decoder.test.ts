import * as tf from "@tensorflow/tfjs";
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { KvCache } from "../../lib/attend.ts";
import { useBackend } from "../../lib/backend.ts";
import { generate } from "../../lib/generate.ts";
import type { HookFn, Hooks } from "../../lib/hooks.ts";
import type { MoeModel } from "../../lib/model.ts";
import { randomModel, relativeError, TINY } from "../helpers.ts";

const TOKENS = [5, 17, 3, 9, 0, 22, 1, 1];

function freeCache({ layers }: KvCache): void {
  tf.dispose(layers.flatMap(({ keys, values }) => [keys, values]));
}

/** Tensors that each backend holds. */
function held(): Record<"tensorflow" | "wasm", number> {
  return { tensorflow: tf.findBackend("tensorflow").numDataIds(), wasm: tf.findBackend("wasm").numDataIds() };
}

describe("a decoder of a model on tensorflow", () => {
  let model: MoeModel;
  beforeAll(async () => {
    await useBackend("tensorflow");
  });
  beforeEach(() => {
    model = randomModel(TINY, 3, 1.5);
  });
  afterEach(() => {
    model.dispose();
  });

  test("gives the logits of the full pass, after a prompt whose keys and values it takes over", async () => {
    const decoder = await model.decoder();
    const full = model.run(TOKENS).arraySync()[0]!;
    const kvCache: KvCache = { length: 0, layers: [] };
    const prompt = model.extend(TOKENS.slice(0, 3), kvCache);
    expect(relativeError(prompt.dataSync(), full[2]!)).toBeLessThan(1e-5);
    prompt.dispose();
    const before = held();
    decoder.adopt(kvCache);
    expect(kvCache.length).toBe(3);
    for (const [i, id] of TOKENS.slice(3).entries()) {
      const logits = decoder.extend([id], kvCache, {});
      expect(relativeError(logits.dataSync(), full[i + 3]!)).toBeLessThan(1e-5);
      logits.dispose();
    }
    expect(kvCache.length).toBe(TOKENS.length);
    // Keys and values of two layers have left the model's backend, for plain numbers.
    const after = held();
    expect([after.tensorflow - before.tensorflow, after.wasm - before.wasm]).toEqual([-4, 0]);
  });

  test("changes between plain and watched steps, and steps of several tokens, as often as it must", async () => {
    const decoder = await model.decoder();
    const full = model.run(TOKENS).arraySync()[0]!;
    const kvCache: KvCache = { length: 0, layers: [] };
    model.extend(TOKENS.slice(0, 1), kvCache).dispose();
    decoder.adopt(kvCache);
    const seen: number[] = [];
    const watch: Hooks = { "blocks.1.attn.hook_pattern": (value) => void seen.push(value.shape[3]!) };
    let at = 1;
    for (const [length, hooks] of [
      [1, {}],
      [1, watch],
      [1, watch],
      [1, {}],
      [2, {}],
      [1, watch],
    ] as const) {
      const logits = decoder.extend(TOKENS.slice(at, at + length), kvCache, hooks);
      at += length;
      expect(relativeError(logits.dataSync(), full[at - 1]!)).toBeLessThan(1e-5);
      expect(kvCache.length).toBe(at);
      logits.dispose();
    }
    expect(at).toBe(TOKENS.length);
    expect(seen).toEqual([3, 4, 8]);
    expect(kvCache.layers.map(({ keys }) => keys.shape)).toEqual([
      [1, 2, 8, 4],
      [1, 2, 8, 4],
    ]);
    freeCache(kvCache);
  });

  test("computes watched steps on wasm, while tensorflow stays current", async () => {
    const decoder = await model.decoder();
    const kvCache: KvCache = { length: 0, layers: [] };
    const during: string[] = [];
    const note: HookFn = () => void during.push(tf.getBackend());
    decoder.extend([1], kvCache, { hook_embed: note }).dispose();
    expect([...during, tf.getBackend()]).toEqual(["wasm", "tensorflow"]);
    freeCache(kvCache);
  });

  test("obeys hooks: what is put in a value's place is what the full pass makes of it", async () => {
    const decoder = await model.decoder();
    const hooks: Hooks = {
      "blocks.0.mlp.hook_expert_indices": (value) =>
        tf.tile(tf.tensor([[[4, 0]]], [1, 1, 2], "int32"), [1, value.shape[1]!, 1]),
      "blocks.1.hook_attn_out": (value) => value.mul(2),
    };
    const full = model.runWithHooks(TOKENS, hooks).arraySync()[0]!;
    const kvCache: KvCache = { length: 0, layers: [] };
    for (const [p, id] of TOKENS.entries()) {
      const logits = decoder.extend([id], kvCache, hooks);
      expect(relativeError(logits.dataSync(), full[p]!)).toBeLessThan(1e-5);
      logits.dispose();
    }
    freeCache(kvCache);
  });

  test("is made once, copies weights only when it needs them, and is let go with the model, every tensor of it", async () => {
    const before = held();
    const own = randomModel(TINY, 4);
    const [decoder, again] = await Promise.all([own.decoder(), own.decoder()]);
    expect(again).toBe(decoder);
    const kvCache: KvCache = { length: 0, layers: [] };
    decoder.extend([1], kvCache, {}).dispose();
    expect(held().wasm).toBe(before.wasm);
    decoder.extend([1], kvCache, { hook_embed: () => {} }).dispose();
    freeCache(kvCache);
    // Of each block 5 parameters are one tensor and 3 are one for each of the 5 experts; 3 stand outside the blocks.
    expect(held().wasm - before.wasm).toBe(2 * (5 + 3 * 5) + 3);
    own.dispose();
    await Promise.resolve();
    expect(held()).toEqual(before);
  });

  test("leaves nothing of a generation behind, not even of one that a hook stops", async () => {
    const watch: Hooks = { hook_embed: () => {} };
    for await (const _ of generate(model, TOKENS, { maxTokens: 2, hooks: watch })); // copies the weights
    const before = held();
    for (const hooks of [{}, watch]) for await (const _ of generate(model, TOKENS, { maxTokens: 5, hooks }));
    let calls = 0;
    const stop: HookFn = () => {
      if (++calls === 3) throw new Error("on purpose");
    };
    const stopped = async (): Promise<void> => {
      for await (const _ of generate(model, TOKENS, { maxTokens: 5, hooks: { "blocks.1.hook_attn_out": stop } }));
    };
    await expect(stopped()).rejects.toThrow("on purpose");
    expect(held()).toEqual(before);
  });
});

test("where the model runs on wasm already, it takes watched steps by itself and nothing is held twice", async () => {
  await useBackend("wasm");
  const model = randomModel();
  const before = tf.memory().numTensors;
  const decoder = await model.decoder();
  expect(tf.memory().numTensors).toBe(before);
  const full = model.run(TOKENS).arraySync()[0]!;
  const kvCache: KvCache = { length: 0, layers: [] };
  decoder.adopt(kvCache);
  const logits = decoder.extend(TOKENS, kvCache, {});
  expect(relativeError(logits.dataSync(), full[7]!)).toBeLessThan(1e-5);
  logits.dispose();
  freeCache(kvCache);
  model.dispose();
});
