import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, test } from "vitest";
import { useBackend } from "../../../lib/backend.ts";
import { type HookName, type Hooks, hookName } from "../../../lib/hooks.ts";
import { ablateExperts } from "../../../lib/interventions/ablateExperts.ts";
import { combineHooks } from "../../../lib/interventions/combineHooks.ts";
import { forceExperts } from "../../../lib/interventions/forceExperts.ts";
import { patchActivation } from "../../../lib/interventions/patchActivation.ts";
import { steerRouter } from "../../../lib/interventions/steerRouter.ts";
import { activationRateDifference } from "../../../lib/metrics/activationRateDifference.ts";
import type { MoeModel } from "../../../lib/model.ts";
import { routingTrace } from "../../../lib/trace/capture.ts";
import { expectClose, randomModel, TINY } from "../../helpers.ts";

const TOKENS = [[5, 17, 3, 9, 0, 22]];
const INDICES = hookName(0, "mlp.hook_expert_indices");
const WEIGHTS = hookName(0, "mlp.hook_expert_weights");

let model: MoeModel;
beforeAll(async () => {
  await useBackend();
  model = randomModel(TINY, 3, 1.5);
  return () => model.dispose();
});

/** Values of hooks in a run, as plain arrays. */
function seen(names: HookName[], hooks: Hooks): Float32Array[] {
  const { logits, cache } = model.runWithCache(TOKENS, { names, hooks });
  const values = names.map((name) => Float32Array.from(cache.get(name).dataSync()));
  logits.dispose();
  cache.dispose();
  return values;
}

describe("ablateExperts", () => {
  const [indices, weights] = [() => seen([INDICES], {})[0]!, () => seen([WEIGHTS], {})[0]!];

  test("zero takes the expert's weight away and leaves the others'", () => {
    const [chosen, before] = [indices(), weights()];
    const target = chosen[0]!;
    const [after] = seen([WEIGHTS], ablateExperts(0, [target], "zero"));
    expect([...after!]).toEqual([...before].map((w, i) => (chosen[i] === target ? 0 : w)));
  });

  test("renormalize gives the weight to the others of the token, and nothing to a token that has no other", () => {
    const chosen = indices();
    const [first, second] = [chosen[0]!, chosen[1]!];
    const [one] = seen([WEIGHTS], ablateExperts(0, [first], "renormalize"));
    expect(one![0]).toBe(0);
    expect(one![1]).toBeCloseTo(1, 6);
    const [both] = seen([WEIGHTS], ablateExperts(0, [first, second], "renormalize"));
    expect([both![0], both![1]]).toEqual([0, 0]);
  });

  test("reroute gives each token its next best expert", () => {
    const target = indices()[0]!;
    const probs = seen([hookName(0, "mlp.hook_router_probs")], {})[0]!;
    const [after] = seen([INDICES], ablateExperts(0, [target], "reroute"));
    for (let t = 0; t < 6; t++) {
      const row = [...probs.subarray(t * 5, t * 5 + 5)].map((p, e) => ({ p, e })).filter(({ e }) => e !== target);
      const best = row.sort((a, b) => b.p - a.p).slice(0, 2);
      expect([...after!.subarray(t * 2, t * 2 + 2)]).toEqual(best.map(({ e }) => e));
    }
  });

  test("refuses what is no expert and no way", () => {
    expect(() => ablateExperts(0, [1.5], "zero")).toThrow(
      "ablateExperts: an expert must be a whole number from 0, got 1.5",
    );
    expect(() => ablateExperts(0, [1], "median" as "zero")).toThrow(
      "ablateExperts: how must be zero, mean, renormalize or reroute, got median",
    );
  });

  test("mean puts the given vector in the place of the expert's output, and leaves weights and other experts", () => {
    const OUT = hookName(0, "mlp.hook_expert_out");
    const [chosen, before] = [indices(), seen([OUT], {})[0]!];
    const target = chosen[0]!;
    const values = new Float32Array(5 * 16).fill(Number.NaN);
    for (let d = 0; d < 16; d++) values[target * 16 + d] = d;
    const [after, left] = seen([OUT, WEIGHTS], ablateExperts(0, [target], "mean", { nExperts: 5, values }));
    expect([...after!]).toEqual([...before].map((x, i) => (chosen[Math.floor(i / 16)] === target ? i % 16 : x)));
    expect(left).toEqual(weights());
  });

  test("mean refuses a mean that is not there, or of another width", () => {
    const means = { nExperts: 5, values: new Float32Array(5 * 16).fill(Number.NaN) };
    expect(() => ablateExperts(0, [1], "mean")).toThrow('means must be given for how "mean", got none');
    expect(() => ablateExperts(0, [3], "mean", means)).toThrow("means must hold a mean of expert 3, got none");
    expect(() => ablateExperts(0, [5], "mean", means)).toThrow("means must hold a mean of expert 5, got none");
    const narrow = { nExperts: 5, values: new Float32Array(5 * 8) };
    expect(() => model.runWithHooks(TOKENS, ablateExperts(0, [3], "mean", narrow))).toThrow(
      "ablateExperts: means must be [n_experts, d_model] with d_model 16, got 8",
    );
  });
});

test("forceExperts sends every token there, weighted by the router's own probabilities", () => {
  const [chosen, weights, probs] = seen(
    [INDICES, WEIGHTS, hookName(0, "mlp.hook_router_probs")],
    forceExperts(0, [4, 1]),
  );
  for (let t = 0; t < 6; t++) {
    expect([chosen![t * 2], chosen![t * 2 + 1]]).toEqual([4, 1]);
    const [p4, p1] = [probs![t * 5 + 4]!, probs![t * 5 + 1]!];
    expect(weights![t * 2]).toBeCloseTo(p4 / (p4 + p1), 5);
  }
  expect(() => model.runWithHooks(TOKENS, forceExperts(0, [4]))).toThrow(
    "shape must be [batch, pos, top_k] = [1, 6, 2]",
  );
});

test("steerRouter adds to the logits, and enough of it brings an expert to every token", () => {
  const name = hookName(0, "mlp.hook_router_logits");
  const direction = [0, 0, 1, 0, -1];
  const [before] = seen([name], {});
  const [after] = seen([name], steerRouter(0, direction, 2.5));
  for (let i = 0; i < 30; i++) expect(after![i]! - before![i]!).toBeCloseTo(2.5 * direction[i % 5]!, 4);
  const [chosen] = seen([INDICES], steerRouter(0, direction, 1000));
  for (let t = 0; t < 6; t++) {
    expect(chosen![t * 2]).toBe(2);
    expect(chosen![t * 2 + 1]).not.toBe(4);
  }
  expect(() => model.runWithHooks(TOKENS, steerRouter(0, [1], 1))).toThrow(
    "steerRouter: direction must be [n_experts] = [5], got [1]",
  );
});

test("steering along the difference between two texts' choices brings a layer nearer to the one and away from the other", () => {
  const traceOf = (tokens: number[][], hooks: Hooks) => {
    const { logits, cache } = model.runWithCache(tokens, { names: "blocks.0.mlp.hook_expert_*", hooks });
    const record = routingTrace({ cache, config: TINY, tokens, pieces: null }, "tiny");
    logits.dispose();
    cache.dispose();
    return record;
  };
  const [a, b] = [traceOf([[1, 1, 20, 8, 2, 14]], {}), traceOf([[9, 3, 3, 7, 0, 11]], {})];
  const direction = activationRateDifference(a, b, 0);
  const towards = (strength: number): number => {
    const rates = activationRateDifference(traceOf(TOKENS, steerRouter(0, direction, strength)), b, 0);
    return rates.reduce((sum, rate, e) => sum + rate * direction[e]!, 0);
  };
  expect(Math.hypot(...direction)).toBeGreaterThan(0.3);
  expect(towards(5)).toBeGreaterThan(towards(0));
  expect(towards(-5)).toBeLessThan(towards(0));
});

test("activationRateDifference is the difference of the shares of tokens", () => {
  const trace = (hooks: Hooks) => {
    const { logits, cache } = model.runWithCache(TOKENS, { names: "blocks.*.mlp.hook_expert_*", hooks });
    const record = routingTrace({ cache, config: TINY, tokens: TOKENS, pieces: null }, "tiny");
    logits.dispose();
    cache.dispose();
    return record;
  };
  const difference = activationRateDifference(trace(forceExperts(1, [0, 3])), trace(forceExperts(1, [3, 4])), 1);
  expect([...difference]).toEqual([1, 0, 0, 0, -1]);
  expect(() => activationRateDifference(trace({}), trace({}), 2)).toThrow("layer must be one of 0, 1, got 2");
});

describe("patchActivation", () => {
  test("patching the embedding of another text gives that text's logits", () => {
    const other = [[1, 1, 20, 8, 2, 14]];
    const { logits: expected, cache } = model.runWithCache(other, { names: "hook_embed" });
    const patched = model.runWithHooks(TOKENS, patchActivation("hook_embed", cache.get("hook_embed")));
    expectClose(patched, expected, 0);
    const [mixed] = seen(["hook_embed"], patchActivation("hook_embed", cache.get("hook_embed"), [2, 5]));
    const [own, theirs] = [seen(["hook_embed"], {})[0]!, cache.get("hook_embed").dataSync()];
    for (let i = 0; i < mixed!.length; i++) {
      const p = Math.floor(i / TINY.dModel);
      expect(mixed![i]).toBe(p === 2 || p === 5 ? theirs[i] : own[i]);
    }
    expect(() => model.run([1, 2])).not.toThrow();
    expect(() => model.runWithHooks([[1, 2]], patchActivation("hook_embed", cache.get("hook_embed")))).toThrow(
      "hook hook_embed: shape must be [batch, pos, d_model] = [1, 2, 16], got [1, 6, 16]",
    );
    expect(() => model.runWithHooks(TOKENS, patchActivation("hook_embed", cache.get("hook_embed"), [6]))).toThrow(
      "patchActivation: a position must be from 0 to 5, got 6",
    );
    tf.dispose([expected, patched]);
    cache.dispose();
  });
});

test("combineHooks runs hooks of one name in the order given", () => {
  const add = (n: number): Hooks => ({ "blocks.0.hook_mlp_out": (x: tf.Tensor) => x.mul(0).add(n) });
  const double: Hooks = { "blocks.0.hook_mlp_out": [(x: tf.Tensor) => x.mul(2)] };
  expect(seen(["blocks.0.hook_mlp_out"], combineHooks(add(1), double))[0]![0]).toBe(2);
  expect(seen(["blocks.0.hook_mlp_out"], combineHooks(double, add(1)))[0]![0]).toBe(1);
});
