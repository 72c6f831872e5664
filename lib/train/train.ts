import * as tf from "@tensorflow/tfjs";
import type { ModelConfig } from "../config.ts";
import { MoeModel } from "../model.ts";
import { fanIn, paramShapes } from "../params.ts";
import { adamW, globalNorm, type Moments, zeroMoments } from "./adamw.ts";
import { Batches } from "./data.ts";
import { divergence, hasDiverged } from "./diverged.ts";
import { learningRate, type TrainingRun } from "./run.ts";
import { type BatchLoss, lossAndGradients } from "./step.ts";

/** Where a run stands: all that is needed to go on as if nothing had happened. */
export interface TrainingState {
  /** Steps taken. */
  step: number;
  params: Map<string, tf.Tensor>;
  moments: Moments;
}

/** What one step reports. */
export interface TrainingProgress extends BatchLoss {
  /** Steps taken, this one included. */
  step: number;
  steps: number;
  rate: number;
  gradientNorm: number;
  /** Largest load of an expert over the uniform load, minus 1, of each layer that has experts. */
  maxViolation: number[];
  tokensPerSecond: number;
  secondsLeft: number;
}

export interface TrainOptions {
  /** Where to go on from; default: fresh parameters from the run's seed. Owned by the run from here on. */
  state?: TrainingState;
  onStep?: (progress: TrainingProgress) => void;
  /** Called every `checkpointEvery` steps and at the end; the state is the run's own: write it, do not keep it. */
  onCheckpoint?: (state: TrainingState) => Promise<void>;
}

/**
 * Fresh parameters: matrices are normal with deviation 1/sqrt(fan-in), those that write to the residual stream smaller
 * by sqrt(2·n_layers), so that the stream keeps its size; embeddings have deviation 1 (tied ones,
 * which unembed too, 1/sqrt(d_model)), gains are 1, biases 0.
 * @see Radford et al. 2019 (GPT-2), section 2.3, for the scaling of residual layers
 */
export function freshParams(config: ModelConfig, seed: number): Map<string, tf.Tensor> {
  const params = new Map<string, tf.Tensor>();
  for (const [index, [name, shape]] of [...paramShapes(config)].entries()) {
    if (shape.length === 1) {
      params.set(name, /\.b(_\w+)?$/.test(name) ? tf.zeros(shape) : tf.ones(shape));
      continue;
    }
    const embedded = config.tiedEmbeddings === true ? config.dModel : 1; // tied ones are the unembedding too
    const inputs = name.startsWith("embed.") ? embedded : fanIn(shape);
    const writesResidual = /W_(O|down)$/.test(name);
    const deviation = inputs ** -0.5 * (writesResidual ? (2 * config.nLayers) ** -0.5 : 1);
    params.set(name, drawn(shape, deviation, seed * 1000 + index + 1));
  }
  return params;
}

/** Normal numbers, input axis first in experts too: what a seed gives does not depend on how a matrix lies. */
function drawn(shape: number[], deviation: number, seed: number): tf.Tensor {
  const isOfExperts = shape.length === 3;
  return tf.tidy(() => {
    const [nExperts, outputs, inputs] = shape as [number, number, number];
    const values = tf.randomNormal(isOfExperts ? [nExperts, inputs, outputs] : shape, 0, deviation, "float32", seed);
    return isOfExperts ? values.transpose([0, 2, 1]) : values;
  });
}

/**
 * Trains a model: cross-entropy plus auxiliary losses, AdamW, warm-up and cosine, clipped gradients.
 * The result depends only on the run and the tokens, not on where it was interrupted.
 * @param tokens the training text, documents one after the other
 * @returns the trained model; the caller owns it
 * @throws ConfigError for a text that is too short; RangeError where the loss or a gradient is no longer a
 * number, or the loss is three times that of a uniform guess
 */
export async function train(run: TrainingRun, tokens: Uint16Array, options: TrainOptions = {}): Promise<MoeModel> {
  const batches = new Batches(tokens, run, run.seed);
  const state = options.state ?? freshState(run);
  const variables = new Map([...state.params].map(([name, value]) => [name, tf.variable(value)]));
  tf.dispose([...state.params.values()]);
  state.params = new Map(variables);
  const began = { step: state.step, time: performance.now() };
  try {
    while (state.step < run.steps) {
      const progress = takeStep(run, batches, state, variables);
      const seconds = (performance.now() - began.time) / 1000;
      const perStep = seconds / (state.step - began.step);
      options.onStep?.({
        ...progress,
        tokensPerSecond: (run.batch * run.pos) / perStep,
        secondsLeft: perStep * (run.steps - state.step),
      });
      if (state.step % run.checkpointEvery === 0 || state.step === run.steps) await options.onCheckpoint?.(state);
      await tf.nextFrame(); // lets progress show and an interrupt through
    }
    return new MoeModel(run.model, new Map([...variables].map(([name, variable]) => [name, tf.clone(variable)])));
  } finally {
    tf.dispose([...state.moments.first.values(), ...state.moments.second.values()]);
    for (const variable of variables.values()) variable.dispose();
  }
}

function freshState(run: TrainingRun): TrainingState {
  const params = freshParams(run.model, run.seed);
  return { step: 0, params, moments: zeroMoments(params) };
}

function takeStep(
  run: TrainingRun,
  batches: Batches,
  state: TrainingState,
  variables: ReadonlyMap<string, tf.Variable>,
): Omit<TrainingProgress, "tokensPerSecond" | "secondsLeft"> {
  const batch = batches.at(state.step);
  const { gradients, loss } = lossAndGradients(variables, run.model, batch, run);
  const gradientNorm = globalNorm(gradients);
  if (hasDiverged(loss, gradientNorm, run.model)) {
    const error = divergence(state.step, loss, gradients, { variables, config: run.model, batch });
    tf.dispose([...gradients.values()]);
    throw error;
  }
  const rate = learningRate(state.step, run);
  const scale = Math.min(1, run.clipNorm / gradientNorm);
  state.step++;
  adamW(variables, gradients, state.moments, { ...run, step: state.step, rate, scale });
  tf.dispose([...gradients.values()]);
  const maxViolation = loss.counts.map((counts) => {
    const total = counts.reduce((a, b) => a + b, 0);
    return (Math.max(...counts) * counts.length) / total - 1;
  });
  return { ...loss, step: state.step, steps: run.steps, rate, gradientNorm, maxViolation };
}
