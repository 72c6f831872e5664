import * as tf from "@tensorflow/tfjs";
import type { Activation } from "../config.ts";
import { activate } from "./activate.ts";

/**
 * The gated activation of an expert: act(gate) ⊙ up. With silu it is SwiGLU, with GELU it is GEGLU.
 * @param limit where given, the gate is cut at it first, and the up projection at ±it and raised by 1 (gpt-oss)
 * @see Shazeer 2020, arXiv:2002.05202, eq. 6
 */
export function gatedLinear<T extends tf.Tensor>(gate: T, up: T, activation: Activation, limit?: number): T {
  return tf.tidy(() => {
    if (limit === undefined) return activate(gate, activation).mul<T>(up);
    const raised = up.clipByValue(-limit, limit).add(1);
    return activate(gate.minimum(limit), activation).mul<T>(raised);
  });
}
