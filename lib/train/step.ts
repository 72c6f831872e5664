import * as tf from "@tensorflow/tfjs";
import { type ModelConfig, moeLayers, moeOf } from "../config.ts";
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

/** How the auxiliary losses enter the total; null and 0 for a dense model, which has none. */
export interface LossOptions {
  loadBalance: { form: "megablocks" | "huggingface"; weight: number } | null;
  /** Weight of the router z-loss; 0 leaves it out of the total. */
  zLossWeight: number;
}

/** What one batch gave: the losses in nats, and each layer's assignments by expert. Of a dense model only the first two. */
export interface BatchLoss {
  total: number;
  crossEntropy: number;
  loadBalance: number | null;
  zLoss: number | null;
  /** Of each layer that has experts: [n_experts] */
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
  for (const l of moeLayers(config)) {
    const { nExperts } = moeOf(config);
    let logits: tf.Tensor2D;
    hooks[hookName(l, "mlp.hook_router_logits")] = (value) => {
      logits = tf.keep(value.reshape([-1, nExperts])); // outlives its block, until the losses are made
    };
    hooks[hookName(l, "mlp.hook_expert_indices")] = (value) => {
      const counts = new Int32Array(nExperts);
      for (const e of value.dataSync()) counts[e]!++;
      layers.push({ logits, counts });
    };
  }
  return { hooks, layers };
}

/** The auxiliary losses of a model with experts, and their part in the total. */
interface AuxiliaryLoss {
  loadBalance: tf.Scalar;
  zLoss: tf.Scalar;
  weighted: tf.Scalar;
}

function auxiliaryLoss(layers: readonly LayerRouting[], topK: number, options: LossOptions): AuxiliaryLoss | null {
  if (options.loadBalance === null) return null;
  const { form, weight } = options.loadBalance;
  const loadBalance =
    form === "megablocks" ? loadBalancingLossMegaBlocks(layers, topK) : loadBalancingLossHuggingFace(layers);
  const zLoss = routerZLoss(layers);
  const weighted = loadBalance.mul<tf.Scalar>(weight);
  if (options.zLossWeight === 0) return { loadBalance, zLoss, weighted };
  return { loadBalance, zLoss, weighted: weighted.add(zLoss.mul(options.zLossWeight)) };
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
): { total: tf.Scalar; crossEntropy: tf.Scalar; auxiliary: AuxiliaryLoss | null; counts: number[][] } {
  const { inputs, labels } = shifted(batch);
  const { hooks, layers } = routingCollector(config);
  const { batch: nRows, pos } = batch;
  const taps = new Taps(config, hooks, { batch: nRows, pos, past: 0 });
  const run = { config, batch: nRows, pos, taps };
  const x = residual(tf.tensor1d(inputs, "int32"), weights, run, config.nLayers);
  const ce = crossEntropy(unembed(x, weights, config, taps), labels);
  const topK = config.mlp.kind === "moe" ? config.mlp.topK : 0;
  const auxiliary = auxiliaryLoss(layers, topK, options);
  tf.dispose(layers.map((layer) => layer.logits));
  return {
    total: auxiliary === null ? ce : ce.add(auxiliary.weighted),
    crossEntropy: ce,
    auxiliary,
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
    const { total, crossEntropy: ce, auxiliary, counts: found } = trainingLoss(weights, config, batch, options);
    const apart = auxiliary === null ? [ce] : [ce, auxiliary.loadBalance, auxiliary.zLoss];
    parts = apart.map((part) => tf.keep(part.clone()));
    counts = found;
    return total;
  }, [...variables.values()]);
  const [total, ce, loadBalance, zLoss] = [value, ...parts].map((scalar) => scalar.dataSync()[0]!);
  tf.dispose([value, ...parts]);
  return {
    gradients: new Map([...variables].map(([name, variable]) => [name, grads[variable.name]!])),
    loss: { total: total!, crossEntropy: ce!, loadBalance: loadBalance ?? null, zLoss: zLoss ?? null, counts },
  };
}
