import * as tf from "@tensorflow/tfjs";
import type { ModelConfig } from "../config.ts";
import { CheckpointError, listed, shown } from "../errors.ts";
import type { Family, WeightSource } from "../families/family.ts";
import { familyOf } from "../families/index.ts";
import { MoeModel } from "../model.ts";
import { paramShapes } from "../params.ts";
import type { Checkpoint } from "./checkpoint.ts";
import type { TensorData } from "./write.ts";

/** Told before each parameter is read. */
export type LoadProgress = (done: number, total: number, param: string) => void;

/**
 * Builds a model from an open checkpoint: each parameter is read, turned to input-axis-first, and uploaded before the
 * next one is touched.
 * @throws CheckpointError for a tensor that is missing, has another shape, or belongs to no parameter
 */
export async function loadModelFrom(
  checkpoint: Checkpoint,
  config: ModelConfig,
  onProgress: LoadProgress = () => {},
): Promise<MoeModel> {
  const family = familyOf(config.family);
  const names = [...paramShapes(config).keys()];
  checkTensors(checkpoint, config, family, names);
  const params = new Map<string, tf.Tensor>();
  try {
    for (const [done, name] of names.entries()) {
      onProgress(done, names.length, name);
      const source = family.source(name, config);
      const values = await checkpoint.readFloat32(source.tensor);
      params.set(name, asParam(values, source));
    }
    return new MoeModel(config, params);
  } catch (error) {
    tf.dispose([...params.values()]);
    throw error;
  }
}

/** Compares what the file holds with what the family expects, before any weight is read. */
function checkTensors(checkpoint: Checkpoint, config: ModelConfig, family: Family, names: readonly string[]): void {
  const expected = new Set<string>();
  for (const name of names) {
    const { tensor, shape } = family.source(name, config);
    expected.add(tensor);
    const found = checkpoint.tensor(tensor).shape;
    if (found.join() !== shape.join())
      throw new CheckpointError(
        `${checkpoint.name}: tensor ${shown(tensor)} must have shape [${shape.join(", ")}], got [${found.join(", ")}]`,
      );
  }
  const extra = [...checkpoint.tensors.keys()].filter((tensor) => !expected.has(tensor));
  if (extra.length > 0)
    throw new CheckpointError(
      `${checkpoint.name}: tensors must all belong to a ${config.family} of this configuration, got also ${listed(extra, 4)}`,
    );
}

function asParam(values: Float32Array, { shape, view, transposed }: WeightSource): tf.Tensor {
  return tf.tidy(() => {
    const stored = tf.tensor(values, [...(view ?? shape)]);
    return transposed ? swapLastTwo(stored) : stored;
  });
}

/**
 * A model's parameters as its family's checkpoints hold them, in the order of the parameters.
 * @param dtype BF16 rounds to nearest, ties to even
 */
export function checkpointTensors(
  config: ModelConfig,
  params: ReadonlyMap<string, tf.Tensor>,
  dtype: "F32" | "BF16",
): TensorData[] {
  const family = familyOf(config.family);
  return [...paramShapes(config).keys()].map((name) => {
    const { tensor, shape, transposed } = family.source(name, config);
    const stored = transposed ? swapLastTwo(params.get(name)!) : params.get(name)!.clone();
    const data = stored.dataSync<"float32">();
    stored.dispose();
    return { name: tensor, shape, dtype, data };
  });
}

function swapLastTwo(x: tf.Tensor): tf.Tensor {
  const axes = x.shape.map((_, i) => i);
  return x.transpose([...axes.slice(0, -2), axes.at(-1)!, axes.at(-2)!]);
}
