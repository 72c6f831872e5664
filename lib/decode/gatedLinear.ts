import { backend_util } from "@tensorflow/tfjs";
import type { Activation } from "../config.ts";

/**
 * The gated activation of an expert, as ops/gatedLinear.ts: act(gate) ⊙ up.
 * @param gateUp gate, then up, [2·d_ff]
 * @param out gets the neurons, [d_ff]
 */
export function gatedLinear(gateUp: Float32Array, activation: Activation, out: Float32Array): void {
  const act = ACTIVATIONS[activation];
  for (let i = 0; i < out.length; i++) out[i] = act(gateUp[i]!) * gateUp[out.length + i]!;
}

const ACTIVATIONS: Record<Activation, (x: number) => number> = {
  silu: (x) => x / (1 + Math.exp(-x)),
  gelu: (x) => (x / 2) * (1 + erf(x * Math.SQRT1_2)),
  geluSigmoid: (x) => x / (1 + Math.exp(-1.702 * x)),
  geluTanh: (x) => (x / 2) * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
};

const { ERF_P, ERF_A1, ERF_A2, ERF_A3, ERF_A4, ERF_A5 } = backend_util;

/** The error function to 1.5e-7. @see Abramowitz and Stegun 1964, 7.1.26 */
function erf(x: number): number {
  const t = 1 / (1 + ERF_P * Math.abs(x));
  const series = ((((ERF_A5 * t + ERF_A4) * t + ERF_A3) * t + ERF_A2) * t + ERF_A1) * t;
  return Math.sign(x) * (1 - series * Math.exp(-x * x));
}
