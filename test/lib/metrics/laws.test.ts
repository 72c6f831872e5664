import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { cacheHitRate } from "../../../lib/metrics/cacheHitRate.ts";
import { capacityDrops } from "../../../lib/metrics/capacityDrops.ts";
import { coactivation } from "../../../lib/metrics/coactivation.ts";
import { coverage } from "../../../lib/metrics/coverage.ts";
import { deviceBalance } from "../../../lib/metrics/deviceBalance.ts";
import { domainLabels, positionLabels } from "../../../lib/metrics/labels.ts";
import { loadPerExpert } from "../../../lib/metrics/load.ts";
import { loadByRank } from "../../../lib/metrics/loadByRank.ts";
import { repetition } from "../../../lib/metrics/repetition.ts";
import { routingDivergence } from "../../../lib/metrics/routingDivergence.ts";
import { saturation } from "../../../lib/metrics/saturation.ts";
import { specialization } from "../../../lib/metrics/specialization.ts";
import { trajectories } from "../../../lib/metrics/trajectories.ts";
import { transitions } from "../../../lib/metrics/transitions.ts";
import { vocabulary } from "../../../lib/metrics/vocabulary.ts";
import type { RoutingTrace } from "../../../lib/trace/record.ts";
import { joinTraces } from "../../../lib/trace/sequences.ts";
import { randomTrace } from "./traces.ts";

const [nExperts, topK, nTokens] = [6, 3, 48];
const DRAWS = { draws: 3 };

/** Four texts of two kinds, whose experts lean by kind and by token. */
function someTrace(seed: number): RoutingTrace {
  const trace = randomTrace({ nExperts, topK, nTokens, layers: [0, 2], seed });
  return {
    ...trace,
    tokenIds: Int32Array.from({ length: nTokens }, (_, t) => (t * seed) % 7),
    sequenceOffsets: Int32Array.from([0, 12, 24, 36, 48]),
    domains: ["a", "b", "a", "b"],
  };
}

type Numbers = readonly number[];

/** Numbers that do not name an expert, of every metric of a trace. */
const SCALARS: Readonly<Record<string, (trace: RoutingTrace) => Numbers>> = {
  load: (trace) => [...loadPerExpert(trace).variation, ...loadPerExpert(trace).effective],
  loadByRank: (trace) => loadByRank(trace, DRAWS).flatMap(({ maxVio, gini, jain }) => [maxVio, gini, jain]),
  byDomain: (trace) => specialization(trace, domainLabels(trace), DRAWS).map(({ value }) => value),
  byPosition: (trace) => specialization(trace, positionLabels(trace), DRAWS).map(({ value }) => value),
  divergence: (trace) => routingDivergence(trace, domainLabels(trace), DRAWS).map(({ mean }) => mean.value),
  vocabulary: (trace) => vocabulary(trace, DRAWS).flatMap(({ share }) => [...share]),
  coactivation: (trace) => coactivation(trace).map(({ lift }) => Math.max(...lift.filter((v) => !Number.isNaN(v)))),
  repetition: (trace) => repetition(trace, DRAWS).flatMap((one) => [one.firstChoice!.value, one.jaccard!.value]),
  transitions: (trace) => transitions(trace, DRAWS).map(({ information }) => information.value),
  coverage: (trace) =>
    coverage(trace, { window: 4, ...DRAWS }).flatMap((one) => [one.distinct.value, one.toReach.value]),
  drops: (trace) => capacityDrops(trace, { capacityFactor: 1, ...DRAWS }).map(({ dropped }) => dropped.value),
};

/** Likewise, but what follows depends on where a text stands among others, or counts tokens. */
const OF_ONE: Readonly<Record<string, (trace: RoutingTrace) => Numbers>> = {
  cache: (trace) =>
    (["lru", "lfu", "belady"] as const).flatMap((policy) =>
      cacheHitRate(trace, { capacity: 4, policy, ...DRAWS }).map(({ value }) => value),
    ),
  trajectories: (trace) => {
    const { distinct, shared, entropy } = trajectories(trace, DRAWS);
    return [distinct.value, shared.value, entropy.value];
  },
};

function expectSame(of: Readonly<Record<string, (trace: RoutingTrace) => Numbers>>, a: RoutingTrace, b: RoutingTrace) {
  for (const [name, scalars] of Object.entries(of)) {
    const [before, after] = [scalars(a), scalars(b)];
    expect(after.length, name).toBe(before.length);
    for (const [i, value] of before.entries()) expect(after[i], name).toBeCloseTo(value, 10);
  }
}

const seeds = fc.integer({ min: 1, max: 10_000 });
const order = fc.shuffledSubarray([0, 1, 2, 3, 4, 5], { minLength: nExperts });

describe("every metric", () => {
  test("stays the same where experts are numbered otherwise", () => {
    fc.assert(
      fc.property(seeds, order, (seed, numbers) => {
        const trace = someTrace(seed);
        const renamed = { ...trace, expertIndices: trace.expertIndices.map((e) => numbers[e]!) };
        expectSame({ ...SCALARS, ...OF_ONE }, trace, renamed);
        const [placement, other] = [[0, 0, 1, 1, 2, 2], [] as number[]];
        for (const [e, device] of placement.entries()) other[numbers[e]!] = device;
        const balance = deviceBalance(trace, { placement, ...DRAWS });
        expect(deviceBalance(renamed, { placement: other, ...DRAWS }).vllm.value).toBeCloseTo(balance.vllm.value, 12);
        const final = someTrace(seed + 1);
        final.tokenIds.set(trace.tokenIds);
        const finalRenamed = { ...final, expertIndices: final.expertIndices.map((e) => numbers[e]!) };
        expect(saturation(renamed, finalRenamed, DRAWS).map((one) => one.topK.value)).toEqual(
          saturation(trace, final, DRAWS).map((one) => one.topK.value),
        );
      }),
      { numRuns: 12 },
    );
  });

  test("stays the same where all texts are read twice, if it does not count tokens", () => {
    fc.assert(
      fc.property(seeds, (seed) => {
        const trace = someTrace(seed);
        expectSame(SCALARS, trace, joinTraces([trace, trace]));
      }),
      { numRuns: 12 },
    );
  });

  test("that does not go by rank stays the same where a token's slots change places", () => {
    fc.assert(
      fc.property(seeds, (seed) => {
        const trace = someTrace(seed);
        const turned = trace.expertIndices.map((_, i, all) => all[i - (i % topK) + ((i + 1) % topK)]!);
        const unranked = ["load", "byDomain", "byPosition", "divergence", "vocabulary", "coactivation", "coverage"];
        expectSame(
          {
            ...Object.fromEntries(unranked.map((name) => [name, SCALARS[name]!])),
            overlap: (one) => repetition(one, DRAWS).map(({ meanOverlap }) => meanOverlap!.value),
            all: (one) => transitions(one, { pairs: "all", ...DRAWS }).map(({ information }) => information.value),
          },
          trace,
          { ...trace, expertIndices: turned },
        );
      }),
      { numRuns: 12 },
    );
  });
});
