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

export interface TextLossOptions {
  /** Tokens that the model reads at once; a text that has fewer is one window. */
  pos: number;
  /** How far each window moves on, at most `pos`: a token is predicted from `pos - stride` or more before it. Default: `pos`. */
  stride?: number;
  /** Windows in a run of the model; default 8. */
  batch?: number;
}

/**
 * Mean cross-entropy of a text, read in windows; every token but the text's first is predicted once, in the first window
 * that comes to it. The last window ends with the text, and overlaps the one before it by as much as that takes.
 * @param tokens at least two
 * @throws RangeError for fewer, or for a stride that is not from 1 to `pos`
 */
export function textLoss(
  model: MoeModel,
  tokens: ArrayLike<number>,
  { pos, stride = pos, batch = 8 }: TextLossOptions,
): TextLoss {
  const nTokens = tokens.length - 1;
  if (nTokens < 1) throw new RangeError(`textLoss: tokens must be at least two, got ${tokens.length}`);
  if (!Number.isInteger(stride) || stride < 1 || stride > pos)
    throw new RangeError(`textLoss: stride must be a whole number from 1 to ${pos}, got ${stride}`);
  const length = Math.min(pos, nTokens);
  const windows = windowsOf(nTokens, length, stride);
  let sum = 0;
  for (let w = 0; w < windows.length; w += batch) {
    const some = windows.slice(w, w + batch);
    const rows = some.flatMap(({ start, first }, r) => range(first - start, length).map((p) => r * length + p));
    const labels = some.flatMap(({ start, first }) => range(first, start + length).map((t) => tokens[t + 1]!));
    sum += tf.tidy(() => {
      const logits = model.run(some.map(({ start }) => range(start, start + length).map((t) => tokens[t]!)));
      const predicted = tf.gather(logits.reshape<tf.Tensor2D>([some.length * length, -1]), tf.tensor1d(rows, "int32"));
      return crossEntropy(predicted, Int32Array.from(labels)).dataSync()[0]! * labels.length;
    });
  }
  return { natsPerToken: sum / nTokens, nTokens };
}

/** Where each window starts, and from which of its tokens on the next one has not been predicted yet. */
function windowsOf(nTokens: number, length: number, stride: number): { start: number; first: number }[] {
  const windows = [{ start: 0, first: 0 }];
  for (let first = length; first < nTokens; first += stride)
    windows.push({ start: Math.min(first + stride, nTokens) - length, first });
  return windows;
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, i) => from + i);
}
