import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, test } from "vitest";
import { type BackendName, useBackend } from "../../../lib/backend.ts";
import type { ModelConfig } from "../../../lib/config.ts";
import { ConfigError } from "../../../lib/errors.ts";
import { dbrx } from "../../../lib/families/dbrx.ts";
import type { MoeModel } from "../../../lib/model.ts";
import { zeroMoments } from "../../../lib/train/adamw.ts";
import { textLoss } from "../../../lib/train/evaluate.ts";
import { learningRate, parseRun, type TrainingRun } from "../../../lib/train/run.ts";
import { freshParams, type TrainingProgress, type TrainingState, train } from "../../../lib/train/train.ts";
import { relativeError, seeded, TINY, TINY_DENSE, TINY_GPT2, TINY_MIXED } from "../../helpers.ts";
import { bitsOf } from "../checkpoint/files.ts";

const BACKENDS: BackendName[] = ["tensorflow", "wasm"];

const RUN: TrainingRun = {
  ...parseRun({ model: dbrx.toJson(TINY), batch: 3, pos: 8, steps: 12, rate: 0.01 }),
  warmupSteps: 3,
  finalRate: 0.001,
  zLossWeight: 0.001,
  checkpointEvery: 5,
  seed: 4,
};

function randomTokens(length: number, seed: number): Uint16Array {
  const random = seeded(seed);
  return Uint16Array.from({ length }, () => Math.floor(23 * random()));
}
const TOKENS = randomTokens(400, 1);

/** The bits of every parameter. */
function bits(params: ReadonlyMap<string, tf.Tensor>): [string, number[]][] {
  return [...params].map(([name, value]) => [name, bitsOf(value.dataSync<"float32">())]);
}

function copied(map: ReadonlyMap<string, tf.Tensor>): Map<string, tf.Tensor> {
  return new Map([...map].map(([name, value]) => [name, tf.tensor(value.dataSync().slice(), value.shape)]));
}

/** The values of one expert out of a stack. */
function ownOf(map: ReadonlyMap<string, tf.Tensor>, name: string, e: number): Float32Array {
  return tf.tidy(() => map.get(name)!.slice([e, 0, 0], [1, -1, -1]).dataSync<"float32">());
}

/** A state as a file would bring it back: nothing shared with the run. */
function copyOf({ step, params, moments: { first, second } }: TrainingState): TrainingState {
  return { step, params: copied(params), moments: { first: copied(first), second: copied(second) } };
}

/** What progress says that does not depend on the clock. */
function facts({ tokensPerSecond, secondsLeft, ...rest }: TrainingProgress): object {
  expect(tokensPerSecond).toBeGreaterThan(0);
  expect(secondsLeft).toBeGreaterThanOrEqual(0);
  return rest;
}

describe.each(BACKENDS)("train on %s", (backend) => {
  beforeAll(async () => {
    await useBackend(backend);
  });

  test("goes on from any checkpoint as if nothing had happened: the same losses, the same bits", async () => {
    const unbroken: object[] = [];
    const states: TrainingState[] = [];
    const whole = await train(RUN, TOKENS, {
      onStep: (progress) => void unbroken.push(facts(progress)),
      onCheckpoint: async (state) => void states.push(copyOf(state)),
    });
    expect(states.map(({ step }) => step)).toEqual([5, 10, 12]);
    expect(unbroken.map((progress) => (progress as TrainingProgress).step)).toEqual(
      Array.from({ length: 12 }, (_, i) => i + 1),
    );
    for (const state of states) {
      const resumed: object[] = [];
      const from = state.step;
      const model = await train(RUN, TOKENS, { state, onStep: (progress) => void resumed.push(facts(progress)) });
      expect(resumed).toEqual(unbroken.slice(from));
      expect(bits(model.params)).toEqual(bits(whole.params));
      model.dispose();
    }
    whole.dispose();
  });

  test("of a finished run that is made longer by a restart gives what the longer run gives from the beginning", async () => {
    const longer = { ...RUN, steps: 18, restarts: [RUN.steps] };
    const whole = await train(longer, TOKENS);
    const states: TrainingState[] = [];
    (await train(RUN, TOKENS, { onCheckpoint: async (state) => void states.push(copyOf(state)) })).dispose();
    const finished = states.pop()!;
    const model = await train(longer, TOKENS, { state: finished });
    expect(bits(model.params)).toEqual(bits(whole.params));
    for (const { params, moments } of states)
      for (const map of [params, moments.first, moments.second]) tf.dispose([...map.values()]);
    model.dispose();
    whole.dispose();
  });

  test("reports rates of the schedule, losses near chance at first, and how uneven the loads are", async () => {
    const progress: TrainingProgress[] = [];
    (await train(RUN, TOKENS, { onStep: (step) => void progress.push(step) })).dispose();
    expect(progress.map(({ rate }) => rate)).toEqual(progress.map((_, step) => learningRate(step, RUN)));
    for (const { counts, maxViolation, total, crossEntropy, loadBalance, zLoss } of progress) {
      // 24 tokens of top-2 in each of 2 layers; uniform would be 48 / 5.
      for (const [l, row] of counts.entries()) {
        expect(row.reduce((a, b) => a + b)).toBe(48);
        expect(maxViolation[l]).toBeCloseTo(Math.max(...row) / 9.6 - 1, 9);
      }
      expect(counts).toHaveLength(2);
      expect(total).toBeCloseTo(crossEntropy + 0.05 * loadBalance! + 0.001 * zLoss!, 4);
    }
    expect(Math.abs(progress[0]!.crossEntropy - Math.log(23))).toBeLessThan(1);
  });

  test("of a dense model has no loss but cross-entropy and no loads", async () => {
    const run = { ...RUN, model: TINY_DENSE, loadBalance: null, zLossWeight: 0 };
    const progress: TrainingProgress[] = [];
    const before = tf.memory().numTensors;
    const model = await train(run, TOKENS, { onStep: (step) => void progress.push(step) });
    expect(tf.memory().numTensors - before).toBe(model.params.size);
    for (const { total, crossEntropy, loadBalance, zLoss, counts, maxViolation } of progress)
      expect([total, loadBalance, zLoss, counts, maxViolation]).toEqual([crossEntropy, null, null, [], []]);
    expect(Math.abs(progress[0]!.crossEntropy - Math.log(23))).toBeLessThan(1);
    model.dispose();
  });

  test("of a model with biases and learned positions begins with biases of 0 and learns all of them", async () => {
    const run = { ...RUN, model: TINY_GPT2, loadBalance: null, zLossWeight: 0, steps: 1 };
    const fresh = freshParams(run.model, run.seed);
    const biases = [...fresh.keys()].filter((name) => name.includes(".b"));
    expect(biases.map((name) => name.replace("blocks.0.", "")).slice(0, 6)).toEqual([
      "ln1.b",
      "attn.b_QKV",
      "attn.b_O",
      "ln2.b",
      "mlp.b_up",
      "mlp.b_down",
    ]);
    for (const name of biases) expect(Math.max(...fresh.get(name)!.abs().dataSync()), name).toBe(0);
    expect([...fresh.get("blocks.1.ln2.w")!.dataSync()]).toEqual(Array(TINY_GPT2.dModel).fill(1));
    const model = await train(run, TOKENS);
    for (const [name, value] of model.params)
      expect(value.sub(fresh.get(name)!).abs().max().dataSync()[0], name).toBeGreaterThan(0);
    tf.dispose([...fresh.values()]);
    model.dispose();
  });

  test("counts the loads of those blocks that have experts, and learns in all", async () => {
    const run = { ...RUN, model: TINY_MIXED, steps: 1 };
    const fresh = freshParams(run.model, run.seed);
    const model = await train(run, TOKENS, {
      onStep: ({ counts, maxViolation }) => {
        expect(counts.map((row) => row.reduce((a, b) => a + b))).toEqual([48, 48]);
        expect(maxViolation).toHaveLength(2);
      },
    });
    for (const [name, value] of model.params)
      expect(relativeError(value.dataSync(), fresh.get(name)!.dataSync()), name).toBeGreaterThan(0);
    tf.dispose([...fresh.values()]);
    model.dispose();
  });

  test("leaves no tensor behind but the model, with a state and without", async () => {
    const run = { ...RUN, steps: 2 };
    const before = tf.memory().numTensors;
    const model = await train(run, TOKENS);
    expect(tf.memory().numTensors - before).toBe(model.params.size);
    model.dispose();
    const params = freshParams(run.model, 1);
    const state = { step: 1, params, moments: zeroMoments(params) };
    (await train(run, TOKENS, { state })).dispose();
    expect(tf.memory().numTensors).toBe(before);
  });

  test("stops where numbers stop being numbers, naming step, loss, parameter and what to try", async () => {
    const run = { ...RUN, rate: 1e30, warmupSteps: 0 };
    const steps: number[] = [];
    const saved: number[] = [];
    const before = tf.memory().numTensors;
    const diverged = train(run, TOKENS, {
      onStep: ({ step }) => void steps.push(step),
      onCheckpoint: async ({ step }) => void saved.push(step),
    });
    await expect(diverged).rejects.toThrow(
      /^train: loss and gradients must be finite, and the loss below 9\.41 \(3 times that of a uniform guess\), got a loss of \S+ at step 2, no longer finite first in the gradient of blocks\.\d\.\S+; try a lower rate, more warmupSteps, a smaller clipNorm or a zLossWeight of 0\.001$/,
    );
    expect([steps, saved]).toEqual([[1], []]);
    expect(tf.memory().numTensors).toBe(before);
  });

  test("an expert that never gets a token keeps its weights, but for decay: W · Π (1 − rate · weightDecay)", async () => {
    // Experts 0 and 1, 2 and 3 have opposite logits, so two of them are always above expert 4, whose logit is 0; its
    // router column can not drift far in so few steps.
    const run = {
      ...RUN,
      weightDecay: 0.5,
      loadBalance: { form: "megablocks", weight: 0 } as const,
      zLossWeight: 0,
      rate: 1e-3,
    };
    const params = freshParams(run.model, run.seed);
    for (const l of [0, 1]) {
      const name = `blocks.${l}.mlp.W_router`;
      const random = seeded(20 + l);
      const rows = Array.from({ length: TINY.dModel }, () => {
        const [a, b] = [4 * random() - 2, 4 * random() - 2];
        return [a, -a, b, -b, 0];
      });
      params.get(name)!.dispose();
      params.set(name, tf.tensor2d(rows));
    }
    const experts = [...params.keys()].filter((name) => /W_(gate|up|down)$/.test(name));
    const start = new Map(experts.map((name) => [name, ownOf(params, name, 4)]));
    const loads: number[] = [];
    const moments: number[] = [];
    const model = await train(run, TOKENS, {
      state: { step: 0, params, moments: zeroMoments(params) },
      onStep: ({ counts }) => void loads.push(...counts.map((row) => row[4]!)),
      onCheckpoint: async (state) => {
        for (const name of experts)
          for (const map of [state.moments.first, state.moments.second]) moments.push(...ownOf(map, name, 4));
      },
    });
    expect(loads).toEqual(Array(2 * run.steps).fill(0));
    expect(moments.every((moment) => moment === 0)).toBe(true);
    let decay = 1;
    for (let step = 0; step < run.steps; step++) decay *= 1 - learningRate(step, run) * run.weightDecay;
    for (const name of experts) {
      const expected = start.get(name)!.map((w) => w * decay);
      expect(relativeError(ownOf(model.params, name, 4), expected), name).toBeLessThan(1e-6);
      expect(relativeError(ownOf(model.params, name, 0), expected), name).toBeGreaterThan(1e-2);
    }
    model.dispose();
  });
});

describe("train", () => {
  beforeAll(async () => {
    await useBackend("tensorflow");
  });

  test("learns a text that repeats, to a loss near 0, in either form of the balance", async () => {
    const period = [3, 14, 15, 9, 2, 6, 5, 3, 5, 8, 9, 7];
    const tokens = Uint16Array.from({ length: 600 }, (_, i) => period[i % period.length]!);
    for (const form of ["megablocks", "huggingface"] as const) {
      const run: TrainingRun = {
        ...RUN,
        pos: 16,
        batch: 4,
        steps: 90,
        rate: 0.02,
        weightDecay: 0,
        loadBalance: { form, weight: 0.01 },
      };
      const losses: number[] = [];
      const model: MoeModel = await train(run, tokens, {
        onStep: ({ crossEntropy }) => void losses.push(crossEntropy),
      });
      expect(losses[0]).toBeGreaterThan(2);
      // A window's first tokens (3, 5 and 9 come twice) cannot be known: the rest can.
      expect(losses.at(-1)!).toBeLessThan(0.1);
      expect(textLoss(model, tokens.subarray(0, 200), { pos: 16 }).natsPerToken).toBeLessThan(0.1);
      model.dispose();
    }
  });

  test("makes the same model from the same seed, another from another, and every seed of the same spread", () => {
    const config: ModelConfig = { ...TINY, dModel: 64, dVocab: 300, mlp: { ...TINY.mlp, dFf: 40 } };
    const [a, b, c] = [freshParams(config, 1), freshParams(config, 1), freshParams(config, 2)];
    expect(bits(a)).toEqual(bits(b));
    expect(bits(a)).not.toEqual(bits(c));
    // 1/√fan-in, those that write to the stream of 2 layers smaller by √4; embeddings 1.
    const deviations: [string, number][] = [
      ["embed.W_E", 1],
      ["blocks.0.attn.W_QKV", 1 / 8],
      ["blocks.1.attn.W_O", 0.5 / 4],
      ["blocks.1.mlp.W_router", 1 / 8],
      ["blocks.0.mlp.W_gate", 1 / 8],
      ["blocks.0.mlp.W_down", 0.5 / Math.sqrt(40)],
      ["unembed.W_U", 1 / 8],
    ];
    for (const params of [a, c])
      for (const [name, deviation] of deviations) {
        const values = params.get(name)!.dataSync<"float32">();
        const found = Math.sqrt(values.reduce((sum, x) => sum + x * x, 0) / values.length);
        expect(Math.abs(found / deviation - 1), name).toBeLessThan(0.15);
      }
    expect([...a.get("ln_final.w")!.dataSync()]).toEqual(Array(64).fill(1));
    for (const params of [a, b, c]) tf.dispose([...params.values()]);
  });

  test("refuses a text that is too short for a batch", async () => {
    const before = tf.memory().numTensors;
    await expect(train(RUN, TOKENS.subarray(0, 24))).rejects.toThrow(
      new ConfigError("train: the text must have at least 25 tokens for one batch, got 24"),
    );
    expect(tf.memory().numTensors).toBe(before);
  });

  test("stops where a checkpoint cannot be written, and leaves no tensor behind", async () => {
    const before = tf.memory().numTensors;
    await expect(
      train(RUN, TOKENS, { onCheckpoint: () => Promise.reject(new Error("no space left")) }),
    ).rejects.toThrow("no space left");
    expect(tf.memory().numTensors).toBe(before);
  });
});
