import * as tf from "@tensorflow/tfjs";
import { useBackend } from "../backend.ts";
import type { ModelConfig } from "../config.ts";
import { EncoderDecoderModel } from "../encoderDecoder.ts";
import { type EncoderDecoderConfig, encoderDecoderShapes } from "../encoderDecoderConfig.ts";
import { CheckpointError, listed, shown } from "../errors.ts";
import type { Family, Held, WeightPart, WeightRecipe } from "../families/family.ts";
import { familyOf } from "../families/index.ts";
import { mt5 } from "../families/mt5.ts";
import { MoeModel } from "../model.ts";
import { paramShapes } from "../params.ts";
import type { Checkpoint } from "./checkpoint.ts";
import { converterOf, TO_FLOAT32 } from "./dtype.ts";
import type { LoadProgress } from "./progress.ts";
import { checkScaling, readFp8, readMxfp4 } from "./scaled.ts";
import { StreamedWeights } from "./stream.ts";
import type { TensorData } from "./write.ts";

/** Whose tensors a checkpoint must hold, and which others it may. */
interface Expected {
  name: string;
  ignores: (tensor: string) => boolean;
}

/**
 * Builds a model from an open checkpoint: each parameter is read, turned to lie as `paramShapes` says, and uploaded before
 * the next one is touched. Chooses the backend, if nobody has (see `useBackend`), once the headers are known to fit.
 * @throws CheckpointError for a tensor that is missing, has another shape, or belongs to no parameter
 */
export async function loadModelFrom(
  checkpoint: Checkpoint,
  stated: ModelConfig,
  onProgress: LoadProgress = () => {},
): Promise<MoeModel> {
  const { config, expected, recipes } = recipesOf(checkpoint, stated);
  const params = await readParams(checkpoint, expected, recipes, onProgress);
  try {
    return new MoeModel(config, params);
  } catch (error) {
    tf.dispose([...params.values()]);
    throw error;
  }
}

/**
 * Builds an encoder-decoder from an open checkpoint, as {@link loadModelFrom} does a decoder. A head that lies in the
 * file is read, whatever the configuration says.
 * @throws CheckpointError as {@link loadModelFrom}
 */
export async function loadEncoderDecoderFrom(
  checkpoint: Checkpoint,
  stated: EncoderDecoderConfig,
  onProgress: LoadProgress = () => {},
): Promise<EncoderDecoderModel> {
  const [head] = mt5.recipe("unembed.W_U", stated).parts;
  const config = checkpoint.tensors.has(head!.tensor) ? { ...stated, tiedEmbeddings: false } : stated;
  const recipes = new Map([...encoderDecoderShapes(config).keys()].map((name) => [name, mt5.recipe(name, config)]));
  const ignores = (tensor: string): boolean => mt5.ignored.test(tensor);
  const params = await readParams(checkpoint, { name: mt5.name, ignores }, recipes, onProgress);
  try {
    return new EncoderDecoderModel(config, params);
  } catch (error) {
    tf.dispose([...params.values()]);
    throw error;
  }
}

/**
 * Builds a model whose weights stay in the files of an open checkpoint; see {@link StreamedWeights}. The checkpoint is the
 * model's to close.
 * @param budget bytes of memory for weights
 * @throws as {@link loadModelFrom}, and ConfigError for a budget that is too small
 */
export async function streamModelFrom(
  checkpoint: Checkpoint,
  stated: ModelConfig,
  budget: number,
  onProgress: LoadProgress = () => {},
): Promise<MoeModel> {
  const { config, expected, recipes } = recipesOf(checkpoint, stated);
  checkTensors(checkpoint, expected, recipes);
  await useBackend();
  return new MoeModel(config, new StreamedWeights(checkpoint, config, recipes, { budget, onProgress }));
}

/** What the checkpoint holds of a model, and how its parameters are put together. */
function recipesOf(
  checkpoint: Checkpoint,
  stated: ModelConfig,
): { config: ModelConfig; expected: Expected; recipes: Map<string, WeightRecipe> } {
  const family = familyOf(stated.family);
  const held: Held = (tensor) => checkpoint.tensors.get(tensor)?.shape;
  const config = asHeld(stated, family, held);
  const recipes = new Map([...paramShapes(config).keys()].map((name) => [name, family.recipe(name, config, held)]));
  const ignores = (tensor: string): boolean =>
    family.ignored?.test(tensor) === true || (family.ignoredLayers === true && isPastLast(tensor, config));
  return { config, expected: { name: family.name, ignores }, recipes };
}

/**
 * Reads parameters by their recipes, once the headers are known to fit: chooses the backend, if nobody has, only then.
 * @param family whose tensors they are, and which others it leaves unread
 * @returns the tensors by the names of the recipes; they are the caller's
 * @throws CheckpointError for a tensor that is missing, has another shape, or belongs to no parameter
 */
async function readParams(
  checkpoint: Checkpoint,
  family: Expected,
  recipes: ReadonlyMap<string, WeightRecipe>,
  onProgress: LoadProgress,
): Promise<Map<string, tf.Tensor>> {
  checkTensors(checkpoint, family, recipes);
  await useBackend();
  const params = new Map<string, tf.Tensor>();
  try {
    for (const [name, recipe] of recipes) {
      onProgress(params.size, recipes.size, name);
      params.set(name, await readParam(checkpoint, recipe));
    }
    return params;
  } catch (error) {
    tf.dispose([...params.values()]);
    throw error;
  }
}

function isPastLast(tensor: string, { nLayers }: ModelConfig): boolean {
  const layer = /^model\.layers\.(\d+)\./.exec(tensor)?.[1];
  return layer !== undefined && Number(layer) >= nLayers;
}

/** An unembedding that lies in the file is read, and so not tied, whatever the configuration says. */
function asHeld(config: ModelConfig, family: Family, held: Held): ModelConfig {
  if (config.tiedEmbeddings !== true) return config;
  const [head] = family.recipe("unembed.W_U", config, held).parts;
  return held(head!.tensor) === undefined ? config : { ...config, tiedEmbeddings: false };
}

/** Compares what the file holds with what the family expects, before any weight is read. */
function checkTensors(
  checkpoint: Checkpoint,
  { name, ignores }: Expected,
  recipes: ReadonlyMap<string, WeightRecipe>,
): void {
  const expected = new Set<string>();
  for (const { tensor, shape, scaling } of [...recipes.values()].flatMap((recipe) => recipe.parts)) {
    if (expected.has(tensor)) continue;
    expected.add(tensor);
    const found = checkpoint.tensor(tensor);
    if (found.shape.join() !== shape.join())
      throw new CheckpointError(
        `${checkpoint.name}: tensor ${shown(tensor)} must have shape [${shape.join(", ")}], got [${found.shape.join(", ")}]`,
      );
    if (scaling === undefined) converterOf(TO_FLOAT32, checkpoint.span(tensor));
    else {
      checkScaling(checkpoint, tensor, scaling);
      expected.add(scaling.scales);
    }
  }
  const extra = [...checkpoint.tensors.keys()].filter((tensor) => !expected.has(tensor) && !ignores(tensor));
  if (extra.length > 0)
    throw new CheckpointError(
      `${checkpoint.name}: tensors must all belong to a ${name} of this configuration, got also ${listed(extra, 4)}`,
    );
}

async function readParam(checkpoint: Checkpoint, { join, parts }: WeightRecipe): Promise<tf.Tensor> {
  const read: tf.Tensor[] = [];
  try {
    for (const part of parts) read.push(await readPart(checkpoint, part, join === "experts"));
    return join === "none" ? read[0]!.clone() : join === "columns" ? tf.concat(read, -1) : tf.stack(read);
  } finally {
    tf.dispose(read);
  }
}

async function readPart(checkpoint: Checkpoint, part: WeightPart, outputsFirst: boolean): Promise<tf.Tensor> {
  const { every, transposed } = part;
  const { values, shape } = await readStored(checkpoint, part);
  return tf.tidy(() => {
    const stored = tf.tensor(values, shape);
    const raised = part.plus === undefined ? stored : stored.add(part.plus);
    const chosen = every === undefined || part.scaling !== undefined ? raised : everyOutput(raised, every, transposed);
    return transposed === outputsFirst ? chosen : chosen.transpose();
  });
}

/** A part's values as they lie in the file; of MXFP4 only those of the outputs that are asked for. */
async function readStored(
  checkpoint: Checkpoint,
  { tensor, shape, rows, every, scaling }: WeightPart,
): Promise<{ values: Float32Array; shape: number[] }> {
  if (scaling?.format === "mxfp4") {
    const width = shape.at(-2)! * 2 * shape.at(-1)!;
    const values = await readMxfp4(checkpoint, tensor, scaling.scales, rows, every);
    return { values, shape: [values.length / width, width] };
  }
  const values =
    scaling === undefined
      ? await checkpoint.readFloat32(tensor, rows)
      : await readFp8(checkpoint, tensor, scaling.scales);
  return { values, shape: rows === undefined ? [...shape] : [rows[1] - rows[0], shape.at(-1)!] };
}

/** Every `of`-th output: row where rows are outputs, else number of the last axis. */
function everyOutput(x: tf.Tensor, { first, of }: { first: number; of: number }, rows: boolean): tf.Tensor {
  const [height, width] = [x.shape.slice(0, -1), x.shape.at(-1)!];
  return x
    .reshape([-1, of, rows ? width : 1])
    .slice([0, first, 0], [-1, 1, -1])
    .reshape(rows ? [-1, width] : [...height, width / of]);
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
  const tensors = new Map<string, TensorData & { data: Float32Array }>();
  for (const name of paramShapes(config).keys()) {
    const { join, parts } = family.recipe(name, config);
    const pieces = takenApart(params.get(name)!, join, parts);
    for (const [i, { tensor, shape, rows, every }] of parts.entries()) {
      const size = shape.reduce((a, b) => a * b, 1);
      if (!tensors.has(tensor)) tensors.set(tensor, { name: tensor, shape, dtype, data: new Float32Array(size) });
      const { data } = tensors.get(tensor)!;
      const start = (rows?.[0] ?? 0) * shape.at(-1)!;
      if (every === undefined) data.set(pieces[i]!, start);
      else for (const [at, value] of pieces[i]!.entries()) data[start + at * every.of + every.first] = value;
    }
  }
  const fillers = (family.fillers?.(config) ?? []).map(({ tensor, shape }): TensorData => {
    const data = new Float32Array(shape.reduce((a, b) => a * b, 1));
    return { name: tensor, shape, dtype, data };
  });
  return [...tensors.values(), ...fillers];
}

/** The values of each part of a parameter, as the file holds them. */
function takenApart(param: tf.Tensor, join: WeightRecipe["join"], parts: readonly WeightPart[]): Float32Array[] {
  const pieces = tf.tidy(() => {
    const widths = parts.map(({ shape, transposed }) => (transposed ? shape[0]! : shape.at(-1)!));
    const split = join === "none" ? [param] : join === "columns" ? tf.split(param, widths, -1) : tf.unstack(param);
    return split.map((piece, i) => {
      const { transposed, plus } = parts[i]!;
      const stored = transposed === (join === "experts") ? piece.clone() : piece.transpose();
      return plus === undefined ? stored : stored.sub(plus);
    });
  });
  const values = pieces.map((piece) => piece.dataSync<"float32">());
  tf.dispose(pieces);
  return values;
}
