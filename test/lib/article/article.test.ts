import { describe, expect, test } from "vitest";
import { benchmarkScores } from "../../../lib/article/benchmarkScores.ts";
import { compareSpeeds } from "../../../lib/article/compareSpeeds.ts";
import { DBRX, DENSE_132B, GROK_1, LLAMA2_70B, MIXTRAL_8X7B } from "../../../lib/article/models.ts";
import { decodePass, flopsPerToken, kvCacheBytes, passCosts, prefillPass } from "../../../lib/article/passCosts.ts";
import {
  CLOSED_MODELS,
  LONG_CONTEXT,
  MT_BENCH,
  OPEN_MODELS,
  PUBLISHED_TOTALS,
  RETRIEVAL,
  TRAINING_EFFICIENCY,
} from "../../../lib/article/published.ts";
import { H100_NODE, type ServingNode, servingSpeed, usersAtLatency } from "../../../lib/article/serving.ts";
import { trainingFlops } from "../../../lib/article/trainingFlops.ts";
import { weightParts } from "../../../lib/article/weightParts.ts";
import { checkConfig, type ModelConfig, type MoeConfig } from "../../../lib/config.ts";
import { expectedDistinctExperts } from "../../../lib/metrics/distinctExperts.ts";
import { parameterCounts } from "../../../lib/params.ts";

test("n tokens need 4, 7, 10.9 and 14.4 of DBRX's 16 experts", () => {
  // 16 (1 − (3/4)^n) for 1, 2, 4 and 8 tokens.
  const found = [1, 2, 4, 8].map((n) => expectedDistinctExperts(16, 4, n));
  expect(found).toEqual([4, 7, 10.9375, 16 - (16 * 3 ** 8) / 4 ** 8]);
});

// Published totals: the byte count of DBRX's checkpoint, and exact arithmetic from the published shapes.
test.each<[string, ModelConfig, number, number]>([
  ["DBRX", DBRX, 131_596_523_520, 36_469_708_800],
  ["Mixtral 8x7B", MIXTRAL_8X7B, 46_702_792_704, 12_879_925_248],
  ["LLaMA2-70B", LLAMA2_70B, 68_976_648_192, 68_976_648_192],
  ["Dense-132B", DENSE_132B, 131_596_523_520 - 40 * 16 * 6144, 131_596_523_520 - 40 * 16 * 6144],
])("%s has its published number of parameters, and they are where they are", (_, config, total, active) => {
  checkConfig(config);
  expect(parameterCounts(config)).toEqual({ total, active });
  expect(Object.values(weightParts(config)).reduce((a, b) => a + b)).toBe(total);
});

test("Grok-1 has 315.7 B parameters, 83.8 B active, and DBRX is about 40 % of it in both", () => {
  const [grok, dbrx] = [parameterCounts(GROK_1), parameterCounts(DBRX)];
  expect([grok.total / 1e9, grok.active / 1e9].map((n) => n.toFixed(3))).toEqual(["315.685", "83.757"]);
  expect(dbrx.total / grok.total).toBeCloseTo(0.42, 2);
  expect(dbrx.active / grok.active).toBeCloseTo(0.44, 2);
});

describe("passCosts", () => {
  const expert = 3 * 6144 * 10752;
  const attention = 88_080_384;

  test("of one more token of DBRX, by hand", () => {
    const { shared, experts, attention: heads, distinctExperts } = passCosts(DBRX, decodePass(1, 2000));
    expect(distinctExperts).toBe(4);
    expect(experts).toEqual({ flops: 2 * 40 * 4 * expert, bytes: 2 * 40 * 4 * expert });
    const everyToken = 40 * (attention + 16 * 6144) + 100352 * 6144;
    expect(shared.flops).toBe(2 * everyToken);
    expect(shared.bytes).toBe(2 * (everyToken + 81 * 6144 + 6144));
    // Scores and values: 2 products of 48 heads of 128 with 2000 positions in 40 layers.
    expect(heads.flops).toBe(2 * 2 * 40 * 48 * 128 * 2000);
    expect(heads.bytes).toBe(2001 * 163_840);
  });

  test("sixteen users' tokens read all experts but what chance leaves out, and compute sixteen times as much", () => {
    const { experts, distinctExperts } = passCosts(DBRX, decodePass(16, 2000));
    expect(distinctExperts).toBeCloseTo(16 * (1 - 0.75 ** 16), 12);
    expect(experts.flops).toBe(16 * 2 * 40 * 4 * expert);
    expect(experts.bytes).toBeCloseTo(2 * 40 * expert * distinctExperts, -3);
  });

  test("a prompt's attention is a token on itself and each one before it, and one token is unembedded", () => {
    const { attention: heads, shared } = passCosts(LLAMA2_70B, prefillPass(5));
    expect(heads.flops).toBe(4 * 80 * 64 * 128 * (1 + 2 + 3 + 4 + 5));
    const parts = weightParts(LLAMA2_70B);
    expect(shared.flops).toBe(2 * (5 * (parts.attention + parts.dense) + 32000 * 8192));
  });

  test("keys and values take 160 KiB a token in DBRX, 128 in Mixtral, 320 in LLaMA2-70B", () => {
    expect([DBRX, MIXTRAL_8X7B, LLAMA2_70B].map((config) => kvCacheBytes(config, 1) / 1024)).toEqual([160, 128, 320]);
  });

  test("latent attention keeps one vector a layer: 70,272 bytes a token in DeepSeek-V3", () => {
    const latent = { qRank: 1536, kvRank: 512, dRope: 64, dValue: 128, interleaved: true };
    expect(kvCacheBytes({ ...DBRX, nLayers: 61, latent }, 1)).toBe(61 * (512 + 64) * 2);
  });

  test("the parts sum to the total also with biases, learned positions and shared experts", () => {
    const mlp = { ...(DBRX.mlp as MoeConfig), bias: true, dShared: 5 };
    for (const part of [{ mlp }, { learnedPositions: true, normBias: true, attentionBias: true }]) {
      const config: ModelConfig = { ...DBRX, nCtx: 8, ...part };
      const parts = weightParts(config);
      expect(Object.values(parts).reduce((a, b) => a + b)).toBe(parameterCounts(config).total);
      expect(parts.dense).toBe("mlp" in part ? 40 * 3 * 6144 * 5 : 0);
    }
  });

  test("a token costs about twice the active parameters, without the embedding that is only looked up", () => {
    const { active } = parameterCounts(DBRX);
    expect(flopsPerToken(DBRX, 0)).toBe(2 * (active - 100352 * 6144 - 81 * 6144));
    expect(trainingFlops(1e9, 2e9)).toBe(1.2e19);
  });
});

describe("servingSpeed", () => {
  // Nothing but memory takes time: 1 GB a second on each of two.
  const slow: ServingNode = { ...H100_NODE, accelerators: 2, flops: Infinity, link: Infinity, bandwidth: 1e9 };

  test("is bytes over bandwidth where only memory counts", () => {
    const { shared, experts, attention } = passCosts(DBRX, decodePass(1, 2128));
    const found = servingSpeed(DBRX, 1, { prompt: 2000, output: 256 }, slow);
    expect(found.decode).toBeCloseTo((shared.bytes + experts.bytes + attention.bytes) / 2e9, 6);
    expect(found.perUser).toBeCloseTo(256 / (found.prefill + 256 * found.decode), 12);
    expect(found.bound).toBe("memory");
  });

  test("is FLOPs over peak, or traffic over links, where only they count", () => {
    const busy = servingSpeed(DBRX, 1, undefined, { ...slow, bandwidth: Infinity, flops: 1e12 });
    expect(busy.decode).toBeCloseTo(flopsPerToken(DBRX, 2128) / 2e12, 9);
    expect(busy.bound).toBe("compute");
    const apart = servingSpeed(DBRX, 3, undefined, { ...slow, bandwidth: Infinity, link: 1e6 });
    // Two sums a layer, of 3 · 6144 numbers of 2 bytes; in a ring of two each sends all of it once.
    expect(apart.decode).toBeCloseTo((40 * 2 * 3 * 6144 * 2) / 1e6, 9);
    expect(apart.bound).toBe("link");
  });

  test("falls for each user and rises for all as users come, and a latency finds its users again", () => {
    const speeds = [1, 2, 4, 8, 16, 32, 64, 128, 256].map((users) => servingSpeed(MIXTRAL_8X7B, users));
    for (const [i, speed] of speeds.slice(1).entries()) {
      expect(speed.perUser).toBeLessThan(speeds[i]!.perUser);
      expect(speed.total).toBeGreaterThan(speeds[i]!.total);
    }
    const users = usersAtLatency(DBRX, 0.1);
    expect(servingSpeed(DBRX, users).perUser).toBeCloseTo(10, 9);
    expect(usersAtLatency(DBRX, 1e-6)).toBeNaN();
    expect(() => servingSpeed(DBRX, 0)).toThrow("servingSpeed: users must be a positive number, got 0");
  });

  test("fits as long as weights and caches are within 640 GB", () => {
    // 263.2 GB of weights leave room for 376.8e9 / (2256 · 163840) = 1019.4 users.
    expect([1019, 1020].map((users) => servingSpeed(DBRX, users).fits)).toEqual([true, false]);
  });
});

describe("against what was published", () => {
  test("each ratio has its error, and those of many users are within a sixth", () => {
    const found = compareSpeeds();
    for (const { low, high, predicted, error } of found) {
      expect(error.high).toBeCloseTo(predicted.high / high - 1, 12);
      expect(error.low === null).toBe(low === null);
    }
    const many = found.filter(({ users }) => users === 200 || users === "batch");
    expect(many.length).toBe(4);
    for (const { error } of many) expect(Math.abs(error.high)).toBeLessThan(1 / 6);
  });

  test("where one user waits, the roofline promises more than the article measured", () => {
    const few = compareSpeeds().filter(({ users }) => users === 1 || users === "few");
    expect(few.every(({ error }) => error.high > 0.1)).toBe(true);
  });

  test("at 100 ms a token the ratios of all users' tokens a second are within a tenth of the chart's", () => {
    const at = (config: ModelConfig): number => servingSpeed(config, usersAtLatency(config, 0.1)).total;
    const published = PUBLISHED_TOTALS;
    expect(at(DBRX) / at(LLAMA2_70B) / (published.DBRX / published["LLaMA2-70B"])).toBeCloseTo(1, 1);
    expect(at(DBRX) / at(DENSE_132B) / (published.DBRX / published["Dense-132B"])).toBeCloseTo(1, 0.8);
  });

  test("a score carries Wilson's interval of as many questions, and what was done otherwise", () => {
    const table = {
      ...OPEN_MODELS,
      rows: [{ ...OPEN_MODELS.rows[6]!, questions: 100, values: [50, null, 90, null, null, 62.9, null] }],
    };
    const { dots } = benchmarkScores(table).rows[0]!;
    // (0.5 ± 1.96 √(0.25/100 + 1.96²/40000) + 1.96²/200) / (1 + 1.96²/100), and 0.9 alike: published worked values.
    expect([dots[0]!.low, dots[0]!.high].map((x) => x!.toFixed(1))).toEqual(["40.4", "59.6"]);
    expect([dots[2]!.low, dots[2]!.high].map((x) => x!.toFixed(1))).toEqual(["82.6", "94.5"]);
    expect(dots[1]).toBeNull();
    expect(dots[5]!.otherwise).toBe("8-shot");
    expect(benchmarkScores(OPEN_MODELS).rows[0]!.dots[0]).toEqual({ value: 74.5 });
    expect(benchmarkScores(MT_BENCH).rows[0]!.dots[5]).toEqual({ value: 9.03, low: 9.03 - 0.06, high: 9.03 + 0.06 });
  });

  test("the tables have a value or a gap for each model, in percent, and mark known models only", () => {
    for (const { models, rows } of [OPEN_MODELS, CLOSED_MODELS, MT_BENCH, LONG_CONTEXT, RETRIEVAL])
      for (const { values, otherwise = {} } of rows) {
        expect(values.length).toBe(models.length);
        for (const value of values) expect(value === null || (value > 0 && value < 100)).toBe(true);
        expect(models).toEqual(expect.arrayContaining(Object.keys(otherwise)));
      }
    // LLaMA2-13B read 2 T tokens: 1.7 times the FLOPs of MoE-B are 6 · 13e9 · 2e12, so MoE-B read 2.3 T.
    const [moeB, llama] = TRAINING_EFFICIENCY[1]!;
    expect(
      trainingFlops(llama!.active * 1e9, 2e12) / llama!.flops / trainingFlops(moeB!.active * 1e9, 1e12),
    ).toBeCloseTo(2.3, 1);
  });
});
