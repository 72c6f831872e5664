import * as tf from "@tensorflow/tfjs";
import type { Tokens } from "./tokens.ts";

/** How surprised the model was by each token, given those before it. */
export interface NextTokenLoss {
  /** In nats a token. */
  mean: number;
  /** −ln p of each token but the first of its sequence, in nats: [batch, pos − 1]. */
  perToken: Float32Array;
}

/**
 * The loss of a text under a run's logits.
 * @param logits what the run returned, [batch, pos, d_vocab]
 * @param tokens what it read, of at least two tokens a sequence
 * @throws RangeError where the two do not fit each other
 * @example nextTokenLoss(model.run(ids), ids).mean
 */
export function nextTokenLoss(logits: tf.Tensor3D, tokens: Tokens): NextTokenLoss {
  const rows = (typeof tokens[0] === "number" ? [tokens] : tokens) as readonly ArrayLike<number>[];
  const [batch, pos, dVocab] = logits.shape;
  if (rows.length !== batch || rows.some((row) => row.length !== pos) || pos < 2)
    throw new RangeError(
      `nextTokenLoss: tokens must be [${batch}, ${pos}] like the logits and at least 2 long, got [${rows.length}, ${rows[0]?.length ?? 0}]`,
    );
  const labels = rows.flatMap((row) => Array.from(row).slice(1));
  const losses = tf.tidy(() => {
    const predicting = logits.slice([0, 0, 0], [-1, pos - 1, -1]).reshape<tf.Tensor2D>([-1, dVocab]);
    const places = Int32Array.from(labels, (label, r) => r * dVocab + label);
    const chosen = tf.gather(predicting.reshape([-1]), tf.tensor1d(places, "int32"));
    return tf.logSumExp(predicting, -1).sub<tf.Tensor1D>(chosen);
  });
  const perToken = losses.dataSync<"float32">();
  losses.dispose();
  return { mean: perToken.reduce((sum, loss) => sum + loss, 0) / perToken.length, perToken };
}
