import * as tf from "@tensorflow/tfjs";
import { beforeAll, beforeEach, describe, expect, test } from "vitest";
import { useBackend } from "../../lib/backend.ts";
import { ActivationCache } from "../../lib/cache.ts";
import type { HookName } from "../../lib/hooks.ts";

describe("ActivationCache", () => {
  let cache: ActivationCache;
  beforeAll(async () => {
    await useBackend();
  });
  beforeEach(() => {
    cache = new ActivationCache();
    return () => cache.dispose();
  });

  /** Shows the cache a value as a run would: inside a tidy that lets go of it. */
  function see(name: HookName, values: number[]): void {
    tf.tidy(() => void cache.keep(tf.tensor1d(values), { name, layer: null }));
  }

  test("keeps what it saw beyond the run, in the order in which it was computed", () => {
    see("hook_embed", [1, 2]);
    see("logits", [3, 4, 5]);
    expect(cache.names).toEqual(["hook_embed", "logits"]);
    expect([cache.has("logits"), cache.has("ln_final.hook_scale")]).toEqual([true, false]);
    expect([...cache.get("hook_embed").dataSync()]).toEqual([1, 2]);
    expect(cache.bytes).toBe(5 * 4);
  });

  test("keeps the last of a hook that fires again, as in generation, and lets go of the one before", () => {
    see("logits", [1]);
    const before = tf.memory().numTensors;
    for (const value of [2, 3, 4]) see("logits", [value]);
    expect(tf.memory().numTensors).toBe(before);
    expect([...cache.get("logits").dataSync()]).toEqual([4]);
  });

  test("says what was kept when asked for something else", () => {
    expect(() => cache.get("logits")).toThrow(new RangeError('cache: "logits" was not kept; kept are none'));
    see("hook_embed", [1]);
    expect(() => cache.get("logits")).toThrow(new RangeError('cache: "logits" was not kept; kept are hook_embed'));
  });

  test("lets go of everything once", () => {
    const before = tf.memory().numTensors;
    see("hook_embed", [1]);
    see("logits", [1]);
    cache.dispose();
    cache.dispose();
    expect(tf.memory().numTensors).toBe(before);
    expect([cache.names, cache.bytes]).toEqual([[], 0]);
    expect(() => cache.get("logits")).toThrow(RangeError);
  });
});
