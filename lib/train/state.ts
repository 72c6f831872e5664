import * as tf from "@tensorflow/tfjs";
import { openFolder, writeSafetensors } from "../checkpoint/node.ts";
import type { TensorData } from "../checkpoint/write.ts";
import { CheckpointError, shown } from "../errors.ts";
import { paramShapes } from "../params.ts";
import type { TrainingRun } from "./run.ts";
import type { TrainingState } from "./train.ts";

const PARTS = ["params", "first", "second"] as const;

function mapsOf(state: TrainingState): Record<(typeof PARTS)[number], Map<string, tf.Tensor>> {
  return { params: state.params, first: state.moments.first, second: state.moments.second };
}

/**
 * Writes a run's state to one safetensors file, whole or not at all.
 * @throws CheckpointError (a full disk, say); the former file is then as it was
 */
export async function writeState(path: string, state: TrainingState, run: TrainingRun): Promise<void> {
  const maps = mapsOf(state);
  const tensors: TensorData[] = PARTS.flatMap((part) =>
    [...maps[part]].map(([name, value]) => ({
      name: `${part}.${name}`,
      shape: value.shape,
      dtype: "F32" as const,
      data: value.dataSync<"float32">(),
    })),
  );
  await writeSafetensors(path, tensors, { metadata: { step: String(state.step), run: JSON.stringify(run) } });
}

/**
 * Reads a run's state back.
 * @throws CheckpointError for a damaged file, or one that another run wrote
 */
export async function readState(path: string, run: TrainingRun): Promise<TrainingState> {
  const checkpoint = await openFolder(path);
  try {
    const { metadata } = checkpoint;
    if (metadata["run"] !== JSON.stringify(run))
      throw new CheckpointError(
        `${path}: must come from the same run, got ${shown(metadata["run"])}; remove it to begin anew`,
      );
    const read = async (part: string): Promise<Map<string, tf.Tensor>> => {
      const map = new Map<string, tf.Tensor>();
      for (const [name, shape] of paramShapes(run.model))
        map.set(name, tf.tensor(await checkpoint.readFloat32(`${part}.${name}`), shape));
      return map;
    };
    const [params, first, second] = [await read("params"), await read("first"), await read("second")];
    return { step: Number(metadata["step"]), params, moments: { first, second } };
  } finally {
    await checkpoint.close();
  }
}
