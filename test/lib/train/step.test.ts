import { join } from "node:path";
import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, test } from "vitest";
import { type BackendName, useBackend } from "../../../lib/backend.ts";
import { loadModel } from "../../../lib/checkpoint/folder.ts";
import { checkpointTensors } from "../../../lib/checkpoint/load.ts";
import { openFolder } from "../../../lib/checkpoint/node.ts";
import { moeOf } from "../../../lib/config.ts";
import { dispatch } from "../../../lib/dispatch.ts";
import type { ExpertStack } from "../../../lib/expertBlocks.ts";
import { type ExpertWeights, expertsBatched, expertsLooped } from "../../../lib/experts.ts";
import type { MoeWeights } from "../../../lib/moe.ts";
import { BlockTaps, Taps } from "../../../lib/taps.ts";
import { type Batch, lossAndGradients } from "../../../lib/train/step.ts";
import { relativeError } from "../../helpers.ts";

const GOLDEN = join(import.meta.dirname, "../../golden/dbrx");
const BACKENDS: BackendName[] = ["tensorflow", "wasm"];

async function batchOf(name: string): Promise<Batch> {
  const values = await openFolder(join(GOLDEN, `${name}.values.safetensors`));
  const [batch, length] = values.tensor("ids").shape as [number, number];
  const ids = await values.readInt32("ids");
  await values.close();
  return { ids, batch, pos: length - 1 };
}

describe.each(BACKENDS)("training step on %s", (backend) => {
  beforeAll(async () => {
    await useBackend(backend);
  });

  test.each([
    { form: "huggingface", file: "hf", zLossWeight: 0 },
    { form: "megablocks", file: "megablocks", zLossWeight: 0.01 },
  ] as const)("the $form loss and its gradient by every parameter agree with PyTorch's", async (options) => {
    const model = await loadModel(join(GOLDEN, "p2"));
    const expected = await openFolder(join(GOLDEN, `p2.gradients_${options.file}.safetensors`));
    const before = tf.memory().numTensors;
    const variables = new Map([...model.params].map(([name, value]) => [name, tf.variable(value)]));
    const { gradients, loss } = lossAndGradients(variables, model.config, await batchOf("p2"), {
      loadBalance: { form: options.form, weight: 0.05 },
      zLossWeight: options.zLossWeight,
    });
    expect(loss.total).toBeCloseTo((await expected.readFloat32("loss"))[0]!, 4);
    for (const { name, data } of checkpointTensors(model.config, gradients, "F32"))
      expect(relativeError(data, await expected.readFloat32(name)), name).toBeLessThan(1e-4);
    tf.dispose([...gradients.values(), ...variables.values()]);
    expect(tf.memory().numTensors).toBe(before);
    model.dispose();
    await expected.close();
  });
});

test("the gradient of a dense model's cross-entropy by every parameter is PyTorch's", async () => {
  await useBackend();
  const model = await loadModel(join(GOLDEN, "glu"));
  const expected = await openFolder(join(GOLDEN, "glu.gradients.safetensors"));
  const variables = new Map([...model.params].map(([name, value]) => [name, tf.variable(value)]));
  const options = { loadBalance: null, zLossWeight: 0 };
  const { gradients, loss } = lossAndGradients(variables, model.config, await batchOf("glu"), options);
  expect(loss.total).toBeCloseTo((await expected.readFloat32("loss"))[0]!, 5);
  const found = checkpointTensors(model.config, gradients, "F32").filter(({ name }) => !name.includes("router"));
  expect(found.map(({ name }) => name).sort()).toEqual([...expected.tensors.keys()].filter((n) => n !== "loss").sort());
  for (const { name, data } of found)
    expect(relativeError(data, await expected.readFloat32(name)), name).toBeLessThan(1e-4);
  tf.dispose([...gradients.values(), ...variables.values()]);
  model.dispose();
  await expected.close();
});

test("running the experts one by one or all at once gives the same outputs", async () => {
  await useBackend();
  const model = await loadModel(join(GOLDEN, "p1"));
  const { nExperts, topK } = moeOf(model.config);
  const x = tf.randomNormal<tf.Rank.R2>([6, model.config.dModel], 0, 1, "float32", 7);
  // Expert 5 is idle, expert 0 takes every token.
  const indices = Int32Array.from([0, 1, 2, 0, 3, 4, 7, 0, 6, 0, 1, 7, 3, 2, 0, 0, 4, 6]);
  const plan = dispatch(indices, topK, nExperts);
  const taps = new BlockTaps(new Taps(model.config, {}, { batch: 1, pos: 6, past: 0 }), 0);
  const { experts } = model.weights.blocks[0]!.mlp as MoeWeights;
  const looped = expertsLooped(x, plan, experts, taps);
  const batched = expertsBatched(x, plan, experts as ExpertWeights & { stacked: ExpertStack }, taps);
  expect(relativeError(batched.dataSync(), looped.dataSync())).toBeLessThan(1e-6);
  model.dispose();
});
