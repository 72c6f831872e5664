import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, test } from "vitest";
import { type BackendName, useBackend } from "../../lib/backend.ts";
import type { Activation, ModelConfig } from "../../lib/config.ts";
import { type Dispatch, dispatch } from "../../lib/dispatch.ts";
import type { ExpertStack } from "../../lib/expertBlocks.ts";
import { type ExpertWeights, expertsBatched, expertsLooped, runExperts } from "../../lib/experts.ts";
import type { HookFn, Hooks } from "../../lib/hooks.ts";
import { BlockTaps, Taps } from "../../lib/taps.ts";
import { relativeError, seeded, TINY } from "../helpers.ts";

const BACKENDS: BackendName[] = ["tensorflow", "wasm"];

/** Choices of `topK` different experts for each row. */
function randomChoices(rows: number, topK: number, nExperts: number, seed: number): Int32Array {
  const random = seeded(seed);
  return Int32Array.from(
    Array.from({ length: rows }, () => {
      const keys = Array.from({ length: nExperts }, random);
      return [...keys.keys()].sort((a, b) => keys[a]! - keys[b]!).slice(0, topK);
    }).flat(),
  );
}

/** Choices that are easy to get wrong: [name, indices, topK, nExperts]. */
const CASES: [string, Int32Array, number, number][] = [
  ["random", randomChoices(13, 3, 7, 1), 3, 7],
  ["one expert takes every token, and two are idle", Int32Array.of(2, 0, 2, 3, 2, 0, 2, 3), 2, 5],
  ["one expert takes everything", Int32Array.of(3, 3, 3, 3), 1, 4],
  ["one token", Int32Array.of(4, 1), 2, 5],
  ["one expert", Int32Array.of(0, 0, 0), 1, 1],
  ["every expert chosen", Int32Array.of(2, 0, 1, 0, 1, 2), 3, 3],
  // Only a hook can ask for it: both slots of a token are then computed.
  ["the same expert twice for a token", Int32Array.of(1, 1, 0, 1), 2, 3],
];

describe("dispatch", () => {
  test("two tokens and three experts, by hand", () => {
    // Assignments 0 … 3 go to experts 2, 0, 2, 1: expert 0 gets 1, expert 1 gets 3, expert 2 gets 0 and 2.
    expect(dispatch(Int32Array.of(2, 0, 2, 1), 2, 3)).toEqual({
      topK: 2,
      counts: Int32Array.of(1, 1, 2),
      starts: Int32Array.of(0, 1, 2),
      order: Int32Array.of(1, 3, 0, 2),
    });
  });

  test.each(CASES)("each expert gets exactly its assignments, in rising order: %s", (_, indices, topK, nExperts) => {
    const { counts, starts, order } = dispatch(indices, topK, nExperts);
    expect(order).toHaveLength(indices.length);
    for (let e = 0; e < nExperts; e++) {
      const own = [...indices.keys()].filter((a) => indices[a] === e);
      expect(counts[e]).toBe(own.length);
      expect([...order.subarray(starts[e], starts[e]! + counts[e]!)]).toEqual(own);
    }
  });

  test.each(CASES)("combining what was dispatched to experts that do nothing is the identity: %s", (_, ...choice) => {
    const [indices, topK, nExperts] = choice;
    const { order } = dispatch(indices, topK, nExperts);
    const random = seeded(9);
    const x = Float64Array.from({ length: indices.length / topK }, random);
    const weights = Float64Array.from(indices, random);
    const total = (t: number): number => weights.slice(t * topK, (t + 1) * topK).reduce((a, b) => a + b, 0);
    const dispatched = Array.from(order, (a) => x[Math.floor(a / topK)]!);
    const combined = new Float64Array(x.length);
    for (const [row, a] of order.entries()) {
      const token = Math.floor(a / topK);
      combined[token]! += (weights[a]! / total(token)) * dispatched[row]!;
    }
    expect(relativeError(combined, x)).toBeLessThan(1e-14);
  });
});

const D_MODEL = 6;
const D_FF = 4;

function randomTensor(shape: number[], seed: number): tf.Tensor {
  const random = seeded(seed);
  const size = shape.reduce((a, b) => a * b, 1);
  return tf.tensor(
    Float32Array.from({ length: size }, () => 2 * random() - 1),
    shape,
  );
}

/** One expert's matrices out of the stacks. */
function oneOf({ gate, up, down }: ExpertStack, e: number): ReturnType<ExpertWeights["one"]> {
  const one = (stack: tf.Tensor3D): tf.Tensor2D => stack.slice([e, 0, 0], [1, -1, -1]).squeeze([0]);
  return { gate: one(gate), up: one(up), down: one(down) };
}

function weightsOf(nExperts: number, dFf = D_FF): ExpertWeights & { stacked: ExpertStack } {
  const gate = randomTensor([nExperts, dFf, D_MODEL], 11) as tf.Tensor3D;
  const up = randomTensor([nExperts, dFf, D_MODEL], 12) as tf.Tensor3D;
  const down = randomTensor([nExperts, D_MODEL, dFf], 13) as tf.Tensor3D;
  return { activation: "silu", dFf, stacked: { gate, up, down }, one: (e) => oneOf({ gate, up, down }, e) };
}

function tapsOf(rows: number, nExperts: number, topK: number, hooks: Hooks = {}, dFf = D_FF): BlockTaps {
  const config: ModelConfig = { ...TINY, dModel: D_MODEL, mlp: { ...TINY.mlp, nExperts, topK, dFf } };
  return new BlockTaps(new Taps(config, hooks, { batch: 1, pos: rows, past: 0 }), 0);
}

function times(row: number[], matrix: number[][]): number[] {
  return matrix.map((weights) => row.reduce((sum, value, i) => sum + value * weights[i]!, 0));
}

/** Every assignment by itself, in double precision: down · (silu(gate · x) ⊙ (up · x)). */
function plainExperts(x: number[][], indices: Int32Array, topK: number, weights: ExpertWeights): number[] {
  return [...indices].flatMap((e, a) => {
    const { gate, up, down } = weights.one(e);
    const row = x[Math.floor(a / topK)]!;
    const linear = times(row, up.arraySync());
    const hidden = times(row, gate.arraySync()).map((g, j) => (g / (1 + Math.exp(-g))) * linear[j]!);
    return times(hidden, down.arraySync());
  });
}

describe.each(BACKENDS)("experts on %s", (backend) => {
  beforeAll(async () => {
    await useBackend(backend);
  });

  const FORMS: [
    string,
    (x: tf.Tensor2D, plan: Dispatch, weights: ReturnType<typeof weightsOf>, taps: BlockTaps) => tf.Tensor2D,
  ][] = [
    ["one by one", (x, plan, weights, taps) => expertsLooped(x, plan, weights, taps)],
    ["all at once", (x, plan, weights, taps) => expertsBatched(x, plan, weights, taps)],
    ["as the backend does it best", runExperts],
    ["without stacks", (x, plan, weights, taps) => runExperts(x, plan, { ...weights, stacked: null }, taps)],
  ];

  describe.each(FORMS)("run %s", (_, run) => {
    test.each(CASES)("every assignment's output is what plain loops compute: %s", (_name, indices, topK, nExperts) => {
      tf.tidy(() => {
        const x = randomTensor([indices.length / topK, D_MODEL], 3) as tf.Tensor2D;
        const weights = weightsOf(nExperts);
        const outputs = run(x, dispatch(indices, topK, nExperts), weights, tapsOf(x.shape[0], nExperts, topK));
        expect(outputs.shape).toEqual([indices.length, D_MODEL]);
        const expected = plainExperts(x.arraySync(), indices, topK, weights);
        expect(relativeError(outputs.dataSync(), expected)).toBeLessThan(1e-5);
      });
    });

    test.each(CASES)(
      "experts that hand on what they read put every token back in its place: %s",
      (_name, ...choice) => {
        const [indices, topK, nExperts] = choice;
        tf.tidy(() => {
          const rows = indices.length / topK;
          const x = randomTensor([rows, D_MODEL], 4) as tf.Tensor2D;
          const read = new Map<string, tf.Tensor1D>();
          const hooks: Record<string, HookFn> = {};
          for (let e = 0; e < nExperts; e++) {
            const expert = `blocks.0.mlp.experts.${e}`;
            hooks[`${expert}.hook_token_index`] = (tokens) => void read.set(expert, tokens as tf.Tensor1D);
            hooks[`${expert}.hook_post`] = (value) => (value.size === 0 ? undefined : tf.gather(x, read.get(expert)!));
          }
          const weights = weightsOf(nExperts, D_MODEL);
          const down = tf.tile(tf.eye(D_MODEL).expandDims<tf.Tensor3D>(0), [nExperts, 1, 1]);
          const identity = {
            ...weights,
            stacked: { ...weights.stacked, down },
            one: (e: number) => ({ ...weights.one(e), down: tf.eye(D_MODEL) }),
          };
          const plan = dispatch(indices, topK, nExperts);
          const outputs = run(x, plan, identity, tapsOf(rows, nExperts, topK, hooks, D_MODEL));
          const expected = tf.tile(x.expandDims(1), [1, topK, 1]);
          expect(relativeError(outputs.dataSync(), expected.dataSync())).toBeLessThan(1e-6);
        });
      },
    );

    test("an expert's hooks see the rows of its tokens, and an idle one's see no row", () => {
      const [, indices, topK, nExperts] = CASES[1]!;
      tf.tidy(() => {
        const x = randomTensor([4, D_MODEL], 5) as tf.Tensor2D;
        const weights = weightsOf(nExperts);
        const seen = new Map<string, tf.Tensor>();
        const keep: HookFn = (value, { name }) =>
          void seen.set(name.replace("blocks.0.mlp.experts.", ""), tf.keep(value.clone()));
        const hooks: Record<string, HookFn> = {};
        for (const e of [0, 1])
          for (const part of ["hook_token_index", "hook_pre", "hook_pre_linear", "hook_post"])
            hooks[`blocks.0.mlp.experts.${e}.${part}`] = keep;
        run(x, dispatch(indices, topK, nExperts), weights, tapsOf(4, nExperts, topK, hooks));
        expect([...seen.get("0.hook_token_index")!.dataSync()]).toEqual([0, 2]);
        const own = tf.gather(x, [0, 2]);
        const { gate, up } = weights.one(0);
        const [pre, linear] = [own.matMul(gate, false, true), own.matMul(up, false, true)];
        const post = tf.sigmoid(pre).mul(pre).mul(linear);
        for (const [part, expected] of Object.entries({ hook_pre: pre, hook_pre_linear: linear, hook_post: post }))
          expect(relativeError(seen.get(`0.${part}`)!.dataSync(), expected.dataSync()), part).toBeLessThan(1e-5);
        expect(seen.get("1.hook_token_index")!.shape).toEqual([0]);
        expect(seen.get("1.hook_post")!.shape).toEqual([0, D_FF]);
        tf.dispose([...seen.values()]);
      });
    });
  });

  test("which rows go where cannot be changed behind the router's back", () => {
    const [, indices, topK, nExperts] = CASES[1]!;
    const plan = dispatch(indices, topK, nExperts);
    const run = (hook: HookFn): void =>
      tf.tidy(() => {
        const x = randomTensor([4, D_MODEL], 5) as tf.Tensor2D;
        const taps = tapsOf(4, nExperts, topK, { "blocks.0.mlp.experts.0.hook_token_index": hook });
        runExperts(x, plan, weightsOf(nExperts), taps);
      });
    expect(() => run((value) => value.clone())).not.toThrow();
    expect(() => run((value) => tf.zerosLike(value))).toThrow(
      new RangeError("experts.0.hook_token_index: must be left as it is; replace mlp.hook_expert_indices instead"),
    );
  });

  test("the weights' gradient is the same in each form, and zero for an idle expert", () => {
    const [, indices, topK, nExperts] = CASES[1]!;
    tf.tidy(() => {
      const x = randomTensor([4, D_MODEL], 6) as tf.Tensor2D;
      const { stacked } = weightsOf(nExperts);
      const plan = dispatch(indices, topK, nExperts);
      const factors = randomTensor([indices.length, D_MODEL], 7);
      const gradients = (run: (gate: tf.Tensor3D, up: tf.Tensor3D, down: tf.Tensor3D) => tf.Tensor): tf.Tensor[] =>
        tf.grads((gate, up, down) =>
          run(gate as tf.Tensor3D, up as tf.Tensor3D, down as tf.Tensor3D)
            .mul(factors)
            .sum(),
        )([stacked.gate, stacked.up, stacked.down]);
      const taps = tapsOf(4, nExperts, topK);
      const of = (stack: ExpertStack): ExpertWeights & { stacked: ExpertStack } => {
        return { activation: "silu", dFf: D_FF, stacked: stack, one: (e) => oneOf(stack, e) };
      };
      const looped = gradients((gate, up, down) => expertsLooped(x, plan, of({ gate, up, down }), taps));
      const others = [expertsBatched, runExperts].map((run) =>
        gradients((gate, up, down) => run(x, plan, of({ gate, up, down }), taps)),
      );
      for (const [i, gradient] of others.flatMap((all) => [...all.entries()])) {
        expect(relativeError(gradient.dataSync(), looped[i]!.dataSync())).toBeLessThan(1e-5);
        expect(gradient.slice([1, 0, 0], [1, -1, -1]).abs().max().dataSync()[0]).toBe(0);
        expect(gradient.slice([2, 0, 0], [1, -1, -1]).abs().max().dataSync()[0]).toBeGreaterThan(0);
      }
    });
  });
});

describe("experts in one graph", () => {
  beforeAll(async () => {
    await useBackend("tensorflow");
  });

  const [, indices, topK, nExperts] = CASES[1]!;
  const biases = (dFf: number): ExpertWeights["biases"] => ({
    gate: randomTensor([nExperts, dFf], 21) as tf.Tensor2D,
    up: randomTensor([nExperts, dFf], 22) as tf.Tensor2D,
    down: randomTensor([nExperts, D_MODEL], 23) as tf.Tensor2D,
  });
  const SETTINGS: [string, (dFf: number) => Partial<ExpertWeights>][] = [
    ...(["silu", "gelu", "geluTanh", "geluSigmoid"] satisfies Activation[]).map(
      (activation): [string, () => Partial<ExpertWeights>] => [activation, () => ({ activation })],
    ),
    ["biases", (dFf) => ({ biases: biases(dFf) })],
    ["biases and a limit", (dFf) => ({ activation: "geluSigmoid", gluLimit: 0.3, biases: biases(dFf) })],
  ];

  // Widths that are no multiple of what a processor computes at once, and one that is.
  test.each(SETTINGS.flatMap(([name, settings]) => [5, 8].map((dFf) => [name, dFf, settings(dFf)] as const)))(
    "compute the bits that experts one by one do, watched and not: %s, %i neurons",
    (_, dFf, settings) => {
      tf.tidy(() => {
        const plan = dispatch(indices, topK, nExperts);
        const x = randomTensor([indices.length / topK, D_MODEL], 6).mul<tf.Tensor2D>(3);
        const weights = { ...weightsOf(nExperts, dFf), ...settings };
        const plain = tapsOf(x.shape[0], nExperts, topK, {}, dFf);
        const oneByOne = expertsLooped(x, plan, weights, plain).dataSync();
        expect(runExperts(x, plan, weights, plain).dataSync()).toEqual(oneByOne);
        for (const hook of ["hook_token_index", "hook_pre", "hook_pre_linear", "hook_post"]) {
          const seen: number[] = [];
          const look: HookFn = (value) => void seen.push(value.shape[0]);
          const hooks: Hooks = { [`blocks.0.mlp.experts.0.${hook}`]: look };
          expect(runExperts(x, plan, weights, tapsOf(x.shape[0], nExperts, topK, hooks, dFf)).dataSync()).toEqual(
            oneByOne,
          );
          expect(seen, hook).toEqual([2]);
        }
      });
    },
  );

  test("leave no tensor behind", () => {
    tf.tidy(() => {
      const plan = dispatch(indices, topK, nExperts);
      const x = randomTensor([indices.length / topK, D_MODEL], 6) as tf.Tensor2D;
      const weights = weightsOf(nExperts);
      const taps = tapsOf(x.shape[0], nExperts, topK);
      runExperts(x, plan, weights, taps).dispose();
      const before = tf.memory().numTensors;
      runExperts(x, plan, weights, taps).dispose();
      expect(tf.memory().numTensors).toBe(before);
    });
  });
});
