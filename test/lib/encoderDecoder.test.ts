import { join } from "node:path";
import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, test } from "vitest";
import { type BackendName, useBackend } from "../../lib/backend.ts";
import { memorySource } from "../../lib/checkpoint/bytes.ts";
import type { Checkpoint } from "../../lib/checkpoint/checkpoint.ts";
import { loadEncoderDecoder, loadModel, readJson } from "../../lib/checkpoint/folder.ts";
import { loadEncoderDecoderFrom } from "../../lib/checkpoint/load.ts";
import { openFolder } from "../../lib/checkpoint/node.ts";
import { encodeSafetensors, type TensorData } from "../../lib/checkpoint/write.ts";
import type { EncoderDecoderModel } from "../../lib/encoderDecoder.ts";
import type { EncoderDecoderHook } from "../../lib/encoderDecoderHooks.ts";
import { CheckpointError } from "../../lib/errors.ts";
import { parseEncoderDecoder } from "../../lib/families/index.ts";
import { expectGolden, expectNoLeak, goldenRows, relativeError } from "../helpers.ts";
import { checkpointOf } from "./checkpoint/files.ts";

// What transformers computed (test/golden/families/make_mt5.py): texts longer than the exact buckets, more decoder than
// encoder blocks, heads together wider than d_model, odd widths, a head of its own and a tied one.
const GOLDEN = join(import.meta.dirname, "../golden/families");
const MODELS = ["mt5", "mt5-tied"];
const BACKENDS: BackendName[] = ["tensorflow", "wasm"];
const TOLERANCE = 1e-5;

async function textsOf(values: Checkpoint): Promise<{ source: number[][]; target: number[][] }> {
  return { source: await goldenRows(values, "source"), target: await goldenRows(values, "target") };
}

describe.each(BACKENDS)("on %s", (backend) => {
  describe.each(MODELS)("the tiny %s", (name) => {
    let model: EncoderDecoderModel;
    let values: Checkpoint;
    let texts: { source: number[][]; target: number[][] };
    beforeAll(async () => {
      await useBackend(backend);
      model = await loadEncoderDecoder(join(GOLDEN, name));
      expect(tf.getBackend()).toBe(backend);
      values = await openFolder(join(GOLDEN, `${name}.values.safetensors`));
      texts = await textsOf(values);
      return async () => {
        model.dispose();
        await values.close();
      };
    });

    test("every hook agrees with transformers, in both stacks", async () => {
      const { logits, cache } = model.runWithCache(texts);
      const stored = [...values.tensors.keys()].filter((key) => key !== "source" && key !== "target");
      expect(new Set(stored)).toEqual(new Set(model.hookNames));
      for (const key of stored) await expectGolden(values, key, cache.get(key as EncoderDecoderHook), TOLERANCE);
      await expectGolden(values, "logits", logits, TOLERANCE);
      logits.dispose();
      cache.dispose();
    });

    test("hooks fire in the order of their names, and a run leaves nothing behind", () => {
      const fired: string[] = [];
      const watch = Object.fromEntries(
        model.hookNames.map((hook) => [hook, (_: tf.Tensor, at: { name: string }) => void fired.push(at.name)]),
      );
      expectNoLeak(() => model.runWithHooks(texts, watch).dispose());
      expect(fired).toEqual(model.hookNames);
    });
  });
});

describe("an encoder-decoder", () => {
  let model: EncoderDecoderModel;
  let values: Checkpoint;
  let texts: { source: number[][]; target: number[][] };
  beforeAll(async () => {
    await useBackend();
    model = await loadEncoderDecoder(join(GOLDEN, "mt5"));
    values = await openFolder(join(GOLDEN, "mt5.values.safetensors"));
    texts = await textsOf(values);
    return async () => {
      model.dispose();
      await values.close();
    };
  });

  test("reads the source through cross-attention alone: without it, the source changes nothing", () => {
    const names = [0, 1, 2].map((l) => `decoder.blocks.${l}.hook_cross_out` as const);
    const blind = Object.fromEntries(names.map((name) => [name, (x: tf.Tensor) => tf.zerosLike(x)]));
    const other = { ...texts, source: texts.source.map((row) => row.toReversed()) };
    const [here, there] = [model.runWithHooks(texts, blind), model.runWithHooks(other, blind)];
    expect(there.dataSync()).toEqual(here.dataSync());
    const [seen, seenOther] = [model.run(texts), model.run(other)];
    expect(relativeError(seenOther.dataSync(), seen.dataSync())).toBeGreaterThan(1e-2);
    tf.dispose([here, there, seen, seenOther]);
  });

  test("does not look at the target's later tokens", () => {
    const shorter = { ...texts, target: texts.target.map((row) => row.slice(0, 4)) };
    const [whole, part] = [model.run(texts), model.run(shorter)];
    const begin = whole.slice([0, 0, 0], [-1, 4, -1]);
    expect(relativeError(part.dataSync(), begin.dataSync())).toBeLessThan(1e-5);
    tf.dispose([whole, part, begin]);
  });

  test("begins the target with its start token where none is given", async () => {
    const [given, left] = [
      model.run({ source: texts.source, target: [[0], [0]] }),
      model.run({ source: texts.source }),
    ];
    expect(left.shape).toEqual([2, 1, 37]);
    expect(left.dataSync()).toEqual(given.dataSync());
    tf.dispose([given, left]);
  });

  test("adds up: what a decoder's block leaves is what entered and its three parts", () => {
    const names = ["pre", "cross", "mid", "post"].map((part) => `decoder.blocks.1.hook_resid_${part}`);
    const parts = ["attn", "cross", "mlp"].map((part) => `decoder.blocks.1.hook_${part}_out`);
    const { logits, cache } = model.runWithCache(texts, { names: [...names, ...parts] });
    for (const [i, part] of parts.entries()) {
      const at = (name: string): tf.Tensor => cache.get(name as EncoderDecoderHook);
      const sum = at(names[i]!).add(at(part));
      expect(relativeError(sum.dataSync(), at(names[i + 1]!).dataSync())).toBeLessThan(1e-6);
      sum.dispose();
    }
    logits.dispose();
    cache.dispose();
  });

  test("refuses texts, hooks and replacements that do not fit, and leaks none of them", () => {
    const refused: [() => void, string][] = [
      [
        () => model.run({ source: [1, 2], target: [[0], [0]] }),
        "run: target must have as many sequences as source (1), got 2",
      ],
      [() => model.run({ source: [] }), "run: tokens must hold at least one id, got none"],
      [() => model.run({ source: [37] }), "run: a token id must be a whole number from 0 to 36, got 37"],
      [() => model.runWithCache(texts, { names: "blocks.*" }), 'hooks: no hook is called "blocks.*"; the nearest are'],
      [
        () => model.runWithHooks(texts, { "encoder.blocks.0.cross.hook_q": () => {} } as object),
        'hooks: no hook is called "encoder.blocks.0.cross.hook_q"; the nearest are',
      ],
      [
        () => model.runWithHooks(texts, { "decoder.blocks.1.cross.hook_k": (x) => x.slice([0, 1]) }),
        "hook decoder.blocks.1.cross.hook_k: shape must be [batch, k_pos, n_kv_heads, d_head] = [2, 15, 4, 6], got [2, 14, 4, 6]",
      ],
    ];
    for (const [body, message] of refused) expectNoLeak(() => expect(body).toThrow(message));
  });
});

describe("checkpoints", () => {
  beforeAll(async () => {
    await useBackend();
  });

  async function loadWith(change: (tensors: TensorData[]) => TensorData[]): Promise<EncoderDecoderModel> {
    const checkpoint = await openFolder(join(GOLDEN, "mt5"));
    const config = parseEncoderDecoder(await readJson(join(GOLDEN, "mt5/config.json")));
    const read = [...checkpoint.tensors.values()].map(
      async ({ name, shape }): Promise<TensorData> => ({
        name,
        shape,
        dtype: "F32",
        data: await checkpoint.readFloat32(name),
      }),
    );
    const tensors = change(await Promise.all(read));
    await checkpoint.close();
    return loadEncoderDecoderFrom(
      await checkpointOf(memorySource("file", Buffer.concat([...encodeSafetensors(tensors)]))),
      config,
    );
  }

  test("may hold the embedding twice more, and a bias of cross-attention that is never added", async () => {
    const model = await loadWith((tensors) => {
      const shared = tensors.find(({ name }) => name === "shared.weight")!;
      const bias = tensors.find(({ name }) => name.endsWith("relative_attention_bias.weight"))!;
      return [
        ...tensors,
        { ...shared, name: "encoder.embed_tokens.weight" },
        { ...shared, name: "decoder.embed_tokens.weight" },
        { ...bias, name: "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight" },
      ];
    });
    expect(model.config.tiedEmbeddings).toBe(false);
    model.dispose();
  });

  test("without a part, or with one more, are refused in one line", async () => {
    const name = "decoder.block.2.layer.1.EncDecAttention.k.weight";
    await expect(loadWith((tensors) => tensors.filter((tensor) => tensor.name !== name))).rejects.toThrow(
      `file: no tensor is called "${name}"; the nearest of 65 are`,
    );
    const extra: TensorData = { name: "decoder.block.9.x", dtype: "F32", shape: [1], data: Float32Array.of(0) };
    await expect(loadWith((tensors) => [...tensors, extra])).rejects.toThrow(
      new CheckpointError("file: tensors must all belong to a mt5 of this configuration, got also decoder.block.9.x"),
    );
  });

  test("are no decoder's, and a decoder's are none of theirs", async () => {
    await expect(loadModel(join(GOLDEN, "mt5"))).rejects.toThrow(
      'config.json: model_type must be a decoder\'s here, got "mt5", an encoder-decoder: open it with loadEncoderDecoder',
    );
    await expect(loadEncoderDecoder(join(GOLDEN, "mixtral"))).rejects.toThrow(
      'config.json: model_type must be mt5, an encoder-decoder, got "mixtral"',
    );
  });
});
