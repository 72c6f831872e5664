import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, test } from "vitest";
import { checkShape } from "../../lib/axes.ts";
import { useBackend } from "../../lib/backend.ts";
import { axisSizes, HOOKS, type HookFn, type HookName, type Hooks, hookName, patternOf } from "../../lib/hooks.ts";
import { MoeModel } from "../../lib/model.ts";
import type { MoeWeights } from "../../lib/moe.ts";
import {
  expectClose,
  expectNoLeak,
  randomModel,
  randomParams,
  TINY,
  TINY_DENSE,
  TINY_GPT2,
  TINY_MIXED,
} from "../helpers.ts";

const TOKENS = [
  [5, 17, 3, 9, 0, 22],
  [1, 1, 20, 8, 2, 14],
];

describe("MoeModel", () => {
  let model: MoeModel;
  beforeAll(async () => {
    await useBackend();
    model = randomModel(TINY, 3, 1.5);
    return () => model.dispose();
  });

  /** Logits of a run, as plain numbers. */
  function logitsOf(hooks: Hooks = {}, tokens = TOKENS): Float32Array {
    const logits = model.runWithHooks(tokens, hooks);
    const values = logits.dataSync<"float32">();
    logits.dispose();
    return values;
  }

  test.each([
    ["with experts", TINY],
    ["dense", TINY_DENSE],
    ["both", TINY_MIXED],
    ["with learned positions and biases", TINY_GPT2],
  ])("every hook has its declared shape and type, and fires in the declared order: blocks %s", (_, config) => {
    const tiny = randomModel(config);
    const { logits, cache } = tiny.runWithCache(TOKENS);
    expect(cache.names).toEqual(tiny.hookNames);
    for (const name of tiny.hookNames) {
      const layer = Number(/^blocks\.(\d+)/.exec(name)?.[1] ?? 0);
      const sizes = { ...axisSizes(config, layer), batch: 2, pos: 6, q_pos: 6, k_pos: 6 };
      const value = cache.get(name);
      const { shape, dtype } = HOOKS[patternOf(name)!];
      checkShape(name, value.shape, shape, sizes);
      expect(value.dtype, name).toBe(dtype);
    }
    logits.dispose();
    cache.dispose();
    tiny.dispose();
  });

  test("an identity hook on everything changes nothing, bit for bit", () => {
    const identity: HookFn = (value) => value;
    const copy: HookFn = (value) => value.clone();
    for (const hook of [identity, copy]) {
      const hooks = Object.fromEntries(model.hookNames.map((name) => [name, hook]));
      expect(logitsOf(hooks)).toEqual(logitsOf());
    }
  });

  test("what the MLP adds is the weighted sum of its experts' outputs", () => {
    const { logits, cache } = model.runWithCache(TOKENS, { names: "blocks.*" });
    for (let l = 0; l < TINY.nLayers; l++) {
      const weights = cache.get(hookName(l, "mlp.hook_expert_weights"));
      const outputs = cache.get(hookName(l, "mlp.hook_expert_out"));
      expectClose(cache.get(hookName(l, "hook_mlp_out")), outputs.mul(weights.expandDims(-1)).sum(2));
      expectClose(weights.sum(-1), tf.ones([2, 6]));
      const sums = cache.get(hookName(l, "hook_resid_mid")).add(cache.get(hookName(l, "hook_mlp_out")));
      expectClose(cache.get(hookName(l, "hook_resid_post")), sums);
    }
    logits.dispose();
    cache.dispose();
  });

  test("later tokens do not change earlier logits", () => {
    const changed = TOKENS.map((row) => [...row.slice(0, 4), 7, 7]);
    const [before, after] = [logitsOf(), logitsOf({}, changed)];
    for (let b = 0; b < 2; b++)
      for (let p = 0; p < 6; p++) {
        const at = (b * 6 + p) * TINY.dVocab;
        const same = after[at] === before[at];
        expect(same || Math.abs(after[at]! - before[at]!) < 1e-5).toBe(p < 4);
      }
  });

  test("permuting the experts permutes the indices and leaves the output alone", () => {
    const order = [3, 0, 4, 1, 2];
    const params = randomParams(TINY, 3, 1.5);
    for (const [name, value] of params) {
      const axis = name.endsWith("W_router") ? 1 : /W_(gate|up|down)$/.test(name) ? 0 : null;
      if (axis !== null) params.set(name, tf.gather(value, order, axis));
    }
    const permuted = new MoeModel(TINY, params);
    const name = hookName(0, "mlp.hook_expert_indices");
    const a = model.runWithCache(TOKENS, { names: name });
    const b = permuted.runWithCache(TOKENS, { names: name });
    expectClose(b.logits, a.logits);
    expect([...b.cache.get(name).dataSync()].map((e) => order[e])).toEqual([...a.cache.get(name).dataSync()]);
    tf.dispose([a.logits, b.logits]);
    for (const { cache } of [a, b]) cache.dispose();
    permuted.dispose();
  });

  test("with every expert chosen the layer is the dense mixture", () => {
    const config = { ...TINY, mlp: { ...TINY.mlp, topK: TINY.mlp.nExperts } };
    const dense = randomModel(config, 3, 1.5);
    const { logits, cache } = dense.runWithCache(TOKENS, { names: "blocks.0.*" });
    const x = cache.get("blocks.0.ln2.hook_normalized").reshape([12, TINY.dModel]);
    const { router, experts } = dense.weights.blocks[0]!.mlp as MoeWeights;
    const probs = tf.softmax(tf.matMul(x, router));
    const { gate, up, down } = experts.stacked!;
    const mixed = tf.addN(
      Array.from({ length: TINY.mlp.nExperts }, (_, e) => {
        const one = (stack: tf.Tensor3D): tf.Tensor2D => stack.slice([e, 0, 0], [1, -1, -1]).squeeze([0]);
        const pre = tf.matMul(x, one(gate), false, true);
        const hidden = pre.div(pre.neg().exp().add(1)).mul(tf.matMul(x, one(up), false, true));
        return tf.matMul(hidden, one(down), false, true).mul(probs.slice([0, e], [-1, 1]));
      }),
    );
    expectClose(cache.get("blocks.0.hook_mlp_out"), mixed.reshape([2, 6, TINY.dModel]));
    logits.dispose();
    cache.dispose();
    dense.dispose();
  });

  test("a hook that replaces router logits reroutes: pushing one expert up sends every token to it", () => {
    const push: HookFn = (value) => value.add(tf.tensor1d([0, 0, 100, 0, 0]));
    const hooks = { [hookName(1, "mlp.hook_router_logits")]: push };
    const names = ["blocks.1.mlp.hook_expert_indices", "blocks.1.mlp.hook_expert_weights"] as const;
    const { logits, cache } = model.runWithCache(TOKENS, { names, hooks });
    const indices = cache.get(names[0]).dataSync();
    const weights = cache.get(names[1]).dataSync();
    for (let row = 0; row < 12; row++) {
      expect(indices[row * 2]).toBe(2);
      expect(weights[row * 2]).toBeCloseTo(1, 6);
    }
    logits.dispose();
    cache.dispose();
  });

  test("a hook that replaces expert indices is obeyed, with those experts' own probabilities as weights", () => {
    const force: HookFn = (value) =>
      tf.tile(tf.tensor([[[4, 0]]], [1, 1, 2], "int32"), [value.shape[0], value.shape[1]!, 1]);
    const hooks = { [hookName(0, "mlp.hook_expert_indices")]: force };
    const { logits, cache } = model.runWithCache(TOKENS, { names: "blocks.0.mlp.*", hooks });
    const probs = cache.get("blocks.0.mlp.hook_router_probs").dataSync();
    const weights = cache.get("blocks.0.mlp.hook_expert_weights").dataSync();
    for (let row = 0; row < 12; row++) {
      const [p4, p0] = [probs[row * 5 + 4]!, probs[row * 5]!];
      expect(weights[row * 2]).toBeCloseTo(p4 / (p4 + p0), 5);
    }
    expect([...cache.get("blocks.0.mlp.experts.4.hook_token_index").dataSync()]).toEqual([...Array(12).keys()]);
    expect(cache.get("blocks.0.mlp.experts.1.hook_post").shape).toEqual([0, TINY.mlp.dFf]);
    logits.dispose();
    cache.dispose();
  });

  test("zeroing expert weights takes the MLP out of the sum", () => {
    const zero: HookFn = (value) => tf.zerosLike(value);
    const hooks = { [hookName(0, "mlp.hook_expert_weights")]: zero };
    const { logits, cache } = model.runWithCache(TOKENS, { names: "blocks.0.hook_resid_*", hooks });
    expectClose(cache.get("blocks.0.hook_resid_post"), cache.get("blocks.0.hook_resid_mid"));
    logits.dispose();
    cache.dispose();
  });

  test("a hook inside one expert changes only the tokens routed to it", () => {
    const before = model.runWithCache(TOKENS, { names: "blocks.0.*" });
    const zero: HookFn = (value) => tf.zerosLike(value);
    const hooks = { "blocks.0.mlp.experts.2.hook_post": zero } as Hooks;
    const after = model.runWithCache(TOKENS, { names: "blocks.0.hook_mlp_out", hooks });
    const routed = new Set(before.cache.get("blocks.0.mlp.experts.2.hook_token_index").dataSync());
    expect(routed.size).toBeGreaterThan(0);
    expect(routed.size).toBeLessThan(12);
    const [a, b] = [before, after].map(({ cache }) => cache.get("blocks.0.hook_mlp_out").dataSync());
    for (let row = 0; row < 12; row++) {
      const at = row * TINY.dModel;
      const difference = Math.abs(a![at]! - b![at]!);
      if (routed.has(row)) expect(difference).toBeGreaterThan(1e-6);
      else expect(difference).toBeLessThan(1e-6);
    }
    for (const { logits, cache } of [before, after]) {
      logits.dispose();
      cache.dispose();
    }
  });

  test("hooks of a list run in order, each on what the one before left, and the cache keeps the last", () => {
    const name = "blocks.0.hook_attn_out";
    const plus =
      (n: number): HookFn =>
      (value) =>
        tf.fill(value.shape, n);
    const seen: number[] = [];
    const look: HookFn = (value, context) => {
      seen.push(value.dataSync()[0]!);
      expect(context).toEqual({ name, layer: 0 });
    };
    const { logits, cache } = model.runWithCache(TOKENS, { names: name, hooks: { [name]: [plus(1), look, plus(2)] } });
    expect(seen).toEqual([1]);
    expect(cache.get(name).dataSync()[0]).toBe(2);
    logits.dispose();
    cache.dispose();
  });

  test("stopAtLayer returns the residual stream that would enter that block", () => {
    const { logits, cache } = model.runWithCache(TOKENS, { names: ["blocks.1.hook_resid_pre", "hook_embed"] });
    for (const [stopAtLayer, name] of [
      [1, "blocks.1.hook_resid_pre"],
      [-1, "blocks.1.hook_resid_pre"],
      [0, "hook_embed"],
    ] as const) {
      const residual = model.run(TOKENS, { stopAtLayer });
      expectClose(residual, cache.get(name), 0);
      residual.dispose();
    }
    logits.dispose();
    cache.dispose();
  });

  test("a run from a layer on gives the whole run's logits, bit for bit, and refuses what it would pass over", () => {
    const names: HookName[] = ["blocks.0.hook_resid_pre", "blocks.1.hook_resid_pre", "blocks.1.hook_resid_post"];
    const { logits, cache } = model.runWithCache(TOKENS, { names });
    for (const [layer, name] of names.entries()) expectClose(model.runFrom(cache.get(name), layer), logits, 0);
    const silence: Hooks = { "blocks.1.hook_mlp_out": (value) => tf.zerosLike(value) };
    const whole = logitsOf(silence);
    expect(model.runFrom(cache.get(names[1]!), 1, silence).dataSync()).toEqual(whole);
    expect(() => model.runFrom(cache.get(names[1]!), 2, silence)).toThrow(
      "runFrom: a hook must stand at block 2 or later, got blocks.1.hook_mlp_out",
    );
    expect(() => model.runFrom(cache.get(names[1]!), 3)).toThrow("runFrom: layer must be from 0 to 2, got 3");
    expect(() => model.runFrom(logits, 1)).toThrow("runFrom: shape must be [batch, pos, d_model] = [any, any, 16]");
    expect(() => model.runFrom(tf.zeros([1, 33, 16]), 1)).toThrow("must be 1 to 32 tokens long (nCtx), got 33");
    logits.dispose();
    cache.dispose();
  });

  test("only what is asked for is kept", () => {
    const names = ["blocks.*.mlp.hook_router_*", "logits"];
    const { logits, cache } = model.runWithCache(TOKENS, { names });
    expect(cache.names).toEqual([
      "blocks.0.mlp.hook_router_logits",
      "blocks.0.mlp.hook_router_probs",
      "blocks.1.mlp.hook_router_logits",
      "blocks.1.mlp.hook_router_probs",
      "logits",
    ]);
    expect(() => cache.get("hook_embed")).toThrow(
      'cache: "hook_embed" was not kept; kept are blocks.0.mlp.hook_router_logits, blocks.0.mlp.hook_router_probs, ' +
        "blocks.1.mlp.hook_router_logits, blocks.1.mlp.hook_router_probs, logits",
    );
    logits.dispose();
    cache.dispose();
  });

  test("no public call leaves a tensor behind, not even one that fails", () => {
    model.run(TOKENS).dispose(); // makes the lasting views of single experts
    expectNoLeak(() => model.run(TOKENS).dispose());
    expectNoLeak(() => model.run(TOKENS, { stopAtLayer: 1 }).dispose());
    expectNoLeak(() => {
      const { logits, cache } = model.runWithCache(TOKENS);
      logits.dispose();
      cache.dispose();
    });
    const failing: HookFn = () => {
      throw new Error("on purpose");
    };
    expectNoLeak(() => {
      const hooks = { "blocks.1.hook_mlp_out": failing };
      expect(() => model.runWithCache(TOKENS, { hooks })).toThrow("on purpose");
    });
  });

  test.each<[string, () => unknown, string]>([
    ["no tokens", () => model.run([]), "run: tokens must hold at least one id, got none"],
    ["an empty sequence", () => model.run([[]]), "run: tokens must hold at least one id, got none"],
    [
      "a token past the vocabulary",
      () => model.run([1, 23]),
      "run: a token id must be a whole number from 0 to 22, got 23",
    ],
    ["a negative token", () => model.run([-1]), "run: a token id must be a whole number from 0 to 22, got -1"],
    ["a fraction", () => model.run([0.5]), "run: a token id must be a whole number from 0 to 22, got 0.5"],
    [
      "ragged rows",
      () => model.run([[1, 2], [3]]),
      "run: sequences must have the same length (2, the first one's), got 1",
    ],
    [
      "too long a text",
      () => model.run(Array(33).fill(1)),
      "run: a sequence must be at most 32 tokens long (nCtx), got 33",
    ],
    [
      "a layer that is not there",
      () => model.run([1], { stopAtLayer: 3 }),
      "run: stopAtLayer must be from -2 to 2, got 3",
    ],
  ])("%s gets one clear line", (_, call, message) => {
    expect(call).toThrow(new RangeError(message));
  });

  test.each<[string, HookFn, string]>([
    [
      "another shape",
      () => tf.zeros([2, 6]),
      "hook blocks.0.hook_mlp_out: shape must be [batch, pos, d_model] = [2, 6, 16], got [2, 6]",
    ],
    [
      "another type",
      () => tf.zeros([2, 6, 16], "int32"),
      "hook blocks.0.hook_mlp_out: type must be float32, got int32",
    ],
    [
      "a promise",
      (async () => {}) as unknown as HookFn,
      "hook blocks.0.hook_mlp_out: must return a tensor or nothing, got a promise (hooks are synchronous)",
    ],
  ])("a hook that returns %s gets one clear line", (_, hook, message) => {
    expect(() => model.runWithHooks(TOKENS, { "blocks.0.hook_mlp_out": hook })).toThrow(message);
  });

  test("an unknown hook is refused with the names nearest to it", () => {
    const hooks = { "blocks.0.mlp.hook_router_logit": () => {} } as unknown as Hooks;
    expect(() => model.runWithHooks(TOKENS, hooks)).toThrow(
      'hooks: no hook is called "blocks.0.mlp.hook_router_logit"; the nearest are blocks.0.mlp.hook_router_logits',
    );
    expect(() => model.runWithCache(TOKENS, { names: "blocks.7.*" })).toThrow('no hook is called "blocks.7.*"');
    expect(() => model.runWithHooks(TOKENS, { ["blocks.2.hook_mlp_out" as HookName]: () => {} })).toThrow(RangeError);
  });

  test("an expert that does not exist is refused", () => {
    const hooks = { "blocks.0.mlp.hook_expert_indices": (x: tf.Tensor) => tf.onesLike(x).mul(tf.scalar(5, "int32")) };
    expect(() => model.runWithHooks(TOKENS, hooks)).toThrow("route: an expert must be from 0 to 4, got 5");
  });
});
