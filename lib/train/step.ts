import * as tf from "@tensorflow/tfjs";
import type { ModelConfig } from "../config.ts";
import { residual, unembed } from "../forward.ts";
import { type HookFn, type Hooks, hookName } from "../hooks.ts";
import { Taps } from "../taps.ts";
import { assembleWeights, type Weights } from "../weights.ts";
import {
  crossEntropy,
  type LayerRouting,
  loadBalancingLossHuggingFace,
  loadBalancingLossMegaBlocks,
  routerZLoss,
} from "./losses.ts";

/** A batch of sequences: each row is one token longer than what the model reads, for the last label. */
export interface Batch {
  /** [batch, pos + 1] */
  ids: Int32Array;
  batch: number;
  pos: number;
}

/** How the auxiliary losses enter the total. */
export interface LossOptions {
  loadBalance: { form: "megablocks" | "huggingface"; weight: number };
  /** Weight of the router z-loss; 0 leaves it out of the total. */
  zLossWeight: number;
}

/** What one batch gave: the losses in nats, and each layer's assignments by expert. */
export interface BatchLoss {
  total: number;
  crossEntropy: number;
  loadBalance: number;
  zLoss: number;
  /** [n_layers] of [n_experts] */
  counts: number[][];
}

/** Inputs and labels of a batch. */
function shifted({ ids, batch, pos }: Batch): { inputs: Int32Array; labels: Int32Array } {
  const inputs = new Int32Array(batch * pos);
  const labels = new Int32Array(batch * pos);
  for (let b = 0; b < batch; b++) {
    inputs.set(ids.subarray(b * (pos + 1), b * (pos + 1) + pos), b * pos);
    labels.set(ids.subarray(b * (pos + 1) + 1, (b + 1) * (pos + 1)), b * pos);
  }
  return { inputs, labels };
}

/** Hooks that collect what the auxiliary losses need; they replace nothing. */
function routingCollector(config: ModelConfig): { hooks: Hooks; layers: LayerRouting[] } {
  const layers: LayerRouting[] = [];
  const hooks: Record<string, HookFn> = {};
  for (let l = 0; l < config.nLayers; l++) {
    let logits: tf.Tensor2D;
    hooks[hookName(l, "mlp.hook_router_logits")] = (value) => {
      logits = tf.keep(value.reshape([-1, config.mlp.nExperts])); // outlives its block, until the losses are made
    };
    hooks[hookName(l, "mlp.hook_expert_indices")] = (value) => {
      const counts = new Int32Array(config.mlp.nExperts);
      for (const e of value.dataSync()) counts[e]!++;
      layers.push({ logits, counts });
    };
  }
  return { hooks, layers };
}

/**
 * The training loss of a batch: cross-entropy, load-balancing loss and router z-loss, each by itself and in total.
 * Differentiable in the weights.
 */
export function trainingLoss(
  weights: Weights,
  config: ModelConfig,
  batch: Batch,
  options: LossOptions,
): { total: tf.Scalar; crossEntropy: tf.Scalar; loadBalance: tf.Scalar; zLoss: tf.Scalar; counts: number[][] } {
  const { inputs, labels } = shifted(batch);
  const { hooks, layers } = routingCollector(config);
  const { batch: nRows, pos } = batch;
  const taps = new Taps(config, hooks, { batch: nRows, pos, past: 0 });
  const run = { config, batch: nRows, pos, taps };
  const x = residual(tf.tensor1d(inputs, "int32"), weights, run, config.nLayers);
  const ce = crossEntropy(unembed(x, weights, config, taps), labels);
  const loadBalance =
    options.loadBalance.form === "megablocks"
      ? loadBalancingLossMegaBlocks(layers, config.mlp.topK)
      : loadBalancingLossHuggingFace(layers);
  const zLoss = routerZLoss(layers);
  tf.dispose(layers.map((layer) => layer.logits));
  const weighted = ce.add(loadBalance.mul(options.loadBalance.weight));
  const total = options.zLossWeight === 0 ? weighted : weighted.add(zLoss.mul(options.zLossWeight));
  return {
    total: total as tf.Scalar,
    crossEntropy: ce,
    loadBalance,
    zLoss,
    counts: layers.map((layer) => Array.from(layer.counts)),
  };
}

/** The variables as the forward pass wants them: an expert run by itself is sliced anew, inside the gradient. */
export function trainableWeights(config: ModelConfig, variables: ReadonlyMap<string, tf.Variable>): Weights {
  return assembleWeights(config, variables, (name, e) => {
    const stack = variables.get(name) as tf.Variable<tf.Rank.R3>;
    return stack.slice([e, 0, 0], [1, -1, -1]).reshape<tf.Tensor2D>(stack.shape.slice(1));
  });
}

/**
 * Loss and gradients of a batch.
 * @param variables the model's parameters by name
 * @returns gradients by parameter name (the caller disposes them), and the losses
 */
export function lossAndGradients(
  variables: ReadonlyMap<string, tf.Variable>,
  config: ModelConfig,
  batch: Batch,
  options: LossOptions,
): { gradients: Map<string, tf.Tensor>; loss: BatchLoss } {
  const weights = trainableWeights(config, variables);
  let parts: tf.Scalar[] = [];
  let counts: number[][] = [];
  const { value, grads } = tf.variableGrads(() => {
    const loss = trainingLoss(weights, config, batch, options);
    parts = [loss.crossEntropy, loss.loadBalance, loss.zLoss].map((part) => tf.keep(part.clone()));
    counts = loss.counts;
    return loss.total;
  }, [...variables.values()]);
  const [total, ce, loadBalance, zLoss] = [value, ...parts].map((scalar) => scalar.dataSync()[0]!);
  tf.dispose([value, ...parts]);
  return {
    gradients: new Map([...variables].map(([name, variable]) => [name, grads[variable.name]!])),
    loss: { total: total!, crossEntropy: ce!, loadBalance: loadBalance!, zLoss: zLoss!, counts },
  };
}
