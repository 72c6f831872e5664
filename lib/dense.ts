import * as tf from "@tensorflow/tfjs";
import type { Activation } from "./config.ts";
import { activate, onTensors } from "./ops/activate.ts";
import { gatedLinear } from "./ops/gatedLinear.ts";
import { product } from "./ops/product.ts";

/** The weights of a dense MLP; x·W, so the input axis comes first. */
export interface DenseWeights {
  kind: "dense";
  activation: Activation;
  /** [d_model, d_ff]; null: there is no gate */
  gate: Projection | null;
  /** [d_model, d_ff] */
  up: Projection;
  /** [d_ff, d_model] */
  down: Projection;
}

/** What watches a dense MLP. */
export interface DenseTaps {
  tap(hook: "mlp.hook_pre" | "mlp.hook_pre_linear" | "mlp.hook_post", value: tf.Tensor2D): tf.Tensor2D;
}

/** A linear map, x·W + b. */
export interface Projection {
  /** [in, out] */
  w: tf.Tensor2D;
  /** [out]; null: none */
  b: tf.Tensor1D | null;
}

/**
 * A dense MLP, the same for every token: down(activation(gate(x)) ⊙ up(x)), or without a gate down(activation(up(x))).
 * @param x [rows, d_model]
 * @returns [rows, d_model]
 */
export function dense(x: tf.Tensor2D, { activation, gate, up, down }: DenseWeights, taps: DenseTaps): tf.Tensor2D {
  return tf.tidy(() => {
    const pre = taps.tap("mlp.hook_pre", project(x, gate ?? up)); // [rows, d_ff]
    const neurons =
      gate === null
        ? (activate<tf.Tensor>(pre, activation, onTensors) as tf.Tensor2D)
        : gatedLinear(pre, taps.tap("mlp.hook_pre_linear", project(x, up)), activation);
    return project(taps.tap("mlp.hook_post", neurons), down); // [rows, d_model]
  });
}

function project(x: tf.Tensor2D, projection: Projection): tf.Tensor2D {
  const { b } = projection;
  const out = product(x, () => projection.w);
  return b === null ? out : out.add<tf.Tensor2D>(b);
}
