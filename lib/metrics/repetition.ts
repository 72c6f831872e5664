import type { RoutingTrace } from "../trace/record.ts";
import { type Chance, inParts, meanOfDraws, type SimulationOptions, simulate } from "./chance.ts";
import { choices } from "./choices.ts";
import { oneOf } from "./oneOf.ts";
import { type OverlapMeasure, overlapChance, overlapOf, sharedExperts } from "./overlap.ts";
import { shuffle } from "./random.ts";

export type RepetitionMeasure = "firstChoice" | OverlapMeasure;

const MEASURES: readonly RepetitionMeasure[] = ["firstChoice", "anyOverlap", "meanOverlap", "jaccard"];

/** How often one measure finds the same experts for a token and the next, a part of the pairs. */
export interface Repeated {
  value: number;
  chance: {
    /** Every token draws uniformly: 1/E, 1 − C(E−k,k)/C(E,k), k/E, or the mean Jaccard index, all exact. */
    uniform: Chance;
    /** Tokens draw on their own but as unevenly as the layer does: Σ p² of first choices, Σ (k p)² / k of overlaps; else null. */
    sumOfSquares: number | null;
    /** The trace's own tokens in random order: keeps the load and what goes together, breaks the sequence. */
    shuffled: Chance;
  };
}

/** Consecutive repetition in one layer. */
export type Repetition = { layer: number; nPairs: number } & Partial<Record<RepetitionMeasure, Repeated>>;

export interface RepetitionOptions extends SimulationOptions {
  /** Which measures; all four where absent. `firstChoice` needs the rank order. */
  measures?: readonly RepetitionMeasure[];
}

/**
 * How often a token's experts are those of the token before it, in the same sequence: the same first choice, any expert
 * in common (Mixtral's "first or second choice"), the mean overlap |∩|/k, and the Jaccard index |∩|/|∪|. Any-overlap is
 * high by chance for large k. NaN where no token has a next one. 200 shuffles unless told otherwise.
 * @formula mean over pairs of neighbours of [same first], [∩ ≠ ∅], |∩| / k, |∩| / |∪|
 * @chance uniform routing, exact: 1/E, 1 − C(E−k,k)/C(E,k), k/E, and the hypergeometric mean of m / (2k − m); sum
 * of squares Σ p², Σ (k p)² / k; the layer's tokens in random order
 * @throws RangeError for first choices of a trace that does not keep the rank order
 * @see Jiang et al. 2024, arXiv:2401.04088, section 5 and table 5
 * @example repetition(trace)[0].anyOverlap // { value, chance: { uniform, sumOfSquares, shuffled } }
 */
export function repetition(
  trace: RoutingTrace,
  { measures = MEASURES, ...simulation }: RepetitionOptions = {},
): Repetition[] {
  for (const name of measures) oneOf("repetition", "a measure", name, MEASURES);
  const needs = measures.includes("firstChoice") ? (["rankOrder"] as const) : [];
  const byLayer = choices("repetition", trace, ...needs);
  const { nExperts, topK } = trace;
  const first = firstsOfPairs(trace);
  const options = { draws: 200, ...simulation };
  const uniform = uniformChances(trace, measures, first.length, options);
  const part = inParts(options, byLayer.length);
  return byLayer.map(({ layer, experts }, row) => {
    const order = Int32Array.from(trace.tokenIds, (_, t) => t);
    const value = measured(measures, pairsSharing(experts, topK, first, order), first.length);
    const shuffled = simulate(
      "shuffled",
      (random) => {
        shuffle(order, random);
        return measured(measures, pairsSharing(experts, topK, first, order), first.length);
      },
      part(row),
    );
    const squares = {
      firstChoice: squaredShares(experts, topK, nExperts),
      meanOverlap: topK * squaredShares(experts, 1, nExperts),
    };
    const entries = measures.map((name): [RepetitionMeasure, Repeated] => [
      name,
      {
        value: value[name],
        chance: {
          uniform: uniform[name],
          sumOfSquares: name === "firstChoice" || name === "meanOverlap" ? squares[name] : null,
          shuffled: shuffled[name],
        },
      },
    ]);
    return { layer, nPairs: first.length, ...Object.fromEntries(entries) };
  });
}

/** Tokens that are followed by another, next to it in the same sequence. */
function firstsOfPairs({ tokenIds, sequenceOffsets, positions }: RoutingTrace): Int32Array {
  const starts = new Set(sequenceOffsets);
  const all = Int32Array.from(tokenIds, (_, t) => t);
  return all.filter((t) => !starts.has(t + 1) && (positions === undefined || positions[t + 1] === positions[t]! + 1));
}

interface Sharing {
  /** Pairs that share m experts: [top_k + 1]. */
  sharing: Float64Array;
  sameFirst: number;
}

function pairsSharing(experts: Uint16Array, topK: number, first: Int32Array, order: Int32Array): Sharing {
  const sharing = new Float64Array(topK + 1);
  let sameFirst = 0;
  for (const t of first) {
    const [a, b] = [order[t]! * topK, order[t + 1]! * topK];
    sharing[sharedExperts(experts, a, experts, b, topK)]! += 1;
    if (experts[a] === experts[b]) sameFirst += 1;
  }
  return { sharing, sameFirst };
}

function measured(
  measures: readonly RepetitionMeasure[],
  { sharing, sameFirst }: Sharing,
  nPairs: number,
): Record<RepetitionMeasure, number> {
  const entries = measures.map((name) => [
    name,
    name === "firstChoice" ? sameFirst / nPairs : overlapOf(name, sharing),
  ]);
  return Object.fromEntries(entries) as Record<RepetitionMeasure, number>;
}

function uniformChances(
  { nExperts, topK }: RoutingTrace,
  measures: readonly RepetitionMeasure[],
  nPairs: number,
  options: SimulationOptions,
): Record<RepetitionMeasure, Chance> {
  const entries = measures.map((name) => [
    name,
    name === "firstChoice"
      ? meanOfDraws([0, 1], [1 - 1 / nExperts, 1 / nExperts], nPairs, options)
      : overlapChance(name, { nExperts, topK }, nPairs, options),
  ]);
  return Object.fromEntries(entries) as Record<RepetitionMeasure, Chance>;
}

/** Σ p² over the shares of every step-th choice. */
function squaredShares(experts: Uint16Array, step: number, nExperts: number): number {
  const counts = new Float64Array(nExperts);
  for (let i = 0; i < experts.length; i += step) counts[experts[i]!]! += 1;
  const total = experts.length / step;
  return counts.reduce((sum, n) => sum + (n / total) ** 2, 0);
}
