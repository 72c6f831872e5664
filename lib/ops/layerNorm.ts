import * as tf from "@tensorflow/tfjs";

/**
 * Layer normalisation with a gain, and with a bias where the model has one (GPT-2 has, DBRX has not).
 * @param x [rows, d_model]
 * @param gain [d_model]
 * @param tapScale sees the scale, sqrt(variance + eps), [rows, 1], before it divides; null: nobody looks
 * @param bias [d_model]; null: none
 * @returns (x − mean) / scale · gain + bias, [rows, d_model]
 * @see Ba et al. 2016, arXiv:1607.06450, eq. 4
 */
export function layerNorm(
  x: tf.Tensor2D,
  gain: tf.Tensor1D,
  eps: number,
  tapScale: ((scale: tf.Tensor2D) => tf.Tensor2D) | null,
  bias: tf.Tensor1D | null = null,
): tf.Tensor2D {
  return tf.tidy(() => {
    const scaled = (tapScale === null ? normalized(x, eps) : dividedBy(x, eps, tapScale)).mul<tf.Tensor2D>(gain);
    return bias === null ? scaled : scaled.add<tf.Tensor2D>(bias);
  });
}

function dividedBy(x: tf.Tensor2D, eps: number, tapScale: (scale: tf.Tensor2D) => tf.Tensor2D): tf.Tensor2D {
  const centred = centre(x);
  return centred.div(tapScale(scaleOf(centred, eps)));
}

function centre(x: tf.Tensor2D): tf.Tensor2D {
  return x.sub(x.mean(-1, true));
}

function scaleOf(centred: tf.Tensor2D, eps: number): tf.Tensor2D {
  return tf.tidy(() => tf.sqrt(centred.square().mean(-1, true).add<tf.Tensor2D>(eps))); // [rows, 1]
}

/**
 * (x − mean) / scale, with its gradient in one piece: (g − mean(g) − x̂ · mean(g ⊙ x̂)) / scale takes a third of the
 * passes that the chain of its parts would take.
 */
function normalized(x: tf.Tensor2D, eps: number): tf.Tensor2D {
  const op = tf.customGrad((input, save) => {
    const centred = centre(input as tf.Tensor2D);
    const scale = scaleOf(centred, eps);
    const value = centred.div<tf.Tensor2D>(scale);
    (save as tf.GradSaveFunc)([value, scale]);
    const gradFunc = (g: tf.Tensor2D, [unit, divisor]: tf.Tensor[]): tf.Tensor => {
      const along = unit!.mul(g.mul(unit!).mean(-1, true));
      return g.sub(g.mean(-1, true)).sub(along).div(divisor!);
    };
    return { value, gradFunc };
  });
  return op(x);
}
