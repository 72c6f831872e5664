import * as tf from "@tensorflow/tfjs";
import type { ModelConfig } from "../config.ts";
import { residual, unembed } from "../forward.ts";
import { type HookFn, type HookName, type Hooks, hookName } from "../hooks.ts";
import { Taps } from "../taps.ts";
import { type Batch, type BatchLoss, trainableWeights } from "./step.ts";

/** A loss this many times that of a uniform guess has left behind all that was learnt, though it still is a number. */
const TIMES_UNIFORM = 3;

/** Whether a step went wrong: a loss or a gradient that is no number, or a loss far above that of a uniform guess. */
export function hasDiverged(loss: BatchLoss, gradientNorm: number, { dVocab }: ModelConfig): boolean {
  const isNumber = Number.isFinite(loss.total) && Number.isFinite(gradientNorm);
  return !isNumber || loss.crossEntropy > TIMES_UNIFORM * Math.log(dVocab);
}

/** What to say then: the step, where it shows first, and what to try. */
export function divergence(
  step: number,
  loss: BatchLoss,
  gradients: ReadonlyMap<string, tf.Tensor>,
  forward: { variables: ReadonlyMap<string, tf.Variable>; config: ModelConfig; batch: Batch },
): RangeError {
  const uniform = Math.log(forward.config.dVocab);
  const most = (TIMES_UNIFORM * uniform).toPrecision(3);
  const value = firstBadValue(forward);
  const gradient = [...gradients].findLast(([, one]) => !isFinite(one))?.[0]; // gradients go from the last layer to the first
  const place = value ?? (gradient === undefined ? null : `the gradient of ${gradient}`);
  return new RangeError(
    `train: loss and gradients must be finite, and the loss below ${most} (${TIMES_UNIFORM} times that of a uniform guess), got a loss of ` +
      `${loss.crossEntropy} at step ${step + 1}${place === null ? "" : `, no longer finite first in ${place}`}; ` +
      "try a lower rate, more warmupSteps, a smaller clipNorm or a zLossWeight of 0.001",
  );
}

/** The first of the values that are added to the residual stream, or the logits, that is not finite in a forward pass. */
function firstBadValue({
  variables,
  config,
  batch: { ids, batch, pos },
}: {
  variables: ReadonlyMap<string, tf.Variable>;
  config: ModelConfig;
  batch: Batch;
}): HookName | null {
  let bad: HookName | null = null;
  const watch: HookFn = (value, { name }) => {
    if (bad === null && !isFinite(value)) bad = name;
  };
  const layers = Array.from({ length: config.nLayers }, (_, l) => l);
  const names = layers.flatMap((l) => [hookName(l, "hook_attn_out"), hookName(l, "hook_mlp_out")]);
  const hooks: Hooks = Object.fromEntries((["hook_embed", ...names, "logits"] as const).map((name) => [name, watch]));
  const taps = new Taps(config, hooks, { batch, pos, past: 0 });
  tf.tidy(() => {
    const inputs = Array.from({ length: batch }, (_, b) => [...ids.subarray(b * (pos + 1), b * (pos + 1) + pos)]);
    const weights = trainableWeights(config, variables);
    const x = residual(tf.tensor1d(inputs.flat(), "int32"), weights, { config, batch, pos, taps }, config.nLayers);
    unembed(x, weights, config, taps);
  });
  return bad;
}

function isFinite(value: tf.Tensor): boolean {
  return tf.tidy(() => tf.isFinite(value).all().dataSync()[0] === 1);
}
