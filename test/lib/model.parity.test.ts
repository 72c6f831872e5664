import { join } from "node:path";
import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, test } from "vitest";
import type { KvCache } from "../../lib/attend.ts";
import { type BackendName, useBackend } from "../../lib/backend.ts";
import type { Checkpoint } from "../../lib/checkpoint/checkpoint.ts";
import { loadModel } from "../../lib/checkpoint/folder.ts";
import { openFolder } from "../../lib/checkpoint/node.ts";
import { generate } from "../../lib/generate.ts";
import { type HookName, patternOf } from "../../lib/hooks.ts";
import type { MoeModel } from "../../lib/model.ts";
import { expectGolden, goldenRows, relativeError } from "../helpers.ts";

// What transformers computed (test/golden/make_dbrx.py): p-norms 1, 2 and none, grouped heads, clamps that bite,
// shards, bfloat16, every expert chosen.
const GOLDEN = join(import.meta.dirname, "../golden/dbrx");
const MODELS = ["p1", "p2", "pnone", "bf16", "dense"];
// What a reference of the dense block computed (test/golden/make_dense_dbrx.py): one expert, routers of zeros and of any numbers.
const DENSE = ["glu", "glu-routed"];
const BACKENDS: BackendName[] = ["tensorflow", "wasm"];

/** What every value must agree to, on the scale of its tensor's largest magnitude. */
const TOLERANCE = 1e-4;

describe.each(BACKENDS)("on %s", (backend) => {
  beforeAll(async () => {
    await useBackend(backend);
  });

  describe.each([...MODELS, ...DENSE])("the tiny DBRX %s", (name) => {
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

    test("every hook agrees with what the other implementation computed", async () => {
      const { logits, cache } = model.runWithCache(await goldenRows(values, "ids"));
      const stored = [...values.tensors.keys()].filter((key) => patternOf(key) !== null);
      expect(new Set(stored.map(patternOf))).toEqual(new Set(model.hookNames.map(patternOf)));
      for (const key of stored) await expectGolden(values, key, cache.get(key as HookName), TOLERANCE);
      await expectGolden(values, "logits", logits, TOLERANCE);
      logits.dispose();
      cache.dispose();
    });

    test("greedy generation gives the other implementation's tokens", async () => {
      const expected = [...(await values.readInt32("generated"))];
      const prompt = (await goldenRows(values, "ids"))[0]!.slice(0, 4);
      const ids: number[] = [];
      for await (const id of generate(model, prompt, { temperature: 0, maxTokens: 1000 })) ids.push(id);
      expect(ids).toEqual(expected);
    });

    test("token by token with cached keys and values the logits are those of the full pass", async () => {
      const tokens = (await goldenRows(values, "ids"))[0]!;
      const full = model.run(tokens);
      const expected = full.arraySync()[0]!;
      full.dispose();
      const kvCache: KvCache = { length: 0, layers: [] };
      for (const [p, token] of tokens.entries()) {
        const logits = model.extend([token], kvCache);
        expect(relativeError(logits.dataSync(), expected[p]!)).toBeLessThan(1e-5);
        logits.dispose();
      }
      for (const { keys, values: kept } of kvCache.layers) {
        keys.dispose();
        kept.dispose();
      }
    });
  });
});
