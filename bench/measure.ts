import * as tf from "@tensorflow/tfjs";
import { type ModelConfig, mlpOf } from "../lib/config.ts";

/** Multiply-adds times two of one forward pass over `pos` tokens, per token; attention counted in full. */
export function flopsPerToken(config: ModelConfig, pos: number): number {
  const { dModel, nHeads, nKvHeads, dHead, nLayers, dVocab } = config;
  const attention = 2 * dModel * (2 * nHeads + 2 * nKvHeads) * dHead + 4 * pos * nHeads * dHead;
  let flops = 2 * dModel * dVocab;
  for (let l = 0; l < nLayers; l++) {
    const mlp = mlpOf(config, l);
    const [router, used] = mlp.kind === "moe" ? [2 * dModel * mlp.nExperts, mlp.topK] : [0, 1];
    flops += attention + router + used * 6 * dModel * mlp.dFf;
  }
  return flops;
}

/** GFLOP/s of the best of six products of square matrices, on the backend in use. */
export function gemmPeak(size = 2048): number {
  const [a, b] = [tf.randomNormal([size, size]), tf.randomNormal([size, size])];
  const times = Array.from({ length: 6 }, () => timed(() => tf.matMul(a, b).dispose()));
  tf.dispose([a, b]);
  return (2 * size ** 3) / Math.min(...times) / 1e9;
}

/** Seconds. */
export function timed(body: () => void): number {
  const start = performance.now();
  body();
  return (performance.now() - start) / 1000;
}

export function median(xs: readonly number[]): number {
  const sorted = [...xs].sort((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1]! + sorted[sorted.length >> 1]!) / 2;
}
