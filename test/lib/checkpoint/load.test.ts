import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, test } from "vitest";
import { useBackend } from "../../../lib/backend.ts";
import { memorySource } from "../../../lib/checkpoint/bytes.ts";
import { checkpointTensors, loadModelFrom } from "../../../lib/checkpoint/load.ts";
import { encodeSafetensors, type TensorData } from "../../../lib/checkpoint/write.ts";
import { CheckpointError } from "../../../lib/errors.ts";
import type { MoeModel } from "../../../lib/model.ts";
import { randomParams, TINY } from "../../helpers.ts";
import { checkpointOf, countingSource } from "./files.ts";

/** The tiny model's tensors as a file holds them. */
function tensorsOf(): TensorData[] {
  const params = randomParams(TINY, 5);
  const tensors = checkpointTensors(TINY, params, "F32");
  tf.dispose([...params.values()]);
  return tensors;
}

function fileOf(tensors: readonly TensorData[]): Uint8Array {
  return Buffer.concat([...encodeSafetensors(tensors)]);
}

async function load(tensors: readonly TensorData[]): Promise<MoeModel> {
  return loadModelFrom(await checkpointOf(memorySource("tiny.safetensors", fileOf(tensors))), TINY);
}

function without(name: string): TensorData[] {
  return tensorsOf().filter((tensor) => tensor.name !== name);
}

const V1 = "transformer.blocks.1.ffn.experts.mlp.v1";

describe("loadModelFrom", () => {
  beforeAll(async () => {
    await useBackend();
  });

  test("lays experts outputs first and all else inputs first, and takes each expert's rows from the flat tensors", async () => {
    const tensors = new Map(tensorsOf().map((tensor) => [tensor.name, tensor]));
    const model = await load([...tensors.values()]);
    const at = (param: string, ...place: number[]): number =>
      model.params
        .get(param)!
        .bufferSync()
        .get(...place);
    const stored = (name: string, row: number, column: number): number => {
      const { shape, data } = tensors.get(name)!;
      return data[row * shape[1]! + column]!;
    };
    // Of expert 3, neuron 4 and dimension 7: row 3 · 6 + 4 of each of the three.
    expect(at("blocks.1.mlp.W_up", 3, 4, 7)).toBe(stored(V1, 22, 7));
    expect(at("blocks.1.mlp.W_gate", 3, 4, 7)).toBe(stored(V1.replace("v1", "w1"), 22, 7));
    expect(at("blocks.1.mlp.W_down", 3, 7, 4)).toBe(stored(V1.replace("v1", "w2"), 22, 7));
    expect(at("blocks.0.mlp.W_router", 9, 2)).toBe(stored("transformer.blocks.0.ffn.router.layer.weight", 2, 9));
    expect(at("blocks.0.attn.W_QKV", 9, 20)).toBe(
      stored("transformer.blocks.0.norm_attn_norm.attn.Wqkv.weight", 20, 9),
    );
    expect(at("embed.W_E", 22, 3)).toBe(stored("transformer.wte.weight", 22, 3));
    expect(at("unembed.W_U", 3, 22)).toBe(stored("lm_head.weight", 22, 3));
    model.dispose();
  });

  test("says which parameter it reads, and reads never more than one tensor or one expert at a time", async () => {
    const source = countingSource(memorySource("tiny.safetensors", fileOf(tensorsOf())));
    const checkpoint = await checkpointOf(source);
    source.reads.length = 0;
    const told: string[] = [];
    const model = await loadModelFrom(checkpoint, TINY, (done, total, param) => told.push(`${done}/${total} ${param}`));
    expect(told).toHaveLength(19);
    expect([told[0], told[18]]).toEqual(["0/19 embed.W_E", "18/19 unembed.W_U"]);
    // The largest whole tensor is W_QKV, [32, 16]; the three of experts are [30, 16], read 6 rows at a time.
    const sizes = source.reads.map(([start, end]) => end - start);
    expect(Math.max(...sizes)).toBe(32 * 16 * 4);
    expect(sizes.filter((size) => size === 6 * 16 * 4)).toHaveLength(2 * 3 * 5);
    expect(sizes).not.toContain(30 * 16 * 4);
    model.dispose();
  });

  test.each<[string, () => TensorData[], string]>([
    [
      "a tensor is missing",
      () => without(V1),
      `tiny.safetensors: no tensor is called "${V1}"; the nearest of 18 are "transformer.blocks.0.ffn.experts.mlp.v1", "transformer.blocks.1.ffn.experts.mlp.w`,
    ],
    [
      "a tensor belongs nowhere",
      () => [...tensorsOf(), { name: "lm_head.bias", dtype: "F32", shape: [1], data: Float32Array.of(0) }],
      "tiny.safetensors: tensors must all belong to a dbrx of this configuration, got also lm_head.bias",
    ],
    [
      "many tensors belong nowhere",
      () => [
        ...tensorsOf(),
        ...Array.from(
          { length: 9 },
          (_, i): TensorData => ({ name: `x${i}`, dtype: "F32", shape: [0], data: new Float32Array() }),
        ),
      ],
      "tiny.safetensors: tensors must all belong to a dbrx of this configuration, got also x0, x1, x2, x3 … (9 in all)",
    ],
    [
      "a tensor has another shape",
      () => [...without(V1), { name: V1, dtype: "F32", shape: [6, 80], data: new Float32Array(480) }],
      `tiny.safetensors: tensor "${V1}" must have shape [30, 16], got [6, 80]`,
    ],
    [
      "a tensor has an axis more",
      () => [...without(V1), { name: V1, dtype: "F32", shape: [5, 6, 16], data: new Float32Array(480) }],
      `tiny.safetensors: tensor "${V1}" must have shape [30, 16], got [5, 6, 16]`,
    ],
    [
      "a tensor holds whole numbers",
      () => [...without(V1), { name: V1, dtype: "I32", shape: [30, 16], data: new Int32Array(480) }],
      `tiny.safetensors: tensor "${V1}": dtype must be one of F32, BF16, F16, got I32`,
    ],
  ])(
    "where %s, one line names file, tensor, expected and found, and no tensor is left",
    async (_, tensors, message) => {
      const file = tensors();
      const before = tf.memory().numTensors;
      const error = await load(file).catch((cause: unknown) => cause);
      expect(error).toBeInstanceOf(CheckpointError);
      expect((error as Error).message).toContain(message);
      expect((error as Error).message).not.toContain("\n");
      expect(tf.memory().numTensors).toBe(before);
    },
  );
});

describe("checkpointTensors", () => {
  test("writes what was read, bit for bit, in one tensor for each name of the file", async () => {
    await useBackend();
    const tensors = tensorsOf();
    const model = await load(tensors);
    expect(checkpointTensors(TINY, model.params, "F32")).toEqual(tensors);
    expect(new Set(tensors.map(({ name }) => name)).size).toBe(19);
    model.dispose();
  });
});
