import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, test } from "vitest";
import { useBackend } from "../../../lib/backend.ts";
import { memorySource } from "../../../lib/checkpoint/bytes.ts";
import type { Checkpoint } from "../../../lib/checkpoint/checkpoint.ts";
import { loadModelFrom, streamModelFrom } from "../../../lib/checkpoint/load.ts";
import type { ModelConfig } from "../../../lib/config.ts";
import { CheckpointError } from "../../../lib/errors.ts";
import { parseConfig } from "../../../lib/families/index.ts";
import { checkpointOf, fileOf } from "../checkpoint/files.ts";

const GOLDEN = join(import.meta.dirname, "../../golden/families");

interface Stored {
  dtype: string;
  shape: number[];
  bytes: Uint8Array;
}

/** The tensors of a tiny checkpoint's file, of whatever type. */
async function tensorsOf(name: string): Promise<Map<string, Stored>> {
  const file = await readFile(join(GOLDEN, name, "model.safetensors"));
  const start = 8 + Number(file.readBigUInt64LE());
  const header = JSON.parse(file.toString("utf8", 8, start)) as Record<
    string,
    Omit<Stored, "bytes"> & { data_offsets: [number, number] }
  >;
  const tensors = Object.entries(header).filter(([tensor]) => tensor !== "__metadata__");
  return new Map(
    tensors.map(
      ([
        tensor,
        {
          dtype,
          shape,
          data_offsets: [from, to],
        },
      ]) => {
        return [tensor, { dtype, shape, bytes: file.subarray(start + from, start + to) }];
      },
    ),
  );
}

async function checkpointWith(tensors: ReadonlyMap<string, Stored>) {
  let end = 0;
  const header = [...tensors].map(([tensor, { dtype, shape, bytes }]) => {
    const from = end;
    end += bytes.length;
    return [tensor, { dtype, shape, data_offsets: [from, end] }];
  });
  const data = Buffer.concat([...tensors.values()].map(({ bytes }) => bytes));
  return checkpointOf(memorySource("file", fileOf(Object.fromEntries(header), data)));
}

type Change = (tensors: Map<string, Stored>) => unknown;

/** Changes some of what a tensor says of itself; of other sizes it holds zeros. */
function changed(tensor: string, change: Partial<Stored>): Change {
  return (tensors) => {
    const { dtype, shape, bytes } = { ...tensors.get(tensor)!, ...change };
    const width = { F32: 4, BF16: 2, U8: 1, I8: 1, F8_E4M3: 1, F8_E5M2: 1, F8_E8M0: 1, I32: 4 }[dtype]!;
    const length = width * shape.reduce((a, b) => a * b, 1);
    tensors.set(tensor, { dtype, shape, bytes: bytes.length === length ? bytes : new Uint8Array(length) });
  };
}

const without =
  (tensor: string): Change =>
  (tensors) =>
    tensors.delete(tensor);

const LATENT = "model.layers.0.self_attn.q_a_proj.weight";
const EXPERT = "model.layers.1.mlp.experts.5.down_proj.weight";
const GATE_UP = "model.layers.0.mlp.experts.gate_up_proj";

describe("a checkpoint that does not hold what its configuration says is refused in one line, loaded or streamed", () => {
  beforeAll(async () => {
    await useBackend("cpu");
  });

  test.each<[string, string, Record<string, number>, Change[], string]>([
    [
      "deepseek-fp8",
      "factors of other squares",
      {},
      [changed(`${LATENT}_scale_inv`, { shape: [2, 1] })],
      `file: tensor "${LATENT}_scale_inv": shape must be [1,2], one for each block of ${LATENT}, got [2,1]`,
    ],
    [
      "deepseek-fp8",
      "one factor for a whole matrix",
      {},
      [changed(`${LATENT}_scale_inv`, { shape: [] })],
      `file: tensor "${LATENT}_scale_inv": shape must be [1,2], one for each block of ${LATENT}, got []`,
    ],
    [
      "deepseek-fp8",
      "factors that are powers of two in a byte",
      {},
      [changed(`${LATENT}_scale_inv`, { dtype: "F8_E8M0" })],
      `file: tensor "${LATENT}_scale_inv": dtype must be one of F32, BF16, F16, got F8_E8M0`,
    ],
    [
      "deepseek-fp8",
      "no factors",
      {},
      [without(`${EXPERT}_scale_inv`)],
      `file: tensor "${EXPERT}": dtype must be one of F32, BF16, F16, got F8_E4M3`,
    ],
    [
      "deepseek-fp8",
      "another FP8",
      {},
      [changed(EXPERT, { dtype: "F8_E5M2" })],
      `file: tensor "${EXPERT}": dtype must be F8_E4M3, for ${EXPERT}_scale_inv scales it, got F8_E5M2`,
    ],
    [
      "deepseek-fp8",
      "fewer experts",
      { n_routed_experts: 9 },
      [],
      'file: tensor "model.layers.1.mlp.gate.weight" must have shape [9, 130], got [6, 130]',
    ],
    [
      "deepseek-fp8",
      "an expert less than its router",
      {},
      [without(EXPERT)],
      `file: no tensor is called "${EXPERT}"; the nearest of`,
    ],
    [
      "deepseek-fp8",
      "a bias of the choice in whole numbers",
      {},
      [changed("model.layers.1.mlp.gate.e_score_correction_bias", { dtype: "I32" })],
      'file: tensor "model.layers.1.mlp.gate.e_score_correction_bias": dtype must be one of F32, BF16, F16, got I32',
    ],
    [
      "gptoss-mxfp4",
      "factors for fewer experts",
      {},
      [changed(`${GATE_UP}_scales`, { shape: [4, 64, 1] })],
      `file: tensor "${GATE_UP}_scales": shape must be [5,64,1], one for each block of ${GATE_UP}_blocks, got [4,64,1]`,
    ],
    [
      "gptoss-mxfp4",
      "factors in another type",
      {},
      [changed(`${GATE_UP}_scales`, { dtype: "I8" })],
      `file: tensor "${GATE_UP}_scales": dtype must be one of U8, F8_E8M0, got I8`,
    ],
    [
      "gptoss-mxfp4",
      "no factors",
      {},
      [without(`${GATE_UP}_scales`)],
      `file: no tensor is called "${GATE_UP}_scales"; the nearest of 39 are`,
    ],
    [
      "gptoss-mxfp4",
      "blocks in another type",
      {},
      [changed(`${GATE_UP}_blocks`, { dtype: "I8" })],
      `file: tensor "${GATE_UP}_blocks": dtype must be U8, for ${GATE_UP}_scales scales it, got I8`,
    ],
    [
      "gptoss-mxfp4",
      "blocks for fewer experts",
      {},
      [changed(`${GATE_UP}_blocks`, { shape: [4, 64, 1, 16] }), changed(`${GATE_UP}_scales`, { shape: [4, 64, 1] })],
      `file: tensor "${GATE_UP}_blocks" must have shape [5, 64, 1, 16], got [4, 64, 1, 16]`,
    ],
    [
      "gptoss-mxfp4",
      "fewer experts",
      { num_local_experts: 8 },
      [],
      'file: tensor "model.layers.0.mlp.router.weight" must have shape [8, 32], got [5, 32]',
    ],
    [
      "qwen3-fused",
      "a stack of fewer experts than its router",
      {},
      [changed(GATE_UP, { shape: [4, 14, 18] })],
      `file: tensor "${GATE_UP}" must have shape [5, 14, 18], got [4, 14, 18]`,
    ],
    [
      "qwen3-fused",
      "a gate without up",
      {},
      [changed(GATE_UP, { shape: [5, 7, 18] })],
      `file: tensor "${GATE_UP}" must have shape [5, 14, 18], got [5, 7, 18]`,
    ],
    ["grok", "fewer experts", { num_experts: 9 }, [], 'moe_block.gate.weight" must have shape [9, 16], got [5, 16]'],
    [
      "grok-release",
      "fewer experts",
      { num_local_experts: 9 },
      [],
      'file: tensor "transformer.decoder_layer.0.router.weight" must have shape [9, 18], got [8, 18]',
    ],
  ])("%s with %s", async (name, _, fields, changes, message) => {
    const tensors = await tensorsOf(name);
    for (const change of changes) change(tensors);
    const json = JSON.parse(readFileSync(join(GOLDEN, name, "config.json"), "utf8")) as object;
    const config = parseConfig({ ...json, ...fields });
    const checkpoint = await checkpointWith(tensors);
    const before = tf.memory().numTensors;
    for (const open of [loadModelFrom, (...of: [Checkpoint, ModelConfig]) => streamModelFrom(...of, 1e6)]) {
      const error: unknown = await open(checkpoint, config).catch((cause: unknown) => cause);
      expect(error).toBeInstanceOf(CheckpointError);
      expect((error as Error).message).toContain(message);
      expect((error as Error).message).not.toContain("\n");
    }
    expect(tf.memory().numTensors).toBe(before);
  });
});
