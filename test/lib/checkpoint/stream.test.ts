import { copyFile, mkdtemp, rm, truncate } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, test } from "vitest";
import { type BackendName, useBackend } from "../../../lib/backend.ts";
import { loadModel, saveModel } from "../../../lib/checkpoint/folder.ts";
import { openFolder } from "../../../lib/checkpoint/node.ts";
import { dispatch } from "../../../lib/dispatch.ts";
import { ConfigError } from "../../../lib/errors.ts";
import { generate } from "../../../lib/generate.ts";
import type { MoeModel } from "../../../lib/model.ts";
import { randomModel, TINY, TINY_DENSE } from "../../helpers.ts";

const GOLDEN = join(import.meta.dirname, "../../golden");

// All experts in a tensor, in float32 and bfloat16; a tensor for each; gate and up in one; tied; capped and scaled; biases, gains stored from 1, learned positions.
const MODELS = [
  "dbrx/p1",
  "dbrx/bf16",
  "families/mixtral",
  "families/mixtral-fused",
  "families/qwen3-fused",
  "families/granite",
  "families/grok",
  "families/llama-biased",
  "families/gemma",
  "families/gpt2",
  "families/gptoss",
  "families/gptoss-mxfp4",
  "families/deepseek",
  "families/deepseek-fp8",
];

/** The smallest budget that a model can be run with, as the refusal of a smaller one says it. */
async function leastBudget(folder: string): Promise<number> {
  const error = await loadModel(folder, { memoryBudget: 1 }).catch((cause: unknown) => cause);
  expect(error).toBeInstanceOf(ConfigError);
  return Number(
    /^loadModel: memoryBudget must be at least (\d+) bytes for this model, got 1$/.exec((error as Error).message)![1],
  );
}

/** The value of every hook, or of those that are named, by name; the logits are among the hooks. */
function everything(model: MoeModel, tokens: number[] | number[][], names = "*"): Map<string, tf.TypedArray> {
  const { logits, cache } = model.runWithCache(tokens, { names });
  const values = new Map(cache.names.map((name) => [name as string, cache.get(name).dataSync()]));
  cache.dispose();
  logits.dispose();
  return values;
}

async function continued(model: MoeModel): Promise<number[]> {
  const ids: number[] = [];
  for await (const id of generate(model, [1, 5, 3], { maxTokens: 3, temperature: 0 })) ids.push(id);
  return ids;
}

describe.each<BackendName>(["tensorflow", "wasm"])("streamed on %s", (backend) => {
  beforeAll(async () => {
    await useBackend(backend);
  });

  test.each(MODELS)("%s computes what the model in memory computes, bit for bit, whatever is kept", async (name) => {
    const folder = join(GOLDEN, name);
    const least = await leastBudget(folder);
    const whole = await loadModel(folder);
    const continuation = await continued(whole); // whose decoder may keep a copy of the weights
    const before = tf.memory().numTensors;
    for (const budget of [least, least + 8_000]) {
      const streamed = await loadModel(folder, { memoryBudget: budget });
      if (budget === least) expect(streamed.streamed).not.toBeNull();
      const runs = [
        [3],
        [1, 5, 3, 2, 7, 9, 4],
        [
          [1, 2, 3],
          [4, 5, 6],
        ],
      ]; // the first two: experts one by one, or together
      for (const tokens of runs) expect(everything(streamed, tokens)).toEqual(everything(whole, tokens));
      if (budget === least) expect(await continued(streamed)).toEqual(continuation);
      streamed.dispose();
    }
    expect(tf.memory().numTensors).toBe(before);
    whole.dispose();
  });
});

describe("a streamed model", () => {
  let dir: string;
  beforeAll(async () => {
    await useBackend();
    dir = await mkdtemp(join(tmpdir(), "moescope-"));
    return () => rm(dir, { recursive: true });
  });

  test("may be dense", async () => {
    const folder = join(dir, "dense");
    const model = randomModel({ ...TINY_DENSE, nLayers: 5 });
    await saveModel(folder, model, "F32");
    const streamed = await loadModel(folder, { memoryBudget: await leastBudget(folder) });
    expect(streamed.streamed).not.toBeNull();
    expect(everything(streamed, [5, 2, 3])).toEqual(everything(model, [5, 2, 3]));
    for (const m of [model, streamed]) m.dispose();
  });

  test("reads of the experts only those that the batch routes to, and everything else once", async () => {
    const folder = join(GOLDEN, "dbrx/p1");
    const streamed = await loadModel(folder, { memoryBudget: await leastBudget(folder) });
    const checkpoint = await openFolder(folder);
    const bytesOf = (pattern: RegExp): number =>
      [...checkpoint.tensors.values()]
        .filter(({ name }) => pattern.test(name))
        .reduce((sum, { start, end }) => sum + end - start, 0);
    await checkpoint.close();
    const before = streamed.streamed!.bytesRead;
    expect(before).toBe(bytesOf(/norm_[12f]|router/)); // read at the beginning
    streamed.run([3]).dispose();
    const row = 4 * 24;
    const experts = (bytesOf(/experts/) * 3) / 8; // each token goes to 3 of 8
    expect(streamed.streamed!.bytesRead - before).toBe(row + experts + bytesOf(/Wqkv|out_proj|lm_head/));
    streamed.dispose();
  });

  test("reads experts of uneven loads once, and computes the bits of the model in memory", async () => {
    const folder = join(dir, "uneven");
    const mlp = { ...TINY.mlp, nExperts: 16, dFf: 512 };
    const model = randomModel({ ...TINY, nLayers: 1, nCtx: 160, dModel: 128, dHead: 32, mlp }, 5);
    await saveModel(folder, model, "F32");
    const streamed = await loadModel(folder, { memoryBudget: await leastBudget(folder) });
    const tokens = Array.from({ length: 160 }, (_, i) => (i < 144 ? 1 : i - 142)); // a token that most rows are
    const before = streamed.streamed!.bytesRead;
    const seen = "blocks.0.mlp.hook_expert_*";
    const values = everything(streamed, tokens, seen);
    const chosen = values.get("blocks.0.mlp.hook_expert_indices") as Int32Array;
    const { counts } = dispatch(chosen, 2, 16);
    expect(Math.max(...counts)).toBeGreaterThan(100);
    const shared = ["attn.W_QKV", "attn.W_O"].map((name) => `blocks.0.${name}`);
    const numbers = [...shared, "unembed.W_U"].reduce((sum, name) => sum + model.params.get(name)!.size, 160 * 128);
    const busy = counts.filter((rows) => rows > 0).length;
    expect(streamed.streamed!.bytesRead - before).toBe(4 * (numbers + 3 * busy * 128 * 512));
    expect(values).toEqual(everything(model, tokens, seen));
    for (const m of [model, streamed]) m.dispose();
  });

  test("keeps what fits, so that the next run reads less, and in the end only rows of the embedding", async () => {
    const folder = join(GOLDEN, "dbrx/p1");
    const least = await leastBudget(folder);
    const whole = await loadModel(folder);
    const bytes = [...whole.params.values()].reduce((sum, { size }) => sum + 4 * size, 0);
    whole.dispose();
    const read: number[] = [];
    for (const memoryBudget of [least, least + 20_000, bytes]) {
      const streamed = await loadModel(folder, { memoryBudget });
      expect(streamed.streamed).not.toBeNull();
      streamed.run([3, 4]).dispose();
      const before = streamed.streamed!.bytesRead;
      streamed.run([3, 4]).dispose();
      read.push(streamed.streamed!.bytesRead - before);
      streamed.dispose();
    }
    expect(read[1]).toBeLessThan(read[0]!);
    expect(read[2]).toBeLessThan(read[1]!);
  });

  test("says what it reads: blocks that are done, of how many", async () => {
    const folder = join(GOLDEN, "families/mixtral");
    const told: [number, number, string][] = [];
    const streamed = await loadModel(folder, {
      memoryBudget: await leastBudget(folder),
      onProgress: (...progress) => void told.push(progress),
    });
    told.length = 0;
    streamed.run([3]).dispose();
    const { nLayers, mlp } = streamed.config;
    expect(told[0]).toEqual([0, nLayers, "a token's embedding"]);
    expect(told.at(-1)).toEqual([nLayers, nLayers, "unembed.W_U"]);
    const perBlock = 2 + 3 * (mlp.kind === "moe" ? mlp.topK : 1);
    expect(told.map(([done]) => done)).toEqual([
      0,
      ...Array.from({ length: nLayers * perBlock }, (_, i) => Math.floor(i / perBlock)),
      nLayers,
    ]);
    streamed.dispose();
  });

  test("has no parameters in memory to give", async () => {
    const folder = join(GOLDEN, "dbrx/p1");
    const streamed = await loadModel(folder, { memoryBudget: await leastBudget(folder) });
    const message = "params: the model must be in memory, got one that is streamed; load it without memoryBudget";
    expect(() => streamed.params).toThrow(new ConfigError(message));
    await expect(saveModel(join(dir, "copy"), streamed)).rejects.toThrow(message);
    streamed.dispose();
  });

  test("names the tensor whose bytes went away", async () => {
    const model = randomModel();
    await saveModel(dir, model);
    model.dispose();
    await copyFile(join(dir, "model.safetensors"), join(dir, "kept"));
    const streamed = await loadModel(dir, { memoryBudget: await leastBudget(dir) });
    await truncate(join(dir, "model.safetensors"), 2000);
    const before = tf.memory().numTensors;
    expect(() => streamed.run([3])).toThrow(/model\.safetensors: tensor ".+": bytes \d+ to \d+ must be readable, got/);
    expect(tf.memory().numTensors).toBe(before);
    streamed.dispose();
  });

  test("is not made of a model that fits, nor of a budget that is none", async () => {
    const folder = join(GOLDEN, "dbrx/p1");
    for (const memoryBudget of [1e9, Number.POSITIVE_INFINITY]) {
      const model = await loadModel(folder, { memoryBudget });
      expect(model.streamed).toBeNull();
      model.dispose();
    }
    for (const memoryBudget of [0, -1, Number.NaN])
      await expect(loadModel(folder, { memoryBudget })).rejects.toThrow(
        new ConfigError(`loadModel: memoryBudget must be a positive number of bytes, got ${memoryBudget}`),
      );
  });
});
