import { listed } from "../errors.ts";
import type { RoutingTrace } from "../trace/record.ts";
import { inParts, type Measure, type SimulationOptions, simulate } from "./chance.ts";
import { type Choices, choices } from "./choices.ts";
import { mutualInformation } from "./mutualInformation.ts";
import { oneOf } from "./oneOf.ts";
import { shuffle } from "./random.ts";

/**
 * Which choices of two layers make a pair: the two first choices; those of the same rank, as OLMoE's published code counts
 * (top_k pairs a token); or every choice with every other (top_k² pairs a token).
 */
export type TransitionPairs = "firstChoice" | "sameRank" | "all";

/** How tokens go from the experts of one layer to those of a later one. */
export interface Transition {
  /** The model's layer numbers. */
  from: number;
  to: number;
  /** Pairs counted, row: expert of the earlier layer, column: of the later: [n_experts][n_experts]. */
  joint: Float64Array[];
  /** Of the pairs that leave an expert, the part that reaches each: rows sum to 1, or are NaN where none leaves. */
  conditional: Float64Array[];
  /** Mutual information of the pair, in bits; chance by shuffling one layer's tokens. */
  information: Measure & {
    /** value − chance.mean, in bits. */
    corrected: number;
    /** The part of the later layer's entropy that the earlier explains, not corrected. */
    normalized: number;
  };
}

export interface TransitionsOptions extends SimulationOptions {
  /** The model's layer numbers to step through, rising; all that were traced where absent. */
  layers?: readonly number[];
  pairs?: TransitionPairs;
}

/**
 * Transitions between layers and their mutual information. 100 shuffles unless told otherwise.
 * @formula Σ p(a,b) log2 [p(a,b) / (p(a) p(b))], in bits, over pairs of an earlier and a later choice
 * @chance the later layer's tokens in random order
 * @throws RangeError for layers that were not traced, or ranks of a trace that does not keep their order
 * @see Muennighoff et al. 2024, arXiv:2409.02060, scripts/run_routing_analysis.py, plot_routing_analysis_v2_cross_layer
 * @example transitions(trace).map(({ from, to, information }) => ({ from, to, information }))
 */
export function transitions(
  trace: RoutingTrace,
  { layers = trace.layers, pairs = "firstChoice", ...simulation }: TransitionsOptions = {},
): Transition[] {
  oneOf("transitions", "pairs", pairs, ["firstChoice", "sameRank", "all"]);
  const byLayer = steps("transitions", trace, layers, pairs !== "all");
  const { nExperts, topK } = trace;
  const options = inParts({ draws: 100, ...simulation }, byLayer.length - 1);
  return byLayer.slice(1).map((later, step) => {
    const earlier = byLayer[step]!;
    const order = Int32Array.from(trace.tokenIds, (_, t) => t);
    const count = (): Float64Array[] => jointCounts(earlier.experts, later.experts, order, { nExperts, topK }, pairs);
    const joint = count();
    const { value, normalized } = mutualInformation(joint);
    const chance = simulate(
      "shuffled",
      (uniform) => {
        shuffle(order, uniform);
        return { value: mutualInformation(count()).value };
      },
      options(step),
    ).value;
    return {
      from: earlier.layer,
      to: later.layer,
      joint,
      conditional: joint.map((row) => {
        const leaving = row.reduce((sum, n) => sum + n, 0);
        return row.map((n) => n / leaving);
      }),
      information: { value, chance, corrected: value - chance.mean, normalized },
    };
  });
}

/**
 * The choices of some layers, in the order asked for.
 * @throws RangeError for layers that were not traced
 */
export function steps(where: string, trace: RoutingTrace, layers: readonly number[], byRank: boolean): Choices[] {
  const byLayer = choices(where, trace, ...(byRank ? (["rankOrder"] as const) : []));
  return layers.map((layer, i) => {
    const found = byLayer.find((one) => one.layer === layer);
    if (found === undefined)
      throw new RangeError(`${where}: a layer must be one of ${listed(trace.layers)}, got ${layer}`);
    if (i > 0 && layer <= layers[i - 1]!)
      throw new RangeError(`${where}: layers must rise, got ${layer} after ${layers[i - 1]}`);
    return found;
  });
}

/** @param order which token of the later layer stands beside each of the earlier: [n_tokens] */
function jointCounts(
  earlier: Uint16Array,
  later: Uint16Array,
  order: Int32Array,
  { nExperts, topK }: { nExperts: number; topK: number },
  pairs: TransitionPairs,
): Float64Array[] {
  const joint = Array.from({ length: nExperts }, () => new Float64Array(nExperts));
  const ranks = pairs === "firstChoice" ? 1 : topK;
  for (let t = 0; t < order.length; t++)
    for (let a = 0; a < ranks; a++) {
      const row = joint[earlier[t * topK + a]!]!;
      const other = order[t]! * topK;
      if (pairs === "all") for (let b = 0; b < topK; b++) row[later[other + b]!]! += 1;
      else row[later[other + a]!]! += 1;
    }
  return joint;
}
