import { describe, expect, test } from "vitest";
import {
  checkConfig,
  type DenseConfig,
  type ModelConfig,
  type MoeConfig,
  mlpOf,
  moeLayers,
  moeOf,
} from "../../lib/config.ts";
import { ConfigError } from "../../lib/errors.ts";
import { TINY } from "../helpers.ts";

const withMlp = (mlp: Partial<MoeConfig>): ModelConfig => ({ ...TINY, mlp: { ...TINY.mlp, ...mlp } });
const whole = (most: number): string => `a whole number from 1 to ${most}`;
const powers = (normalize: number): ModelConfig => withMlp({ gating: { kind: "softmaxThenTopK", normalize } });
const DENSE: DenseConfig = { kind: "dense", dFf: 9, activation: "silu" };
const dense = (changes: Partial<DenseConfig>): ModelConfig => ({ ...TINY, mlp: { ...DENSE, ...changes } });
const blocks = (layers: number[], changes: Partial<DenseConfig> = {}): NonNullable<ModelConfig["denseBlocks"]> => ({
  layers,
  mlp: { ...DENSE, ...changes },
});
const some = "denseBlocks.layers must be some, not all, of the 2 blocks of a model with experts, in rising order";

describe("the kind of a block's MLP", () => {
  test("is the model's, but for the dense blocks that it names", () => {
    const config = { ...TINY, nLayers: 4, denseBlocks: blocks([0, 2]) };
    expect([0, 1, 2, 3].map((l) => mlpOf(config, l).kind)).toEqual(["dense", "moe", "dense", "moe"]);
    expect(moeLayers(config)).toEqual([1, 3]);
    expect(moeOf(config)).toBe(TINY.mlp);
    expect([moeLayers(TINY), moeLayers(dense({}))]).toEqual([[0, 1], []]);
  });

  test("is asked for experts in vain where every block is dense", () => {
    expect(() => moeOf(dense({}), "loadPerExpert")).toThrow(
      new ConfigError("loadPerExpert: the model must have experts, got a dense dbrx, which has no router"),
    );
  });
});

describe("checkConfig", () => {
  test("hands a config on that can be built", () => {
    expect(checkConfig(TINY)).toBe(TINY);
    const config = withMlp({ topK: 5, loadBalanceWeight: 0, gating: { kind: "topKThenSoftmax" } });
    expect(checkConfig(config)).toBe(config);
    const unrotated = { ...TINY, dHead: 5, ropeBase: null };
    expect(checkConfig(unrotated)).toBe(unrotated);
    for (const other of [dense({}), { ...TINY, denseBlocks: blocks([1]) }]) expect(checkConfig(other)).toBe(other);
  });

  test.each<[string, ModelConfig, string]>([
    ["no layer", { ...TINY, nLayers: 0 }, `nLayers must be ${whole(4096)}, got 0`],
    ["layers without end", { ...TINY, nLayers: 1e9 }, `nLayers must be ${whole(4096)}, got 1000000000`],
    ["half a dimension", { ...TINY, dModel: 16.5 }, `dModel must be ${whole(16777216)}, got 16.5`],
    ["a negative count", { ...TINY, dVocab: -1 }, `dVocab must be ${whole(16777216)}, got -1`],
    ["an infinite context", { ...TINY, nCtx: Infinity }, `nCtx must be ${whole(16777216)}, got Infinity`],
    ["NaN", { ...TINY, nHeads: Number.NaN }, `nHeads must be ${whole(16777216)}, got NaN`],
    ["a word", { ...TINY, dHead: "4" as unknown as number }, `dHead must be ${whole(16777216)}, got "4"`],
    ["nothing", { ...TINY, nCtx: undefined as unknown as number }, `nCtx must be ${whole(16777216)}, got undefined`],
    ["a huge axis", { ...TINY, dVocab: 2 ** 24 + 1 }, `dVocab must be ${whole(16777216)}, got 16777217`],
    ["groups that are not whole", { ...TINY, nKvHeads: 3 }, "nHeads must be a multiple of nKvHeads (3), got 4"],
    ["more keys than queries", { ...TINY, nKvHeads: 8 }, "nHeads must be a multiple of nKvHeads (8), got 4"],
    ["an odd head", { ...TINY, dHead: 5 }, "dHead must be even, since RoPE turns pairs, got 5"],
    [
      "a bias of an RMS norm",
      { ...TINY, norm: "rmsNorm", normBias: true },
      "normBias must be of a layerNorm, got an rmsNorm",
    ],
    ["a norm that divides by 0", { ...TINY, normEps: 0 }, "normEps must be a positive number, got 0"],
    ["a base that is not a number", { ...TINY, ropeBase: Number.NaN }, "ropeBase must be a positive number, got NaN"],
    ["a clamp to nothing", { ...TINY, clipQkv: 0 }, "clipQkv must be a positive number, got 0"],
    ["a negative scale", { ...TINY, attentionScale: -1 }, "attentionScale must be a positive number, got -1"],
    ["no expert", withMlp({ nExperts: 0 }), `mlp.nExperts must be ${whole(65536)}, got 0`],
    [
      "more experts than a trace holds",
      withMlp({ nExperts: 65537 }),
      `mlp.nExperts must be ${whole(65536)}, got 65537`,
    ],
    ["too many chosen", withMlp({ topK: 6 }), `mlp.topK (nExperts is 5) must be ${whole(5)}, got 6`],
    ["none chosen", withMlp({ topK: 0 }), `mlp.topK (nExperts is 5) must be ${whole(5)}, got 0`],
    ["experts without neurons", withMlp({ dFf: 0 }), `mlp.dFf must be ${whole(16777216)}, got 0`],
    ["a 0-norm", powers(0), "mlp.gating.normalize must be a positive number, got 0"],
    ["an ∞-norm", powers(Infinity), "mlp.gating.normalize must be a positive number, got Infinity"],
    ["a dense block without neurons", dense({ dFf: 0 }), `mlp.dFf must be ${whole(16777216)}, got 0`],
    ["a dense block among dense ones", { ...dense({}), denseBlocks: blocks([0]) }, `${some}, got [0]`],
    ["no dense block", { ...TINY, denseBlocks: blocks([]) }, `${some}, got []`],
    ["only dense blocks beside experts", { ...TINY, denseBlocks: blocks([0, 1]) }, `${some}, got [0,1]`],
    ["a dense block past the last", { ...TINY, denseBlocks: blocks([2]) }, `${some}, got [2]`],
    ["a dense block before the first", { ...TINY, denseBlocks: blocks([-1]) }, `${some}, got [-1]`],
    ["half a dense block", { ...TINY, denseBlocks: blocks([0.5]) }, `${some}, got [0.5]`],
    [
      "a dense block twice",
      { ...TINY, nLayers: 3, denseBlocks: blocks([1, 1]) },
      `${some.replace("2", "3")}, got [1,1]`,
    ],
    [
      "dense blocks without neurons",
      { ...TINY, denseBlocks: blocks([0], { dFf: 0.5 }) },
      `denseBlocks.mlp.dFf must be ${whole(16777216)}, got 0.5`,
    ],
    [
      "a penalty for balance",
      withMlp({ loadBalanceWeight: -1 }),
      "mlp.loadBalanceWeight must be a positive number, got -1",
    ],
  ])("refuses %s in one line", (_, config, message) => {
    expect(() => checkConfig(config)).toThrow(new ConfigError(`config: ${message}`));
  });
});
