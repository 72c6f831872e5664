import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import * as tf from "@tensorflow/tfjs";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { useBackend } from "../../lib/backend.ts";
import { loadModel } from "../../lib/checkpoint/folder.ts";
import type { HookName } from "../../lib/hooks.ts";
import { MoeModel } from "../../lib/model.ts";
import { hashUniform } from "../../lib/random.ts";
import { Replays } from "../../lib/replays.ts";
import { randomModel, TINY } from "../helpers.ts";

const GOLDEN = join(import.meta.dirname, "../golden");
const FOLDERS = ["families", "dbrx"]
  .flatMap((at) => readdirSync(join(GOLDEN, at)).map((name) => join(at, name)))
  .filter((path) => existsSync(join(GOLDEN, path, "config.json")) && !path.includes("mt5")); // encoder-decoders have their own pass

/** Every value of one run, as numbers. */
function everything(model: MoeModel, tokens: number[][], names: string[] | string = "*"): Map<string, tf.TypedArray> {
  const { logits, cache } = model.runWithCache(tokens, { names });
  const values = new Map<string, tf.TypedArray>(cache.names.map((name) => [name, cache.get(name).dataSync()]));
  values.set("returned", logits.dataSync());
  logits.dispose();
  cache.dispose();
  return values;
}

const tokensOf = (model: MoeModel, batch: number, pos: number): number[][] =>
  Array.from({ length: batch }, (_, b) =>
    Array.from({ length: pos }, (_t, p) => Math.floor(hashUniform(b + 7, p) * model.config.dVocab)),
  );

beforeAll(async () => {
  await useBackend("tensorflow");
});

describe.each(FOLDERS)("%s run again", (path) => {
  let model: MoeModel;
  beforeAll(async () => {
    model = await loadModel(join(GOLDEN, path));
  });
  afterAll(() => model.dispose());

  test("gives the bits of its first run, whoever watches", () => {
    const tokens = tokensOf(model, 2, Math.min(11, model.config.nCtx));
    const first = everything(model, tokens);
    expect(everything(model, tokens)).toEqual(first);
    expect(everything(model, tokens)).toEqual(first);
    const patterns = "blocks.*.attn.hook_pattern";
    for (let again = 0; again < 3; again++) {
      const logits = model.run(tokens);
      expect(logits.dataSync()).toEqual(first.get("logits"));
      logits.dispose();
      for (const [name, values] of everything(model, tokens, patterns))
        expect(values, name).toEqual(first.get(name === "returned" ? "logits" : name));
    }
  });
});

describe("what runs again", () => {
  test("reads the tokens and weights that it is given, not those that it saw", () => {
    const model = randomModel(TINY, 3);
    const fresh = (): MoeModel => randomModel(TINY, 3);
    const [a, b] = [[[1, 2, 3, 4]], [[4, 3, 2, 5]]];
    for (const tokens of [a, a, b, a, b]) {
      const other = fresh();
      expect(everything(model, tokens)).toEqual(everything(other, tokens));
      other.dispose();
    }
    const variables = new Map([...model.params].map(([name, param]) => [name, tf.variable(param)]));
    const trained = new MoeModel(TINY, variables);
    expect(everything(trained, a)).toEqual(everything(trained, a));
    for (const variable of variables.values()) variable.assign(variable.mul(1.5));
    const scaled = new MoeModel(TINY, new Map([...model.params].map(([name, param]) => [name, param.mul(1.5)])));
    expect(everything(trained, a)).toEqual(everything(scaled, a));
    for (const one of [model, trained, scaled]) one.dispose();
  });

  test("is one operation for a block's way up to its MLP, of all lengths that have as many blocks of queries", () => {
    const model = randomModel({ ...TINY, nCtx: 300 }, 6);
    const methods = ["executeSingleOutput", "executeMultipleOutputs"] as const;
    const backend = tf.backend() as unknown as Record<(typeof methods)[number], () => unknown>;
    const counted = (tokens: number[][]): { operations: number; values: Map<string, tf.TypedArray> } => {
      const spies = methods.map((method) => vi.spyOn(backend, method));
      const logits = model.run(tokens);
      const operations = spies.reduce((sum, spy) => sum + spy.mock.calls.length, 0);
      const values = new Map([["logits", logits.dataSync()]]);
      logits.dispose();
      for (const spy of spies) spy.mockRestore();
      return { operations, values };
    };
    for (const pos of [20, 128, 290, 300]) {
      const tokens = tokensOf(model, 2, pos);
      const [first, second, third] = [counted(tokens), counted(tokens), counted(tokens)];
      expect(second.values).toEqual(first.values);
      expect(third.values).toEqual(first.values);
      expect(first.operations - third.operations).toBeGreaterThan(30 * model.config.nLayers);
    }
    model.dispose();
  });

  test("changes nothing for hooks that change values, and keeps what they leave", () => {
    const model = randomModel(TINY, 4);
    const tokens = [[1, 2, 3, 4]];
    const name: HookName = "blocks.0.attn.hook_z";
    const ablated = (): tf.TypedArray => {
      const logits = model.runWithHooks(tokens, { [name]: (z) => tf.zerosLike(z) });
      const values = logits.dataSync();
      logits.dispose();
      return values;
    };
    const first = ablated();
    const plain = everything(model, tokens).get("logits");
    expect(first).not.toEqual(plain);
    for (let again = 0; again < 3; again++) {
      expect(ablated()).toEqual(first);
      expect(everything(model, tokens).get("logits")).toEqual(plain);
    }
    model.dispose();
  });

  test("leaves no tensor behind, and none of its numbers once the model is gone", () => {
    const backend = tf.backend();
    const model = randomModel({ ...TINY, nCtx: 150 }, 5);
    const before = tf.memory().numTensors;
    const data = backend.numDataIds();
    for (let again = 0; again < 4; again++)
      for (const length of [3, 5, 150]) everything(model, [Array.from({ length }, (_, i) => i % 7)]);
    expect(tf.memory().numTensors).toBe(before);
    const held = backend.numDataIds() - data;
    for (let again = 0; again < 4; again++)
      for (const length of [3, 5, 150]) everything(model, [Array.from({ length }, (_, i) => i % 7)]);
    expect(backend.numDataIds() - data).toBe(held);
    model.dispose();
  });

  test("is only what a graph can do: a function that reads numbers runs each time", () => {
    const weight = tf.tensor1d([2, 3]);
    const replays = new Replays<string>(() => [weight]);
    const runs: string[] = [];
    const call = (name: string, x: number[], f: (x: tf.Tensor) => tf.Tensor): number[] =>
      tf.tidy(() => {
        const input = tf.tensor1d(x);
        const made = replays.run(name, [input], () => {
          runs.push(name);
          return { outputs: [f(input)], note: name };
        });
        expect(made.note).toBe(name);
        return [...made.outputs[0]!.dataSync()];
      });
    const halved = (x: tf.Tensor): tf.Tensor => x.mul(weight).mul(0.5).sqrt();
    expect(call("halved", [1, 6], halved)).toEqual([1, 3]);
    expect(call("halved", [4, 24], halved)).toEqual([2, 6]);
    const reading = (x: tf.Tensor): tf.Tensor => x.mul(x.dataSync()[0]!);
    expect(call("reading", [1, 2], reading)).toEqual([1, 2]);
    expect(call("reading", [3, 2], reading)).toEqual([9, 6]);
    expect(call("same", [1, 2], (x) => x)).toEqual([1, 2]);
    expect(call("same", [3, 2], (x) => x)).toEqual([3, 2]);
    expect(runs).toEqual(["halved", "reading", "reading", "same", "same"]);
    replays.dispose();
    weight.dispose();
  });

  test("is recorded anew for gradients, which pass through", () => {
    const replays = new Replays<null>(() => []);
    const cubed = (x: tf.Tensor): tf.Tensor =>
      replays.run("cubed", [x], () => ({ outputs: [x.mul(x).mul(x)], note: null })).outputs[0]!;
    tf.tidy(() => {
      for (let again = 0; again < 3; again++) {
        expect([...cubed(tf.tensor1d([2, 3])).dataSync()]).toEqual([8, 27]);
        const slope = tf.grad((x) => cubed(x))(tf.tensor1d([2, 3]));
        expect([...slope.dataSync()]).toEqual([12, 27]);
      }
    });
    replays.dispose();
  });
});
