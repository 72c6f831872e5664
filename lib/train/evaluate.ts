import * as tf from "@tensorflow/tfjs";
import type { MoeModel } from "../model.ts";
import { crossEntropy } from "./losses.ts";

/** How well a model predicts a text. */
export interface TextLoss {
  /** Mean cross-entropy of a token, in nats. */
  natsPerToken: number;
  /** Tokens that were predicted. */
  nTokens: number;
}

/**
 * Mean cross-entropy of a text, cut into windows of `pos` tokens that are read one after the other; every token but the
 * text's first is predicted once, from what stands before it in its window.
 * @param tokens at least two
 * @throws RangeError for fewer
 */
export function textLoss(model: MoeModel, tokens: ArrayLike<number>, pos: number, batch = 8): TextLoss {
  const nTokens = tokens.length - 1;
  if (nTokens < 1) throw new RangeError(`textLoss: tokens must be at least two, got ${tokens.length}`);
  let sum = 0;
  for (let start = 0; start < nTokens; ) {
    const whole = Math.floor((nTokens - start) / pos);
    const rows = Math.min(batch, Math.max(1, whole));
    const length = whole === 0 ? nTokens - start : pos;
    const row = (r: number, shift: number): number[] =>
      Array.from({ length }, (_, p) => tokens[start + r * length + p + shift]!);
    const labels = Int32Array.from(Array.from({ length: rows }, (_, r) => row(r, 1)).flat());
    const mean = tf.tidy(() => {
      const logits = model.run(Array.from({ length: rows }, (_, r) => row(r, 0)));
      return crossEntropy(logits.reshape<tf.Tensor2D>([rows * length, -1]), labels).dataSync()[0]!;
    });
    sum += mean * labels.length;
    start += rows * length;
  }
  return { natsPerToken: sum / nTokens, nTokens };
}
