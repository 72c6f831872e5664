import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { activationRateDifference } from "../../../lib/metrics/activationRateDifference.ts";
import { binomialInterval } from "../../../lib/metrics/binomialInterval.ts";
import { cacheHitRate } from "../../../lib/metrics/cacheHitRate.ts";
import { capacityDrops } from "../../../lib/metrics/capacityDrops.ts";
import type { Chance } from "../../../lib/metrics/chance.ts";
import { coactivation } from "../../../lib/metrics/coactivation.ts";
import { confidence } from "../../../lib/metrics/confidence.ts";
import { countExperts } from "../../../lib/metrics/countExperts.ts";
import { coverage } from "../../../lib/metrics/coverage.ts";
import { deviceBalance } from "../../../lib/metrics/deviceBalance.ts";
import { expertFlow } from "../../../lib/metrics/expertFlow.ts";
import { domainLabels, positionLabels, windowLabels } from "../../../lib/metrics/labels.ts";
import { linearCka } from "../../../lib/metrics/linearCka.ts";
import { loadPerExpert } from "../../../lib/metrics/load.ts";
import { loadByLabel } from "../../../lib/metrics/loadByLabel.ts";
import { loadByRank } from "../../../lib/metrics/loadByRank.ts";
import { loadChance } from "../../../lib/metrics/loadChance.ts";
import { loadShape } from "../../../lib/metrics/loadShape.ts";
import { loadStatistics } from "../../../lib/metrics/loadStatistics.ts";
import { mutualInformation } from "../../../lib/metrics/mutualInformation.ts";
import { repetition } from "../../../lib/metrics/repetition.ts";
import { routingDivergence } from "../../../lib/metrics/routingDivergence.ts";
import { SALIENCIES, saliency } from "../../../lib/metrics/saliency.ts";
import { saturation } from "../../../lib/metrics/saturation.ts";
import { sketch } from "../../../lib/metrics/sketch.ts";
import { specialization } from "../../../lib/metrics/specialization.ts";
import { trajectories } from "../../../lib/metrics/trajectories.ts";
import { transitions } from "../../../lib/metrics/transitions.ts";
import { vocabulary } from "../../../lib/metrics/vocabulary.ts";
import { vocabularyChance } from "../../../lib/metrics/vocabularyChance.ts";
import { weightSimilarity } from "../../../lib/metrics/weightSimilarity.ts";
import type { RoutingTrace } from "../../../lib/trace/record.ts";
import { joinTraces, sequencesOf } from "../../../lib/trace/sequences.ts";
import { traceOf } from "./traces.ts";

type Numbers = Record<string, number>;
/** A simulated value: mean and standard error. */
type Simulated = [number, number];

interface Golden {
  trace: {
    nExperts: number;
    topK: number;
    layers: number[];
    domains: string[];
    placement: number[];
  } & Record<
    "sequenceOffsets" | "tokenIds" | "expertIndices" | "routerProbs" | "final" | "predictedIds" | "weights" | "outputs",
    number[]
  >;
  load: { shapes: Numbers[]; firstChoices: Numbers[]; chance: Record<string, Simulated> };
  specialization: { tokenShare: number[][]; value: number; chance: number }[];
  confidence: Numbers[];
  coactivation: Record<"all" | "adjacentRank", { conditional: number[]; lift: number[] }[]>;
  repetition: {
    layers: { value: Numbers; sumOfSquares: Numbers; shuffled: Record<string, Simulated> }[];
    uniform: Numbers;
  };
  saturation: { topK: number; firstChoice: number; byLoad: [number, number] }[];
  transitions: Record<"firstChoice" | "sameRank" | "all", { joint: number[][]; value: number; shuffled: Simulated }[]>;
  trajectories: { value: Numbers; shuffled: Record<string, Simulated> };
  flow: { nodes: (number | null)[][]; edges: number[][] };
  vocabulary: Record<
    "input" | "next" | "predicted",
    { seen: number[]; shares: number[][]; chance: [number, number, number][] }
  >;
  coverage: { layers: Numbers[]; chance: { distinct: number; toReach: Simulated } };
  cache: Record<"lru" | "lfu" | "belady", { value: number[]; uniform: Simulated; shuffled: Simulated }>;
  drops: Record<"token" | "rank", { dropped: number; byPosition: number[]; bySlot: number[] }[]> & {
    chance: number;
    chanceByPosition: number[];
  };
  balance: { maxOverMean: number[]; sglang: number; vllm: number };
  saliency: Record<string, number[]>;
  similarity: {
    a: number[][];
    b: number[][];
    match: number[];
    aligned: number;
    unaligned: number;
    x: number[][];
    y: number[][];
    cka: number;
    ckaChance: Simulated;
    divergence: number[][];
  };
  moreLoad: {
    byWindow: Numbers[][];
    byRank: Numbers[][];
    binomial: [n: number, p: number, low: number, high: number][];
    rateDifference: number[];
  };
  moreSpecialization: Record<"byPosition" | "weighted" | "divergence", number[]> & { first: number[][] };
  information: { joint: number[][]; corrected: number; normalized: number; bounds: [number, number] }[];
  chances: {
    vllmOverLayers: number;
    balance: Record<"sglang" | "vllm" | "vllmOverLayers", Simulated>;
    reap: Simulated[];
    aligned: Simulated;
  };
}

const golden = JSON.parse(
  readFileSync(new URL("../../golden/metrics/metrics.json", import.meta.url), "utf8"),
) as Golden;
const given = golden.trace;

function recorded(indices: number[]): RoutingTrace {
  const { nExperts, topK, layers, domains, sequenceOffsets, tokenIds, routerProbs } = given;
  return traceOf({
    nExperts,
    topK,
    layers,
    indices,
    domains,
    sequenceOffsets: Int32Array.from(sequenceOffsets),
    tokenIds: Int32Array.from(tokenIds),
    routerProbs: Float32Array.from(routerProbs),
  });
}
const TRACE = recorded(given.expertIndices);

const SHAPES = [
  "maxShare",
  "cv",
  "maxVio",
  "normalizedEntropy",
  "gini",
  "hhi",
  "inverseHhi",
  "effectiveExperts",
  "jain",
];

function expectClose(actual: ArrayLike<number>, expected: ArrayLike<number>, digits = 8): void {
  expect(actual.length).toBe(expected.length);
  for (let i = 0; i < expected.length; i++) expect(actual[i], `[${i}]`).toBeCloseTo(expected[i]!, digits);
}

/** Two simulations of one thing agree within four standard errors of their difference. */
function expectAgree(chance: Chance, [mean, error]: Simulated, draws: number): void {
  const own = (chance.high - chance.low) / 3.9 / Math.sqrt(draws);
  expect(Math.abs(chance.mean - mean)).toBeLessThanOrEqual(4 * Math.hypot(own, error) + 1e-9);
}

describe("NumPy agrees on", () => {
  test("load", () => {
    const { nExperts, topK, layers } = given;
    const counts = countExperts(TRACE);
    for (const [row] of layers.entries()) {
      const shape = loadShape(counts.subarray(row * nExperts, (row + 1) * nExperts));
      expectClose(Object.values(shape), Object.values(golden.load.shapes[row]!));
    }
    for (const [row, first] of loadByRank(TRACE, { draws: 2 })
      .filter(({ rank }) => rank === 0)
      .entries())
      for (const [name, value] of Object.entries(golden.load.firstChoices[row]!))
        expect(first[name as "cv"], name).toBeCloseTo(value, 8);
    const chance = loadChance({ nExperts, topK, nTokens: TRACE.tokenIds.length }, { draws: 4000 });
    for (const [name, value] of Object.entries(golden.load.chance)) expectAgree(chance[name as "cv"], value, 4000);
  });

  test("specialisation by domain, and its mean over all ways to label the texts", () => {
    for (const [row, layer] of specialization(TRACE, domainLabels(TRACE), { draws: 2000 }).entries()) {
      const { tokenShare, value, chance } = golden.specialization[row]!;
      expect(layer.value).toBeCloseTo(value, 8);
      for (const [group, shares] of layer.tokenShare.entries()) expectClose(shares, tokenShare[group]!);
      expectAgree(layer.chance, [chance, 0], 2000);
    }
  });

  test("confidence", () => {
    for (const [row, { mean }] of confidence(TRACE).entries())
      for (const [name, value] of Object.entries(golden.confidence[row]!))
        expect(mean[name as "topMargin"], name).toBeCloseTo(value, 6); // the trace holds float32
  });

  test("co-activation, all pairs and adjacent ranks", () => {
    for (const pairs of ["all", "adjacentRank"] as const)
      for (const [row, layer] of coactivation(TRACE, { pairs }).entries())
        for (const name of ["conditional", "lift"] as const)
          expectClose(
            layer[name].filter((_, at) => at % (given.nExperts + 1) !== 0),
            golden.coactivation[pairs][row]![name],
          );
  });

  test("repetition and its three kinds of chance", () => {
    for (const [row, layer] of repetition(TRACE, { draws: 1000 }).entries()) {
      const expected = golden.repetition.layers[row]!;
      for (const name of ["firstChoice", "anyOverlap", "meanOverlap", "jaccard"] as const) {
        const { value, chance } = layer[name]!;
        expect(value, name).toBeCloseTo(expected.value[name]!, 8);
        expect(chance.uniform.mean, name).toBeCloseTo(golden.repetition.uniform[name]!, 8);
        expectAgree(chance.shuffled, expected.shuffled[name]!, 1000);
        if (chance.sumOfSquares !== null) expect(chance.sumOfSquares).toBeCloseTo(expected.sumOfSquares[name]!, 8);
      }
    }
  });

  test("saturation", () => {
    for (const [row, { topK, firstChoice }] of saturation(TRACE, recorded(given.final), { draws: 2 }).entries()) {
      const expected = golden.saturation[row]!;
      expectClose([topK.value, firstChoice!.value], [expected.topK, expected.firstChoice]);
      expectClose([topK.byLoad, firstChoice!.byLoad], expected.byLoad);
    }
  });

  test("transitions by first choice, by rank and all with all", () => {
    for (const pairs of ["firstChoice", "sameRank", "all"] as const)
      for (const [step, { joint, information }] of transitions(TRACE, { pairs, draws: 400 }).entries()) {
        const expected = golden.transitions[pairs][step]!;
        for (const [from, row] of joint.entries()) expectClose(row, expected.joint[from]!);
        expect(information.value).toBeCloseTo(expected.value, 8);
        expectAgree(information.chance, expected.shuffled, 400);
      }
    expectClose(
      sketch(TRACE).transitions!,
      golden.transitions.firstChoice.flatMap(({ joint }) => joint.flat()),
    );
  });

  test("trajectories", () => {
    const found = trajectories(TRACE, { draws: 1000 });
    for (const [name, value] of Object.entries(golden.trajectories.value)) {
      expect(found[name as "distinct"].value, name).toBeCloseTo(value, 8);
      expectAgree(found[name as "distinct"].chance, golden.trajectories.shuffled[name]!, 1000);
    }
  });

  test("expert flow", () => {
    const { nodes, edges } = expertFlow(TRACE);
    expect(nodes.map(({ layer, expert, tokens }) => [layer, expert, tokens])).toEqual(golden.flow.nodes);
    expect(edges.map(({ source, target, tokens }) => [source, target, tokens])).toEqual(golden.flow.edges);
  });

  test("vocabulary in three groupings, and its chance by times seen", () => {
    for (const grouping of ["input", "next", "predicted"] as const) {
      const { seen, shares, chance } = golden.vocabulary[grouping];
      for (const [row, layer] of vocabulary(TRACE, {
        grouping,
        predictedIds: given.predictedIds,
        draws: 2,
      }).entries()) {
        expectClose(layer.seen, seen);
        expectClose(layer.share, shares[row]!);
      }
      const byTimes = vocabularyChance(seen, TRACE);
      for (const [n, mean, error] of chance) {
        const own = byTimes.get(n)!;
        expect(Math.abs(own.mean - mean)).toBeLessThanOrEqual(4 * Math.hypot(error, own.deviation / 31) + 1e-9);
      }
    }
  });

  test("coverage", () => {
    for (const [row, { distinct, toReach }] of coverage(TRACE, { window: 4, fraction: 0.7 }).entries()) {
      expect(distinct.value).toBeCloseTo(golden.coverage.layers[row]!["distinct"]!, 8);
      expect(toReach.value).toBeCloseTo(golden.coverage.layers[row]!["toReach"]!, 8);
      expect(distinct.chance.mean).toBeCloseTo(golden.coverage.chance.distinct, 8);
      expect(Math.abs(toReach.chance.mean - golden.coverage.chance.toReach[0])).toBeLessThan(0.05);
    }
  });

  test("cache hits of every policy", () => {
    for (const policy of ["lru", "lfu", "belady"] as const) {
      const expected = golden.cache[policy];
      const layers = cacheHitRate(TRACE, { capacity: 4, policy, draws: 200 });
      expectClose(
        layers.map(({ value }) => value),
        expected.value,
      );
      expectAgree(layers[0]!.chance.uniform, expected.uniform, 200);
      expectAgree(layers[0]!.chance.shuffled, expected.shuffled, 200);
    }
  });

  test("drops at a capacity, in both orders, and what is expected", () => {
    for (const order of ["token", "rank"] as const)
      for (const [row, layer] of capacityDrops(TRACE, { capacityFactor: 1.1, order, draws: 2 }).entries()) {
        const { dropped, byPosition, bySlot } = golden.drops[order][row]!;
        expect(layer.dropped.value).toBeCloseTo(dropped, 8);
        expectClose(layer.byPosition, byPosition);
        expectClose(layer.bySlot, bySlot);
        expect(layer.dropped.chance.mean).toBeCloseTo(golden.drops.chance, 8);
        if (order === "token") expectClose(layer.chanceByPosition!, golden.drops.chanceByPosition);
      }
  });

  test("balance of devices", () => {
    const { layers, sglang, vllm } = deviceBalance(TRACE, { placement: given.placement, draws: 2 });
    expectClose(
      layers.map(({ maxOverMean }) => maxOverMean.value),
      golden.balance.maxOverMean,
    );
    expectClose([sglang.value, vllm.value], [golden.balance.sglang, golden.balance.vllm]);
  });

  test("saliency", () => {
    const { nExperts, topK, layers, weights, outputs } = given;
    const indices = given.expertIndices.filter((_, i) => Math.floor(i / topK) % layers.length === 2);
    const found = saliency({ nExperts, topK, indices, weights, outputs }, { draws: 2 });
    for (const name of SALIENCIES) expectClose(found[name], golden.saliency[name]!, 6); // ten digits of up to 162
  });

  test("similarity of experts", () => {
    const { a, b, match, aligned, unaligned, x, y, cka, ckaChance, divergence } = golden.similarity;
    const [first, second] = [a, b].map((neurons) => Float32Array.from(neurons.flat()));
    const weights = weightSimilarity(first!, second!, { dFf: a.length });
    expectClose(weights.match, match);
    expectClose([weights.aligned, weights.unaligned], [aligned, unaligned], 6); // weights are float32
    const outputs = linearCka(x.flat(), y.flat(), { nTokens: x.length });
    expect(outputs.value).toBeCloseTo(cka, 8);
    expect(Math.abs(outputs.chance.mean - ckaChance[0])).toBeLessThan(4 * ckaChance[1]);
    for (const [row, { bits }] of routingDivergence(TRACE, domainLabels(TRACE), { draws: 2 }).entries()) {
      const { nExperts } = given;
      const below = bits.filter((_, at) => at % nExperts < Math.floor(at / nExperts));
      expectClose(below, divergence[row]!, 7);
    }
  });

  test("load by windows and by rank, and the bounds of a binomial", () => {
    const { byWindow, byRank, binomial } = golden.moreLoad;
    const shapesOf = (load: object): number[] => SHAPES.map((name) => (load as Numbers)[name]!);
    for (const [i, load] of loadByLabel(TRACE, windowLabels(TRACE, 30), { draws: 2 }).entries())
      expectClose(shapesOf(load), shapesOf(byWindow.flat()[i]!));
    for (const [i, load] of loadByRank(TRACE, { draws: 2 }).entries())
      expectClose(shapesOf(load), shapesOf(byRank.flat()[i]!));
    for (const [n, p, low, high] of binomial) expect(binomialInterval(n, p)).toEqual({ low, high });
    const { counts, share, variation, effective } = loadPerExpert(TRACE);
    expect(counts).toEqual(countExperts(TRACE));
    expectClose(share.subarray(0, given.nExperts), [...loadStatistics(counts.subarray(0, given.nExperts)).share]);
    const shapes = golden.load.shapes.map(({ cv, effectiveExperts }) => [cv!, effectiveExperts!]);
    expectClose(Array.from(variation, (cv, row) => [cv, effective[row]!]).flat(), shapes.flat());
  });

  test("the difference of activation rates between two kinds of text", () => {
    const domains = domainLabels(TRACE);
    const of = (name: string): RoutingTrace => {
      const sequences = given.domains.flatMap((domain, s) => (domain === name ? [sequencesOf(TRACE, s, s + 1)] : []));
      return joinTraces(sequences);
    };
    const [first, second] = domains.names.map(of);
    expectClose(activationRateDifference(first!, second!, given.layers[1]!), golden.moreLoad.rateDifference);
  });

  test("specialisation by position and with weights, first choices by vocabulary, and divergence by chance", () => {
    const { byPosition, weighted, divergence, first } = golden.moreSpecialization;
    const values = (found: { value: number }[]): number[] => found.map(({ value }) => value);
    expectClose(values(specialization(TRACE, positionLabels(TRACE), { draws: 2 })), byPosition);
    expectClose(values(specialization(TRACE, domainLabels(TRACE), { draws: 2, weights: [3, 1] })), weighted);
    for (const [row, layer] of vocabulary(TRACE, { choice: "first", draws: 2 }).entries())
      expectClose(layer.share, first[row]!);
    for (const [row, { mean }] of routingDivergence(TRACE, domainLabels(TRACE), { draws: 1000 }).entries())
      expectAgree(mean.chance, [divergence[row]!, 0], 1000);
  });

  test("mutual information, corrected and normalised, and the bounds of its chance", () => {
    for (const { joint, corrected, normalized, bounds } of golden.information) {
      const found = mutualInformation(joint);
      expectClose([found.corrected, found.normalized], [corrected, normalized]);
      for (const [i, bound] of [found.chance.low, found.chance.high].entries())
        expect(Math.abs(bound / bounds[i]! - 1)).toBeLessThan(0.02); // quantiles of two million draws
    }
  });

  test("chance of device balance, of saliency and of aligned weights", () => {
    const { balance, reap, aligned, vllmOverLayers } = golden.chances;
    const devices = deviceBalance(TRACE, { placement: given.placement, draws: 1000 });
    for (const name of ["sglang", "vllm", "vllmOverLayers"] as const)
      expectAgree(devices[name].chance, balance[name], 1000);
    expect(devices.vllmOverLayers.value).toBeCloseTo(vllmOverLayers, 8);

    const { nExperts, topK, layers, weights, outputs } = given;
    const indices = given.expertIndices.filter((_, i) => Math.floor(i / topK) % layers.length === 2);
    const { chance } = saliency({ nExperts, topK, indices, weights, outputs }, { draws: 1000 });
    for (const [e, expected] of reap.entries()) expectAgree(chance.reap[e]!, expected, 1000);

    const [first, second] = [golden.similarity.a, golden.similarity.b].map((rows) => Float32Array.from(rows.flat()));
    const similar = weightSimilarity(first!, second!, { dFf: golden.similarity.a.length, draws: 500 });
    expectAgree(similar.chance, aligned, 500);
  });
});
