import * as tf from "@tensorflow/tfjs";

export interface AdamWOptions {
  beta1: number;
  beta2: number;
  eps: number;
  /** Decoupled weight decay, applied to matrices and not to norm gains. */
  weightDecay: number;
}

/** First and second moments of the gradient, by parameter name. */
export interface Moments {
  first: Map<string, tf.Tensor>;
  second: Map<string, tf.Tensor>;
}

/** Moments of a run that has not begun. */
export function zeroMoments(params: ReadonlyMap<string, tf.Tensor>): Moments {
  const zeros = (): Map<string, tf.Tensor> => new Map([...params].map(([name, p]) => [name, tf.zerosLike(p)]));
  return { first: zeros(), second: zeros() };
}

/**
 * One step of AdamW: updates the variables and the moments in place. Everything goes by name, and experts are stacked,
 * so an expert that got no token has a gradient of zeros and keeps its own moments.
 * @param step 1 for the first step
 * @param scale factor on the gradients (from clipping)
 * @see Loshchilov and Hutter 2019, arXiv:1711.05101, algorithm 2
 */
export function adamW(
  variables: ReadonlyMap<string, tf.Variable>,
  gradients: ReadonlyMap<string, tf.Tensor>,
  moments: Moments,
  { step, rate, scale, beta1, beta2, eps, weightDecay }: AdamWOptions & { step: number; rate: number; scale: number },
): void {
  const correction1 = 1 - beta1 ** step;
  const correction2 = 1 - beta2 ** step;
  for (const [name, variable] of variables) {
    const gradient = gradients.get(name);
    if (gradient === undefined) throw new RangeError(`adamW: ${name} has no gradient`);
    const [first, second, value] = tf.tidy(() => {
      const m = moments.first
        .get(name)!
        .mul(beta1)
        .add(gradient.mul((1 - beta1) * scale));
      const v = moments.second
        .get(name)!
        .mul(beta2)
        .add(gradient.square().mul((1 - beta2) * scale * scale));
      const update = m.mul(rate / correction1).div(v.div(correction2).sqrt().add(eps));
      const decay = variable.rank > 1 ? 1 - rate * weightDecay : 1;
      return [m, v, variable.mul(decay).sub(update)];
    });
    replace(moments.first, name, first);
    replace(moments.second, name, second);
    variable.assign(value);
    value!.dispose();
  }
}

function replace(map: Map<string, tf.Tensor>, name: string, value: tf.Tensor): void {
  map.get(name)!.dispose();
  map.set(name, value);
}

/** Euclidean length of all gradients together. */
export function globalNorm(gradients: ReadonlyMap<string, tf.Tensor>): number {
  const squares = tf.tidy(() => tf.addN([...gradients.values()].map((g) => g.square().sum<tf.Scalar>())));
  const norm = Math.sqrt(squares.dataSync()[0]!);
  squares.dispose();
  return norm;
}
