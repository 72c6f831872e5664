import * as tf from "@tensorflow/tfjs";
import type { Activation } from "../config.ts";
import { type Arithmetic, activate, onTensors } from "./activate.ts";

/**
 * The gated activation of an expert: act(gate) ⊙ up. With silu it is SwiGLU, with GELU it is GEGLU.
 * @param limit where given, the gate is cut at it first, and the up projection at ±it and raised by 1 (gpt-oss)
 * @see Shazeer 2020, arXiv:2002.05202, eq. 6
 */
export function gatedLinear<T extends tf.Tensor>(gate: T, up: T, activation: Activation, limit?: number): T {
  return tf.tidy(() => gated<tf.Tensor>(gate, up, { activation, limit }, onTensors) as T);
}

/** As {@link gatedLinear}, of whatever there is arithmetic for. */
export function gated<V>(
  gate: V,
  up: V,
  { activation, limit }: { activation: Activation; limit?: number | undefined },
  on: Arithmetic<V>,
): V {
  if (limit === undefined) return on.times(activate(gate, activation, on), up);
  return on.times(activate(on.atMost(gate, limit), activation, on), on.plus(on.within(up, limit), 1));
}
