import { cacheHitRate } from "../metrics/cacheHitRate.ts";
import { capacityDrops } from "../metrics/capacityDrops.ts";
import type { SimulationOptions } from "../metrics/chance.ts";
import { coactivation } from "../metrics/coactivation.ts";
import { type ConfidenceMeasure, confidence } from "../metrics/confidence.ts";
import { coverage } from "../metrics/coverage.ts";
import { deviceBalance } from "../metrics/deviceBalance.ts";
import { expertFlow } from "../metrics/expertFlow.ts";
import {
  domainLabels,
  type Labels,
  phaseLabels,
  positionLabels,
  tokenClassLabels,
  windowLabels,
} from "../metrics/labels.ts";
import { loadByRank } from "../metrics/loadByRank.ts";
import { type RepetitionMeasure, repetition } from "../metrics/repetition.ts";
import { routingDivergence } from "../metrics/routingDivergence.ts";
import type { Sketch } from "../metrics/sketch.ts";
import { type Specialization, specialization } from "../metrics/specialization.ts";
import { trajectories } from "../metrics/trajectories.ts";
import { transitions } from "../metrics/transitions.ts";
import { vocabulary } from "../metrics/vocabulary.ts";
import type { ExpertCounts } from "../trace/counts.ts";
import type { RoutingTrace } from "../trace/record.ts";
import { LOAD_COLUMNS, layerLoads, loadRow } from "./metricsLoad.ts";
import { besideChance, figure, measureCell } from "./table.ts";

/** What a file gives: all of the trace, or what is left of it. */
export interface Source {
  counts: ExpertCounts;
  /** null for a file that holds only counts. */
  sketch: Sketch | null;
  /** null as well where nobody asked for more than a sketch. */
  trace: RoutingTrace | null;
}

/** One metric on the command line. */
export interface Section {
  name: string;
  /** What the table shows. */
  title: string;
  /** The least of a source that will do. */
  from: keyof Source;
  /** @throws RangeError where the trace lacks something */
  of(source: Source, options: SimulationOptions): { result: unknown; head: string[]; rows: string[][] };
}

/** A section whose numbers need the whole trace; `row` makes a line of each result. */
function ofTrace<R>(
  name: string,
  title: string,
  head: string[],
  measure: (trace: RoutingTrace, options: SimulationOptions) => R[],
  row: (result: R) => string[],
): Section {
  return {
    name,
    title,
    from: "trace",
    of({ trace }, options) {
      const result = measure(trace!, options);
      return { result, head, rows: result.map(row) };
    },
  };
}

function bySpecialization(name: string, title: string, labels: (trace: RoutingTrace) => Labels): Section {
  return ofTrace<Specialization>(
    name,
    title,
    ["layer", "groups", "bits", "corrected", "95 % interval", "at most"],
    (trace, options) => specialization(trace, labels(trace), options),
    (found) => [
      `${found.layer}`,
      `${found.groups.length}`,
      measureCell(found),
      figure(found.corrected),
      `${figure(found.interval.low)} to ${figure(found.interval.high)}`,
      figure(found.most),
    ],
  );
}

const MEASURES: readonly ConfidenceMeasure[] = ["routerEntropy", "topMargin", "boundaryMargin", "topKMass"];

/** Tokens in a window of `coverage`, a usual length of speculative decoding. */
const WINDOW = 8;
const CAPACITY_FACTOR = 1.25;
const DEVICES = 4;

/** The largest number beside the diagonal of a square, and where it is. */
function strongest(square: Float64Array, nExperts: number): { at: string; value: number } {
  let best = -1;
  for (let i = 0; i < square.length; i++)
    if (!Number.isNaN(square[i]) && (best < 0 || square[i]! > square[best]!)) best = i;
  if (best < 0) return { at: "none", value: Number.NaN };
  return { at: `${Math.floor(best / nExperts)} with ${best % nExperts}`, value: square[best]! };
}

function pairs(name: string, title: string, kind: "all" | "adjacentRank"): Section {
  return {
    name,
    title,
    from: "sketch",
    of({ sketch }) {
      const result = coactivation(sketch!, { pairs: kind });
      const rows = result.map(({ layer, conditional, lift, chance }) => {
        const [together, lifted] = [strongest(conditional, sketch!.nExperts), strongest(lift, sketch!.nExperts)];
        return [
          `${layer}`,
          together.at,
          besideChance(together.value, chance.conditional),
          lifted.at,
          besideChance(lifted.value, chance.lift),
        ];
      });
      return { result, head: ["layer", "oftenest pair", "N_ij / N_i", "largest lift", "lift"], rows };
    },
  };
}

/** Labels that a trace has, those that say most first. */
function anyLabels(trace: RoutingTrace): Labels {
  if (trace.pieces !== null) return tokenClassLabels(trace);
  return trace.domains === undefined ? positionLabels(trace) : domainLabels(trace);
}

/** All that can be asked of one trace, in the order of the reference. */
export const SECTIONS: readonly Section[] = [
  {
    name: "load",
    title: "Load: how evenly experts are used",
    from: "counts",
    of({ counts }, options) {
      const result = layerLoads(counts, options);
      return { result, head: ["layer", ...LOAD_COLUMNS.map(([, title]) => title)], rows: result.map(loadRow) };
    },
  },
  ofTrace(
    "loadByRank",
    "Load by rank of the choice, 0 the first",
    ["layer", "rank", ...LOAD_COLUMNS.map(([, title]) => title)],
    loadByRank,
    (load) => [`${load.layer}`, `${load.rank}`, ...loadRow(load).slice(1)],
  ),
  ofTrace(
    "confidence",
    "Confidence of the router, mean over tokens; in brackets what a router that knows nothing has",
    ["layer", "entropy, nats", "top margin", "boundary margin", "top-k mass"],
    confidence,
    ({ layer, mean, indifferent }) => [
      `${layer}`,
      ...MEASURES.map((name) => `${figure(mean[name])} (${figure(indifferent[name])})`),
    ],
  ),
  bySpecialization("domains", "Specialization by domain", domainLabels),
  bySpecialization("positions", "Specialization by position in the sequence", positionLabels),
  bySpecialization("tokenClasses", "Specialization by class of token", tokenClassLabels),
  bySpecialization("phases", "Specialization by phase, prefill or decode", phaseLabels),
  bySpecialization("drift", "Drift over eight windows of the trace", (trace) => {
    const labels = windowLabels(trace, Math.max(1, Math.floor(trace.tokenIds.length / 8)));
    return { ...labels, names: labels.names.slice(0, 8), of: labels.of.map((label) => Math.min(label, 7)) };
  }),
  ...(["input", "next"] as const).map((grouping) =>
    ofTrace(
      grouping === "input" ? "vocabulary" : "nextVocabulary",
      `Vocabulary specialization by the ${grouping === "input" ? "token itself" : "true next token"}, mean over ids`,
      ["layer", "ids", "share of the commonest expert", "layer's own load", "corrected"],
      (trace, options) => vocabulary(trace, { grouping, ...options }),
      ({ layer, ids, mean }) => [
        `${layer}`,
        `${ids.length}`,
        besideChance(mean.value, mean.chance.uniform),
        figure(mean.chance.shuffled.mean),
        figure(mean.corrected),
      ],
    ),
  ),
  ofTrace(
    "routingDivergence",
    "Divergence of experts by what they serve (class of token, else domain, else position), bits",
    ["layer", "mean over pairs"],
    (trace, options) => routingDivergence(trace, anyLabels(trace), options),
    ({ layer, mean }) => [`${layer}`, measureCell(mean)],
  ),
  pairs("coactivation", "Co-activation, all pairs of a token's experts", "all"),
  pairs("adjacentCoactivation", "Co-activation, adjacent ranks only", "adjacentRank"),
  ofTrace(
    "repetition",
    "Repetition from token to token; in brackets the same tokens in random order, then uniform routing",
    ["layer", "first choice", "any overlap", "mean overlap", "Jaccard"],
    (trace, options) =>
      repetition(trace, {
        ...options,
        ...(!trace.rankOrdered && { measures: ["anyOverlap", "meanOverlap", "jaccard"] }),
      }),
    (found) => [
      `${found.layer}`,
      ...(["firstChoice", "anyOverlap", "meanOverlap", "jaccard"] as const).map((name: RepetitionMeasure) => {
        const one = found[name];
        if (one === undefined) return "rank unknown";
        return `${besideChance(one.value, one.chance.shuffled)}, ${figure(one.chance.uniform.mean)}`;
      }),
    ],
  ),
  ofTrace(
    "transitions",
    "What a layer's choice tells of the next layer's: first choices, or all with all where ranks are unknown",
    ["layers", "bits", "corrected", "part of the entropy"],
    (trace, options) => transitions(trace, { ...options, pairs: trace.rankOrdered ? "firstChoice" : "all" }),
    ({ from, to, information }) => [
      `${from} to ${to}`,
      measureCell(information),
      figure(information.corrected),
      figure(information.normalized),
    ],
  ),
  ofTrace(
    "trajectories",
    "Trajectories of first choices through all layers",
    ["different ways", "shared by tokens", "entropy, bits", "total correlation, bits", "commonest"],
    (trace, options) => [trajectories(trace, options)],
    ({ distinct, shared, entropy, totalCorrelation, top }) => [
      ...[distinct, shared, entropy, totalCorrelation].map(measureCell),
      `${top[0]?.experts.join(" ") ?? "none"} (${top[0]?.tokens ?? 0} tokens)`,
    ],
  ),
  {
    name: "expertFlow",
    title: "Expert flow: the edges furthest above what independent layers would have",
    from: "trace",
    of({ trace }) {
      const result = expertFlow(trace!);
      const nameOf = (node: number): string => `${result.nodes[node]!.layer}:${result.nodes[node]!.expert ?? "others"}`;
      const above = result.edges.toSorted((a, b) => b.tokens - b.expected - (a.tokens - a.expected)).slice(0, 5);
      const rows = above.map(({ source, target, tokens, expected }) => [
        `${nameOf(source)} to ${nameOf(target)}`,
        `${tokens}`,
        figure(expected),
      ]);
      return { result, head: ["layer:expert", "tokens", "expected"], rows };
    },
  },
  ofTrace(
    "coverage",
    `Coverage: experts that ${WINDOW} tokens in a row need`,
    ["layer", "different ones", "to reach 90 %"],
    (trace, options) => coverage(trace, { window: WINDOW, ...options }),
    ({ layer, distinct, toReach }) => [`${layer}`, measureCell(distinct), measureCell(toReach)],
  ),
  ofTrace(
    "cacheHitRate",
    "Hit rate of a cache of twice the chosen experts; in brackets the same tokens in random order",
    ["layer", "least recently used", "least frequently used", "Belady, the best there is"],
    (trace, options) => {
      const capacity = Math.min(2 * trace.topK, trace.nExperts);
      const [lru, lfu, belady] = (["lru", "lfu", "belady"] as const).map((policy) =>
        cacheHitRate(trace, { ...options, draws: Math.min(options.draws ?? 20, 20), capacity, policy }),
      );
      return lru!.map((one, row) => ({ layer: one.layer, lru: one, lfu: lfu![row]!, belady: belady![row]! }));
    },
    ({ layer, ...policies }) => [
      `${layer}`,
      ...Object.values(policies).map(({ value, chance }) => besideChance(value, chance.shuffled)),
    ],
  ),
  ofTrace(
    "capacityDrops",
    `Assignments that a capacity factor of ${CAPACITY_FACTOR} would drop`,
    ["layer", "dropped", "in the last position"],
    (trace, options) => capacityDrops(trace, { capacityFactor: CAPACITY_FACTOR, ...options }),
    ({ layer, dropped, byPosition }) => [`${layer}`, measureCell(dropped), figure(byPosition.at(-1) ?? Number.NaN)],
  ),
  {
    name: "deviceBalance",
    title: `Balance of ${DEVICES} devices that share the experts in order`,
    from: "counts",
    of({ counts }, options) {
      const { nExperts, topK, layers } = counts;
      const sums = layers.map((_, row) =>
        counts.counts.subarray(row * nExperts, (row + 1) * nExperts).reduce((sum, n) => sum + n, 0),
      );
      if (topK === null || sums.some((sum) => sum !== sums[0]))
        throw new RangeError("deviceBalance: the experts per token must be known, and all layers have as many tokens");
      const placement = Array.from({ length: nExperts }, (_, e) => Math.floor((e * DEVICES) / nExperts));
      const result = deviceBalance(
        { nExperts, topK, layers, nTokens: sums[0]! / topK, counts: counts.counts },
        { placement, ...options },
      );
      const rows = result.layers.map(({ layer, maxOverMean }) => [`${layer}`, measureCell(maxOverMean)]);
      rows.push(["all, SGLang's", measureCell(result.sglang)], ["all, vLLM's", measureCell(result.vllm)]);
      return { result, head: ["layer", "fullest over mean"], rows };
    },
  },
];

/** What no single trace can give, and what it takes. */
export const ELSEWHERE: Readonly<Record<string, string>> = {
  saturation: "needs a second trace of the same tokens, from the last checkpoint",
  activationRateDifference: "needs a second trace, of another kind of text",
  saliency: "needs the experts' outputs (hook_expert_out)",
  linearCka: "needs two experts' outputs on the same tokens",
  weightSimilarity: "needs the experts' weights",
  "vocabulary by predicted token": "needs the model's predictions, which a trace does not hold",
};
