import type { RoutingTrace } from "../trace/record.ts";
import { type Measure, type SimulationOptions, simulate } from "./chance.ts";
import { shuffle } from "./random.ts";
import { steps } from "./transitions.ts";

/** The ways of tokens through the layers, a way being the tuple of first choices. */
export interface Trajectories {
  /** The model's layer numbers that a way passes. */
  layers: number[];
  nTokens: number;
  /** Number of different ways. */
  distinct: Measure;
  /** Share of the tokens whose way another token takes too. */
  shared: Measure;
  /** Entropy of the ways, in bits; at most log2 of the number of tokens. */
  entropy: Measure;
  /** What layers know of each other, Σ H(layer) − H(way), in bits (total correlation); biased upwards: compare with chance. */
  totalCorrelation: Measure;
  /** The commonest ways, most tokens first; equal ones in order of first appearance. */
  top: { experts: number[]; tokens: number }[];
}

export interface TrajectoriesOptions extends SimulationOptions {
  /** The model's layer numbers, rising; all that were traced where absent. */
  layers?: readonly number[];
  /** How many of the commonest ways to list. */
  most?: number;
}

/**
 * Trajectories of tokens through first choices. 100 shuffles and the 10 commonest unless told otherwise. NaN without
 * tokens.
 * @formula of ways w, tuples of first choices: their number; tokens whose way is not theirs alone / T; −Σ p(w) log2
 * p(w); Σ_l H(layer l) − H(way)
 * @chance each layer's choices in random order, which keeps its load and forgets which token chose
 * @throws RangeError for layers that were not traced, or a trace that does not keep the rank order
 * @see arXiv:2604.17837 (paths, not experts, carry one meaning)
 * @example trajectories(trace).top[0] // { experts: [3, 3, 11, 0], tokens: 17 }
 */
export function trajectories(
  trace: RoutingTrace,
  { layers = trace.layers, most = 10, draws = 100, ...simulation }: TrajectoriesOptions = {},
): Trajectories {
  const { topK, nExperts, tokenIds } = trace;
  const firsts = steps("trajectories", trace, layers, true).map(({ experts }) =>
    Int32Array.from(tokenIds, (_, t) => experts[t * topK]!),
  );
  const apart = firsts.reduce((bits, first) => bits + entropyOf(countsOf(first)), 0);
  const numbers = numbered(firsts, nExperts);
  const value = measures(numbers, apart);
  const mixed = firsts.map((first) => first.slice());
  const chance = simulate(
    "shuffled",
    (uniform) => {
      for (const first of mixed) shuffle(first, uniform);
      return measures(numbered(mixed, nExperts), apart);
    },
    { draws, ...simulation },
  );
  const ways = [...countsOf(numbers)].sort(([, a], [, b]) => b - a).slice(0, most);
  return {
    layers: [...layers],
    nTokens: tokenIds.length,
    distinct: { value: value.distinct, chance: chance.distinct },
    shared: { value: value.shared, chance: chance.shared },
    entropy: { value: value.entropy, chance: chance.entropy },
    totalCorrelation: { value: value.totalCorrelation, chance: chance.totalCorrelation },
    top: ways.map(([way, tokens]) => {
      const token = numbers.indexOf(way);
      return { experts: firsts.map((first) => first[token]!), tokens };
    }),
  };
}

/** One number for each token, equal where the ways are: built up layer by layer so that it never grows large. */
function numbered(firsts: readonly Int32Array[], nExperts: number): Int32Array {
  const way = new Int32Array(firsts[0]?.length ?? 0);
  for (const first of firsts) {
    const numbers = new Map<number, number>();
    for (let t = 0; t < way.length; t++) {
      const key = way[t]! * nExperts + first[t]!;
      let number = numbers.get(key);
      if (number === undefined) numbers.set(key, (number = numbers.size));
      way[t] = number;
    }
  }
  return way;
}

function measures(
  ways: Int32Array,
  apart: number,
): Record<"distinct" | "shared" | "entropy" | "totalCorrelation", number> {
  const counts = countsOf(ways);
  const entropy = entropyOf(counts);
  let alone = 0;
  for (const tokens of counts.values()) if (tokens === 1) alone += 1;
  return { distinct: counts.size, shared: 1 - alone / ways.length, entropy, totalCorrelation: apart - entropy };
}

function countsOf(values: Int32Array): Map<number, number> {
  const counts = new Map<number, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return counts;
}

function entropyOf(counts: Map<number, number>): number {
  let total = 0;
  for (const n of counts.values()) total += n;
  let bits = total > 0 ? 0 : Number.NaN;
  for (const n of counts.values()) bits -= (n / total) * Math.log2(n / total);
  return bits;
}
