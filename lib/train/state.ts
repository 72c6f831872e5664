import * as tf from "@tensorflow/tfjs";
import { openFolder, writeSafetensors } from "../checkpoint/node.ts";
import type { TensorData } from "../checkpoint/write.ts";
import { CheckpointError, listed } from "../errors.ts";
import { paramShapes } from "../params.ts";
import { learningRate, type TrainingRun } from "./run.ts";
import type { TrainingState } from "./train.ts";

const PARTS = ["params", "first", "second"] as const;

/** How the matrices of experts lie in a state. Shapes do not always tell it: an expert may be as wide as the model. */
const EXPERTS_LIE = "[n_experts, out, in]";

function mapsOf(state: TrainingState): Record<(typeof PARTS)[number], Map<string, tf.Tensor>> {
  return { params: state.params, first: state.moments.first, second: state.moments.second };
}

/** What tells one text, as it was cut into tokens, from another: its SHA-256. */
async function fingerprint(tokens: Uint16Array): Promise<string> {
  const hash = await crypto.subtle.digest("SHA-256", Uint16Array.from(tokens));
  return Array.from(new Uint8Array(hash), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * Writes a run's state to one safetensors file, whole or not at all.
 * @param tokens what the run trains on
 * @throws CheckpointError (a full disk, say); the former file is then as it was
 */
export async function writeState(
  path: string,
  state: TrainingState,
  run: TrainingRun,
  tokens: Uint16Array,
): Promise<void> {
  const maps = mapsOf(state);
  const tensors: TensorData[] = PARTS.flatMap((part) =>
    [...maps[part]].map(([name, value]) => ({
      name: `${part}.${name}`,
      shape: value.shape,
      dtype: "F32" as const,
      data: value.dataSync<"float32">(),
    })),
  );
  const origin = { run: JSON.stringify(run), text: await fingerprint(tokens) };
  await writeSafetensors(path, tensors, { metadata: { step: String(state.step), experts: EXPERTS_LIE, ...origin } });
}

/**
 * Reads a run's state back. It goes with the run and the text that it came from: with any other it would not give what an
 * unbroken run gives. A run that only goes on for longer, and whose learning rates up to here are the same, is the same run.
 * @param tokens what the run trains on
 * @throws CheckpointError for a damaged file, or one that another run wrote, or this one on another text
 */
export async function readState(path: string, run: TrainingRun, tokens: Uint16Array): Promise<TrainingState> {
  const checkpoint = await openFolder(path);
  try {
    const { metadata } = checkpoint;
    const others = changedFields(metadata["run"], run, Number(metadata["step"]));
    if (others.length > 0)
      throw new CheckpointError(
        `${path}: must come from the same run, got one with another ${listed(others)}; remove it to begin anew`,
      );
    if (metadata["text"] !== (await fingerprint(tokens)))
      throw new CheckpointError(
        `${path}: must come from the same text and tokenizer, got others; remove it to begin anew`,
      );
    if (metadata["experts"] !== EXPERTS_LIE)
      throw new CheckpointError(
        `${path}: experts must lie as ${EXPERTS_LIE}, got a state that does not say so; remove it to begin anew`,
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

/** The fields in which a run differs up to a step from one that was written down; "run" where that cannot be read. */
function changedFields(written: string | undefined, run: TrainingRun, step: number): string[] {
  let former: Record<string, unknown>;
  try {
    former = { ...(JSON.parse(written ?? "null") as Record<string, unknown>) };
  } catch {
    return ["run"];
  }
  const own = JSON.parse(JSON.stringify(run)) as Record<string, unknown>;
  const fields = [...new Set([...Object.keys(own), ...Object.keys(former)])];
  const changed = fields.filter((field) => JSON.stringify(former[field]) !== JSON.stringify(own[field]));
  const longer = { ...run, steps: former["steps"], restarts: former["restarts"] } as TrainingRun;
  return changed.filter((field) => !LENGTH.includes(field) || !sameRates(longer, run, step));
}

/** Fields that say for how long a run goes on, and only by the learning rate what its steps do. */
const LENGTH = ["steps", "restarts"];

function sameRates(a: TrainingRun, b: TrainingRun, steps: number): boolean {
  return Array.from({ length: steps }, (_, step) => step).every((s) => learningRate(s, a) === learningRate(s, b));
}
