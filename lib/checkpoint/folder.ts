import { mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import type { ModelConfig } from "../config.ts";
import type { EncoderDecoderModel } from "../encoderDecoder.ts";
import { encoderDecoderShapes } from "../encoderDecoderConfig.ts";
import { CheckpointError, ConfigError, shown } from "../errors.ts";
import { familyOf, parseConfig, parseEncoderDecoder } from "../families/index.ts";
import type { MoeModel } from "../model.ts";
import { paramShapes } from "../params.ts";
import { dbrxTokenizer } from "../tokenizer/dbrx.ts";
import { fromTokenizerJson } from "../tokenizer/huggingFace.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { checkpointTensors, loadEncoderDecoderFrom, loadModelFrom, streamModelFrom } from "./load.ts";
import { inGigabytes, memoryFor } from "./memory.ts";
import { openFolder, refused, writeSafetensors } from "./node.ts";
import type { LoadProgress } from "./progress.ts";

/** @throws CheckpointError where the file cannot be read */
export async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    throw refused(path, "must be a readable file", cause);
  }
}

/**
 * Reads a JSON file of a model folder.
 * @throws CheckpointError where it cannot be read or is no JSON
 */
export async function readJson(path: string): Promise<unknown> {
  const text = await readText(path);
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new CheckpointError(`${path}: must be JSON, got ${(cause as Error).message}`, { cause });
  }
}

/**
 * The configuration in a model folder's config.json; the folder may hold nothing else.
 * @throws CheckpointError, ConfigError
 */
export async function readConfig(folder: string): Promise<ModelConfig> {
  return parseConfig(await readJson(join(folder, "config.json")));
}

/**
 * The tokens that end a text, as generation_config.json of a model folder says, or else its config.json.
 * @returns token ids; none where neither says it
 * @throws CheckpointError
 */
export async function readStopTokens(folder: string): Promise<number[]> {
  for (const path of ["generation_config.json", "config.json"].map((file) => join(folder, file))) {
    const json = (await exists(path)) ? ((await readJson(path)) as { eos_token_id?: unknown } | null) : null;
    const found = json?.eos_token_id ?? null;
    if (found === null) continue;
    const ids: unknown[] = [found].flat();
    if (ids.every((id) => Number.isInteger(id))) return ids as number[];
    throw new CheckpointError(`${path}: eos_token_id must be a token id or a list of them, got ${shown(found)}`);
  }
  return [];
}

export interface LoadOptions {
  /**
   * Bytes of memory for weights. A model that does not fit stays on disk and is streamed: each run reads what it uses, and
   * as much is kept in memory as fits (see `StreamedWeights`). Infinity: loaded whole, whatever memory there is. Left out:
   * loaded whole where memory for it is free.
   */
  memoryBudget?: number;
  onProgress?: LoadProgress;
}

/**
 * Opens a model folder as Hugging Face lays it out: config.json and safetensors, whole or in shards. Chooses the
 * backend, if nobody has (see `useBackend`).
 * @throws CheckpointError; ConfigError, also where the model does not fit into memory, or a budget is too small for it
 * @example const model = await loadModel("models/reference");
 * @example const large = await loadModel("dbrx", { memoryBudget: 8e9 });
 */
export async function loadModel(folder: string, { memoryBudget, onProgress }: LoadOptions = {}): Promise<MoeModel> {
  const config = await readConfig(folder);
  if (memoryBudget !== undefined && !(memoryBudget > 0))
    throw new ConfigError(`loadModel: memoryBudget must be a positive number of bytes, got ${shown(memoryBudget)}`);
  const { needed, free } = memoryFor(paramShapes(config));
  const fits = needed <= (memoryBudget ?? free);
  const checkpoint = await openFolder(folder);
  try {
    if (memoryBudget === undefined && !fits)
      throw new ConfigError(
        `${folder}: a model must fit into memory, or be streamed with memoryBudget: it needs ${inGigabytes(needed)}, got ${inGigabytes(free)} free`,
      );
    if (!fits) return await streamModelFrom(checkpoint, config, memoryBudget!, onProgress);
    const model = await loadModelFrom(checkpoint, config, onProgress);
    await checkpoint.close();
    return model;
  } catch (error) {
    await checkpoint.close();
    throw error;
  }
}

/**
 * As {@link loadModel}, for an encoder-decoder (mT5, Aya-101).
 * @throws CheckpointError, ConfigError
 * @example const model = await loadEncoderDecoder("models/mt5-small");
 */
export async function loadEncoderDecoder(
  folder: string,
  { onProgress }: Pick<LoadOptions, "onProgress"> = {},
): Promise<EncoderDecoderModel> {
  const config = parseEncoderDecoder(await readJson(join(folder, "config.json")));
  const { needed, free } = memoryFor(encoderDecoderShapes(config));
  if (needed > free)
    throw new ConfigError(
      `${folder}: a model must fit into memory: it needs ${inGigabytes(needed)}, got ${inGigabytes(free)} free`,
    );
  const checkpoint = await openFolder(folder);
  try {
    return await loadEncoderDecoderFrom(checkpoint, config, onProgress);
  } finally {
    await checkpoint.close();
  }
}

/** Rows of DBRX's published embedding: a folder of that size without tokenizer.json means cl100k. */
const DBRX_VOCABULARY = 100352;

/** @returns whether there is a file or folder at the path */
export async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

/**
 * The tokenizer of a model folder: its tokenizer.json, or cl100k for a DBRX that came without one.
 * @throws CheckpointError where there is neither
 * @example const tokenizer = await loadTokenizer("models/reference");
 */
export async function loadTokenizer(folder: string): Promise<Tokenizer> {
  const path = join(folder, "tokenizer.json");
  if (await exists(path)) return fromTokenizerJson(await readJson(path), await tokenizerConfig(folder));
  const config = (await readJson(join(folder, "config.json"))) as { model_type?: unknown; vocab_size?: unknown } | null;
  if (config?.model_type === "dbrx" && config.vocab_size === DBRX_VOCABULARY) return dbrxTokenizer();
  throw new CheckpointError(`${folder}: must hold tokenizer.json, got none (give token ids instead of text)`);
}

/** What stands beside tokenizer.json; newer checkpoints keep the chat template in a file of its own. */
async function tokenizerConfig(folder: string): Promise<object> {
  const [config, template] = [join(folder, "tokenizer_config.json"), join(folder, "chat_template.jinja")];
  return {
    ...((await exists(config)) ? ((await readJson(config)) as object) : {}),
    ...((await exists(template)) ? { chat_template: await readText(template) } : {}),
  };
}

/**
 * Writes model.safetensors and config.json in the family's own layout, so that Hugging Face transformers opens it too.
 * @throws CheckpointError where the folder cannot be written; ConfigError for a configuration that the family's
 * config.json cannot express
 */
export async function saveModel(folder: string, model: MoeModel, dtype: "F32" | "BF16" = "BF16"): Promise<void> {
  const json = { ...configJson(model.config), torch_dtype: dtype === "F32" ? "float32" : "bfloat16" };
  const config = join(folder, "config.json");
  await mkdir(folder, { recursive: true }).catch((cause: unknown) => {
    throw refused(folder, "must be a writable folder", cause);
  });
  const tensors = checkpointTensors(model.config, model.params, dtype);
  await writeSafetensors(join(folder, "model.safetensors"), tensors, { metadata: { format: "pt" } });
  await writeFile(config, withPoints(json, familyOf(model.config.family).floatFields ?? [])).catch((cause: unknown) => {
    throw refused(config, "must be writable", cause);
  });
}

/** JSON text in which whole values of these fields have a point, which JavaScript does not write. */
function withPoints(json: object, fields: readonly string[]): string {
  const whole = new RegExp(`("(?:${fields.join("|")})": -?\\d+)(?=,?\n)`, "g");
  return `${JSON.stringify(json, null, 2)}\n`.replace(whole, "$1.0");
}

/** The config.json that says all that the configuration says, by its fields and by those that are absent. */
function configJson(config: ModelConfig): Record<string, unknown> {
  const json = familyOf(config.family).toJson(config);
  const [stated, readBack] = [spelledOut(config), spelledOut(parseConfig(json))];
  for (const field of new Set([...Object.keys(stated), ...Object.keys(readBack)]))
    if (!isDeepStrictEqual(readBack[field], stated[field]))
      throw new ConfigError(
        `config: ${field} must be ${shown(readBack[field])}, all that a ${config.family}'s config.json can say, got ${shown(stated[field])}`,
      );
  return json;
}

/** A configuration whose absent factors are named; what is false is absent. */
function spelledOut(config: ModelConfig): Record<string, unknown> {
  const { attentionScale = config.dHead ** -0.5, embeddingScale = 1, residualScale = 1, logitScale = 1 } = config;
  const whole = { ...config, attentionScale, embeddingScale, residualScale, logitScale };
  const stated = Object.entries(whole).filter(([, value]) => value !== false && value !== undefined);
  return Object.fromEntries(stated);
}
