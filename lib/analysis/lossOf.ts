import type { Hooks } from "../hooks.ts";
import type { DocumentLosses } from "../metrics/lossDifference.ts";
import type { MoeModel } from "../model.ts";
import { nextTokenLoss } from "../nextTokenLoss.ts";
import { batchesOf, type ReadingOptions } from "./windows.ts";

export interface LossOptions extends ReadingOptions {
  /** Hooks of every run; they see several documents at once, shorter ones filled up behind their end. */
  hooks?: Hooks;
}

/**
 * How surprised a model is by each token of several documents, each read on its own.
 * @param documents token ids, at least two a document
 * @throws RangeError for no documents, one that is too short, or what the model refuses
 * @example lossDifference(lossOf(model, texts, { hooks: ablateExperts(2, [5], "zero") }), lossOf(model, texts))
 */
export function lossOf(
  model: MoeModel,
  documents: readonly ArrayLike<number>[],
  { hooks = {}, ...reading }: LossOptions = {},
): DocumentLosses {
  const { batches, offsets } = batchesOf("lossOf", documents, model.config.nCtx, reading);
  const perToken = new Float32Array(offsets.at(-1)!);
  for (const { windows, rows } of batches) {
    const logits = model.runWithHooks(rows, hooks);
    const losses = nextTokenLoss(logits, rows).perToken;
    logits.dispose();
    const width = rows[0]!.length - 1;
    for (const [r, { at, tokens }] of windows.entries())
      perToken.set(losses.subarray(r * width, r * width + tokens.length - 1), at);
  }
  return { perToken, offsets, mean: perToken.reduce((sum, loss) => sum + loss, 0) / perToken.length };
}
