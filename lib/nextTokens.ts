import * as tf from "@tensorflow/tfjs";
import type { Hooks } from "./hooks.ts";
import type { MoeModel } from "./model.ts";

/** A token that may come next. */
export interface LikelyToken {
  id: number;
  probability: number;
}

/**
 * The logits of the token that would follow a text, [d_vocab].
 * @param tokens one sequence
 * @param hooks what to watch or change on the way
 * @throws what the model's run throws
 */
export function nextTokenLogits(model: MoeModel, tokens: ArrayLike<number>, hooks: Hooks = {}): Float32Array {
  const last = tf.tidy(() => model.runWithHooks(tokens, hooks).slice([0, tokens.length - 1, 0], [1, 1, -1]));
  const logits = last.dataSync<"float32">();
  last.dispose();
  return logits;
}

/**
 * The tokens that a softmax of the logits makes most probable, the likeliest first, of equals the lower id.
 * @param logits [d_vocab]
 * @param most how many tokens to give
 * @throws RangeError where that is no whole number from 1
 * @example likeliestTokens(nextTokenLogits(model, ids), 5)
 */
export function likeliestTokens(logits: Float32Array, most: number): LikelyToken[] {
  if (!Number.isInteger(most) || most < 1)
    throw new RangeError(`likeliestTokens: most must be a whole number from 1, got ${most}`);
  const ids = Array.from(logits.keys()).toSorted((a, b) => logits[b]! - logits[a]! || a - b);
  const highest = logits[ids[0]!]!;
  const odds = (id: number): number => Math.exp(logits[id]! - highest);
  const total = ids.reduce((sum, id) => sum + odds(id), 0);
  return ids.slice(0, most).map((id) => ({ id, probability: odds(id) / total }));
}
