import * as tf from "@tensorflow/tfjs";
import type { KvCache } from "./attend.ts";
import type { Hooks } from "./hooks.ts";
import type { MoeModel } from "./model.ts";
import { hashUniform } from "./random.ts";
import { checkSampling, type SamplingOptions, sampleToken } from "./sample.ts";
import { checkTokens } from "./tokens.ts";

export interface GenerateOptions extends SamplingOptions {
  /** Most tokens to generate; the context may end sooner. Default 50. */
  maxTokens?: number;
  /** The same seed, model and options give the same text. Default 1. */
  seed?: number;
  /** A token of these ends the text; it is not given out. */
  stopIds?: readonly number[];
  /** Live in the prompt's pass and in every step after it. */
  hooks?: Hooks;
}

/**
 * Continues a text token by token, keeping keys and values so that each step runs one token.
 * @param prompt token ids, at least one
 * @returns the new tokens, as they come
 * @throws RangeError for options or tokens that do not fit
 * @example for await (const id of generate(model, ids, { maxTokens: 20 })) process.stdout.write(tokenizer.decode([id]));
 */
export async function* generate(
  model: MoeModel,
  prompt: ArrayLike<number>,
  options: GenerateOptions = {},
): AsyncGenerator<number, void, undefined> {
  const { maxTokens = 50, seed = 1, stopIds = [], hooks = {} } = options;
  checkSampling(options);
  checkTokens(prompt, model.config, 0);
  if (!Number.isInteger(maxTokens) || maxTokens < 0)
    throw new RangeError(`generate: maxTokens must be a whole number from 0, got ${maxTokens}`);
  const room = Math.min(maxTokens, model.config.nCtx - prompt.length);
  if (room === 0) return;
  const kvCache: KvCache = { length: 0, layers: [] };
  try {
    const decoder = await model.decoder();
    let logits = model.extend(prompt, kvCache, hooks);
    decoder.adopt(kvCache);
    for (let step = 0; step < room; step++) {
      const values = await logits.data<"float32">();
      logits.dispose();
      const id = sampleToken(values, hashUniform(seed, step), options);
      if (stopIds.includes(id)) return;
      yield id;
      if (step + 1 < room) logits = decoder.extend([id], kvCache, hooks);
    }
  } finally {
    tf.dispose(kvCache.layers.flatMap(({ keys, values }) => [keys, values]));
  }
}
