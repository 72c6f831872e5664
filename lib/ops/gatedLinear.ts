import * as tf from "@tensorflow/tfjs";
import type { Activation } from "../config.ts";
import { activate } from "./activate.ts";

/**
 * The gated activation of an expert: act(gate) ⊙ up. With silu it is SwiGLU, with GELU it is GEGLU.
 * @see Shazeer 2020, arXiv:2002.05202, eq. 6
 */
export function gatedLinear<T extends tf.Tensor>(gate: T, up: T, activation: Activation): T {
  return tf.tidy(() => activate(gate, activation).mul<T>(up));
}
