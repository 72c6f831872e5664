import { join } from "node:path";
import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, test } from "vitest";
import { type BackendName, useBackend } from "../../lib/backend.ts";
import type { Checkpoint } from "../../lib/checkpoint/checkpoint.ts";
import { loadModel } from "../../lib/checkpoint/folder.ts";
import { openFolder } from "../../lib/checkpoint/node.ts";
import type { KvCache } from "../../lib/forward.ts";
import { HOOKS, type HookName, patternOf } from "../../lib/hooks.ts";
import type { MoeModel } from "../../lib/model.ts";
import { relativeError } from "../helpers.ts";

// What transformers computed (test/golden/families/make_families.py), and for Grok-1 NumPy from the maths of xAI's code
// (make_grok.py): grouped heads, heads of any width, factors, caps, clamps, weights that do and do not sum to 1, each
// layout of the experts, heads tied and untied, tensors that are no weights.
const GOLDEN = join(import.meta.dirname, "../golden/families");
const MODELS = [
  "mixtral",
  "mixtral-fused",
  "olmoe",
  "olmoe-clipped",
  "qwen3",
  "qwen3-fused",
  "granite",
  "granite-renamed",
  "grok",
  "grok-release",
];
const BACKENDS: BackendName[] = ["tensorflow", "wasm"];

/** What every value must agree to, on the scale of its tensor's largest magnitude. */
const TOLERANCE = 1e-4;

async function rowsOf(values: Checkpoint, name: string): Promise<number[][]> {
  const [batch, pos] = values.tensor(name).shape as [number, number];
  const flat = await values.readInt32(name);
  return Array.from({ length: batch }, (_, b) => [...flat.subarray(b * pos, (b + 1) * pos)]);
}

async function compare(values: Checkpoint, name: string, actual: tf.Tensor): Promise<void> {
  expect(actual.shape, name).toEqual(values.tensor(name).shape);
  if (actual.dtype === "int32") expect([...actual.dataSync()], name).toEqual([...(await values.readInt32(name))]);
  else expect(relativeError(actual.dataSync(), await values.readFloat32(name)), name).toBeLessThan(TOLERANCE);
}

describe.each(BACKENDS)("on %s", (backend) => {
  describe.each(MODELS)("the tiny %s", (name) => {
    let model: MoeModel;
    let values: Checkpoint;
    beforeAll(async () => {
      await useBackend(backend);
      model = await loadModel(join(GOLDEN, name));
      expect(tf.getBackend()).toBe(backend);
      values = await openFolder(join(GOLDEN, `${name}.values.safetensors`));
      return async () => {
        model.dispose();
        await values.close();
      };
    });

    test("every hook outside experts agrees with the other implementation", async () => {
      const { logits, cache } = model.runWithCache(await rowsOf(values, "ids"));
      const stored = [...values.tensors.keys()].filter((key) => patternOf(key) !== null);
      const patterns = Object.keys(HOOKS).filter((pattern) => !pattern.includes("{e}"));
      expect(new Set(stored.map(patternOf))).toEqual(new Set(patterns));
      for (const key of stored) await compare(values, key, cache.get(key as HookName));
      await compare(values, "logits", logits);
      logits.dispose();
      cache.dispose();
    });

    test("token by token with cached keys and values the logits are the same", async () => {
      const tokens = (await rowsOf(values, "ids"))[0]!;
      const expected = await values.readFloat32("logits");
      const { dVocab } = model.config;
      const kvCache: KvCache = { length: 0, layers: [] };
      for (const [p, token] of tokens.entries()) {
        const logits = model.extend([token], kvCache);
        expect(relativeError(logits.dataSync(), expected.subarray(p * dVocab, (p + 1) * dVocab))).toBeLessThan(
          TOLERANCE,
        );
        logits.dispose();
      }
      tf.dispose(kvCache.layers.map(({ keys, values: kept }) => [keys, kept]).flat());
    });
  });
});
