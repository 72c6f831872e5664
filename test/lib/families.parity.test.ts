import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, test } from "vitest";
import type { KvCache } from "../../lib/attend.ts";
import { type BackendName, useBackend } from "../../lib/backend.ts";
import { memorySource } from "../../lib/checkpoint/bytes.ts";
import type { Checkpoint } from "../../lib/checkpoint/checkpoint.ts";
import { loadModel, readConfig, saveModel } from "../../lib/checkpoint/folder.ts";
import { loadModelFrom } from "../../lib/checkpoint/load.ts";
import { openFolder } from "../../lib/checkpoint/node.ts";
import { encodeSafetensors, type TensorData } from "../../lib/checkpoint/write.ts";
import { type HookName, type Hooks, patternOf } from "../../lib/hooks.ts";
import type { MoeModel } from "../../lib/model.ts";
import { parameterCounts } from "../../lib/params.ts";
import { lossAndGradients } from "../../lib/train/step.ts";
import { expectGolden, goldenRows, relativeError } from "../helpers.ts";
import { checkpointOf } from "./checkpoint/files.ts";

// What transformers computed (test/golden/families/make_families.py and make_latest.py), and for Grok-1 NumPy from the maths of xAI's code
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
  "qwen3-mixed",
  "granite",
  "granite-renamed",
  "grok",
  "grok-release",
  "llama",
  "llama-biased",
  "gemma",
  "gemma-untied",
  "gpt2",
  "gpt2-bare",
  "gptoss",
  "gptoss-mxfp4",
  "deepseek",
  "deepseek-fused",
  "deepseek-fp8",
];
const BACKENDS: BackendName[] = ["tensorflow", "wasm"];

/** What every value must agree to, on the scale of its tensor's largest magnitude. */
const TOLERANCE = 1e-5;

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
      const { logits, cache } = model.runWithCache(await goldenRows(values, "ids"));
      const stored = [...values.tensors.keys()].filter((key) => patternOf(key) !== null);
      const outside = model.hookNames.filter((hook) => !hook.includes(".experts."));
      expect(new Set(stored)).toEqual(new Set(outside));
      for (const key of stored) await expectGolden(values, key, cache.get(key as HookName), TOLERANCE);
      await expectGolden(values, "logits", logits, TOLERANCE);
      logits.dispose();
      cache.dispose();
    });

    // A hook keeps the decoder to tensors; without one it may use plain numbers.
    test.each<[string, Hooks]>([
      ["plainly", {}],
      ["watched", { "blocks.1.hook_resid_post": () => {} }],
    ])("decoded token by token, %s, the logits are the same", async (_, hooks) => {
      const tokens = (await goldenRows(values, "ids"))[0]!;
      const expected = await values.readFloat32("logits");
      const { dVocab } = model.config;
      const decoder = await model.decoder();
      const kvCache: KvCache = { length: 0, layers: [] };
      const compareNext = (logits: tf.Tensor): void => {
        const last = expected.subarray((kvCache.length - 1) * dVocab, kvCache.length * dVocab);
        expect(relativeError(logits.dataSync(), last), `token ${kvCache.length}`).toBeLessThan(TOLERANCE);
        logits.dispose();
      };
      compareNext(model.extend(tokens.slice(0, 3), kvCache));
      decoder.adopt(kvCache);
      for (const token of tokens.slice(3)) compareNext(decoder.extend([token], kvCache, hooks));
      expect(kvCache.length).toBe(tokens.length);
      tf.dispose(kvCache.layers.flatMap(({ keys, values: kept }) => [keys, kept]));
    });
  });

  test.each(["granite", "qwen3-fused", "gpt2"])(
    "the training loss of the tiny %s has transformers' gradients",
    async (name) => {
      await useBackend(backend);
      const values = await openFolder(join(GOLDEN, `${name}.values.safetensors`));
      const [batch, length] = values.tensor("ids").shape as [number, number];
      const model = await loadModel(join(GOLDEN, name));
      const expected = await loadModel(join(GOLDEN, `${name}.gradients`)); // a model whose weights are the gradients
      const before = tf.memory().numTensors;
      const variables = new Map([...model.params].map(([param, value]) => [param, tf.variable(value)]));
      const rows = { ids: await values.readInt32("ids"), batch, pos: length - 1 };
      const loadBalance = model.config.mlp.kind === "moe" ? ({ form: "huggingface", weight: 0.05 } as const) : null;
      const { gradients, loss } = lossAndGradients(variables, model.config, rows, { loadBalance, zLossWeight: 0 });
      expect(loss.total).toBeCloseTo((await values.readFloat32("loss"))[0]!, 4);
      expect([...gradients.keys()]).toEqual([...expected.params.keys()]);
      for (const [param, gradient] of gradients)
        expect(relativeError(gradient.dataSync(), expected.params.get(param)!.dataSync()), param).toBeLessThan(
          TOLERANCE,
        );
      tf.dispose([...gradients.values(), ...variables.values()]);
      expect(tf.memory().numTensors).toBe(before);
      for (const m of [model, expected]) m.dispose();
      await values.close();
    },
  );
});

describe("checkpoints", () => {
  let dir: string;
  beforeAll(async () => {
    await useBackend();
    dir = await mkdtemp(join(tmpdir(), "moescope-"));
    return () => rm(dir, { recursive: true });
  });

  /** The tensors of a tiny model, as its file holds them. */
  async function tensorsOf(name: string): Promise<TensorData[]> {
    const checkpoint = await openFolder(join(GOLDEN, name));
    const read = [...checkpoint.tensors.values()].map(
      async ({ name: tensor, shape }): Promise<TensorData> => ({
        name: tensor,
        shape,
        dtype: "F32",
        data: await checkpoint.readFloat32(tensor),
      }),
    );
    const tensors = await Promise.all(read);
    await checkpoint.close();
    return tensors;
  }

  async function loadWith(name: string, tensors: readonly TensorData[]): Promise<MoeModel> {
    const source = memorySource("file", Buffer.concat([...encodeSafetensors(tensors)]));
    return loadModelFrom(await checkpointOf(source), await readConfig(join(GOLDEN, name)));
  }

  test.each(MODELS)(
    "of %s, read in whichever layout, are written in the published one and read back bit for bit",
    async (name) => {
      const model = await loadModel(join(GOLDEN, name));
      await saveModel(join(dir, name), model, "F32");
      const again = await loadModel(join(dir, name));
      expect(again.config).toEqual(model.config);
      for (const [param, value] of model.params)
        expect(again.params.get(param)!.dataSync(), param).toEqual(value.dataSync());
      const file = await openFolder(join(dir, name));
      const fused = expect.stringMatching(/gate_up_proj|\.experts\.down_proj/);
      if (!name.startsWith("gptoss")) expect([...file.tensors.keys()]).not.toContainEqual(fused); // whose layout is fused
      await file.close();
      for (const m of [model, again]) m.dispose();
    },
  );

  test("with tied embeddings give a model one matrix for both ends", async () => {
    const model = await loadModel(join(GOLDEN, "granite"));
    expect(model.params.has("unembed.W_U")).toBe(false);
    const sizes = [...model.params.values()].map((param) => param.size);
    expect(parameterCounts(model.config).total).toBe(sizes.reduce((a, b) => a + b));
    model.dispose();
  });

  // transformers 4 would tie them all the same, transformers 5 does not.
  test("that hold an unembedding are read with it, though their configuration ties it to the embedding", async () => {
    const tensors = await tensorsOf("granite");
    const embedding = tensors.find(({ name }) => name === "model.embed_tokens.weight") as TensorData & { dtype: "F32" };
    const head: TensorData = { ...embedding, name: "lm_head.weight", data: embedding.data.map((x) => 2 * x) };
    const [tied, own] = [await loadWith("granite", tensors), await loadWith("granite", [...tensors, head])];
    expect([tied.config.tiedEmbeddings, own.config.tiedEmbeddings]).toEqual([true, false]);
    const [once, twice] = [tied.run([1, 2, 3]), own.run([1, 2, 3])];
    expect(relativeError(twice.dataSync(), once.mul(2).dataSync())).toBeLessThan(1e-6);
    tf.dispose([once, twice]);
    for (const m of [tied, own]) m.dispose();
  });

  test.each<[string, string, (tensors: TensorData[]) => TensorData[], string]>([
    [
      "lack an expert",
      "mixtral",
      (tensors) => tensors.filter(({ name }) => !name.includes("layers.1.block_sparse_moe.experts.4.w3")),
      'file: no tensor is called "model.layers.1.block_sparse_moe.experts.4.w3.weight"; the nearest of 48 are',
    ],
    [
      "have biases",
      "qwen3",
      (tensors) => [
        ...tensors,
        { name: "model.layers.0.self_attn.q_proj.bias", dtype: "F32", shape: [1], data: Float32Array.of(0) },
      ],
      "file: tensors must all belong to a qwen3_moe of this configuration, got also model.layers.0.self_attn.q_proj.bias",
    ],
    [
      "have an expert more",
      "granite",
      (tensors) =>
        tensors.map((tensor) =>
          tensor.name === "model.layers.1.block_sparse_moe.output_linear.weight" && tensor.dtype === "F32"
            ? { ...tensor, shape: [8, 22, 6], data: new Float32Array(8 * 22 * 6) }
            : tensor,
        ),
      'file: tensor "model.layers.1.block_sparse_moe.output_linear.weight" must have shape [7, 22, 6], got [8, 22, 6]',
    ],
  ])("that %s are refused in one line", async (_, name, change, message) => {
    const before = tf.memory().numTensors;
    await expect(loadWith(name, change(await tensorsOf(name)))).rejects.toThrow(message);
    expect(tf.memory().numTensors).toBe(before);
  });
});
