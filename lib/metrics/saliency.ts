import { ShapeError } from "../errors.ts";
import { type Chance, type SimulationOptions, simulate } from "./chance.ts";
import { checkChoices } from "./choices.ts";
import { shuffle } from "./random.ts";

/** The routed outputs of one layer, from a capture of `hook_expert_indices`, `hook_expert_weights` and `hook_expert_out`. */
export interface ExpertOutputs {
  nExperts: number;
  topK: number;
  /** Chosen experts: [n_tokens, top_k]. */
  indices: ArrayLike<number>;
  /** Their weights: [n_tokens, top_k]. As applied, or the router's probabilities: REAP's code has had both. */
  weights: ArrayLike<number>;
  /** Their outputs before weighting: [n_tokens, top_k, d_model]. */
  outputs: ArrayLike<number>;
}

export const SALIENCIES = [
  "frequency",
  "weightedFrequency",
  "eanSum",
  "eanMean",
  "weightedEan",
  "reap",
  "maxActivation",
] as const;
export type SaliencyName = (typeof SALIENCIES)[number];

/** One number for each expert: [n_experts]; an expert without tokens has NaN in means and maxima, and 0 in sums. */
export interface Saliency extends Record<SaliencyName, Float64Array> {
  /** |A_e|, tokens that use the expert. */
  frequency: Float64Array;
  /** Σ g over its tokens. */
  weightedFrequency: Float64Array;
  /** Σ ‖f‖₂: expert activation norm. */
  eanSum: Float64Array;
  /** Mean of ‖f‖₂ over its tokens. */
  eanMean: Float64Array;
  /** Σ g ‖f‖₂. */
  weightedEan: Float64Array;
  /** Mean of g ‖f‖₂ over its tokens: router-weighted expert activation pruning. */
  reap: Float64Array;
  /** Largest |component| of an output; super experts stand out by it. */
  maxActivation: Float64Array;
  /** For each name and expert, what it would be if it had drawn its slots at random from all experts' slots. */
  chance: Record<Exclude<SaliencyName, "frequency">, Chance[]>;
}

/**
 * Saliency of the experts of one layer, by the measures that pruning uses. It is observational: an audit found that
 * such measures hardly predict what removing an expert does, so hold it against an ablation. 100 shuffles unless told
 * otherwise.
 * @formula |A_e|; Σ g; Σ ‖f‖; mean ‖f‖; Σ g ‖f‖; mean g ‖f‖; max |f_i|, over an expert's tokens A_e
 * @chance the expert's slots drawn at random from all experts' slots, shuffled
 * @throws ShapeError for arrays that do not fit together; RangeError for choices that are not top_k different experts each
 * @see Lasby et al. 2025, REAP, and src/reap/pruning_metrics.py of CerebrasResearch/reap, whose gate g is the softmax over
 * all experts, renormalised over the top_k in later versions: pass either as `weights`. arXiv:2507.23279 (super experts)
 * @example saliency(outputs).reap // Float64Array, [n_experts]
 */
export function saliency(capture: ExpertOutputs, options: SimulationOptions = {}): Saliency {
  const { nExperts, weights, outputs } = capture;
  const experts = checked(capture);
  const slots = experts.length;
  const width = slots > 0 ? outputs.length / slots : 0;
  const norms = new Float64Array(slots);
  const peaks = new Float64Array(slots);
  for (let slot = 0; slot < slots; slot++) {
    for (let d = slot * width; d < (slot + 1) * width; d++) {
      norms[slot]! += outputs[d]! ** 2;
      peaks[slot] = Math.max(peaks[slot]!, Math.abs(outputs[d]!));
    }
    norms[slot] = Math.sqrt(norms[slot]!);
  }
  const measure = (order: Int32Array): Record<SaliencyName, Float64Array> =>
    measures(experts, nExperts, (i) => {
      const slot = order[i]!;
      return { weight: weights[slot]!, norm: norms[slot]!, peak: peaks[slot]! };
    });
  const order = Int32Array.from(experts, (_, i) => i);
  const found = measure(order);
  const names = SALIENCIES.filter((name) => name !== "frequency");
  const chance = simulate<string>(
    "shuffled",
    (uniform) => {
      shuffle(order, uniform);
      const mixed = measure(order);
      return Object.fromEntries(
        names.flatMap((name) => Array.from(mixed[name], (value, e) => [`${name} ${e}`, value])),
      );
    },
    { draws: 100, ...options },
  );
  const chances = names.map((name) => [name, Array.from({ length: nExperts }, (_, e) => chance[`${name} ${e}`]!)]);
  return { ...found, chance: Object.fromEntries(chances) as Saliency["chance"] };
}

interface Slot {
  weight: number;
  norm: number;
  peak: number;
}

function measures(
  experts: Uint16Array,
  nExperts: number,
  at: (slot: number) => Slot,
): Record<SaliencyName, Float64Array> {
  const empty = (): Float64Array => new Float64Array(nExperts);
  const [frequency, weightedFrequency, eanSum, weightedEan] = [empty(), empty(), empty(), empty()];
  const maxActivation = empty().fill(Number.NaN);
  for (const [i, expert] of experts.entries()) {
    const { weight, norm, peak } = at(i);
    frequency[expert]! += 1;
    weightedFrequency[expert]! += weight;
    eanSum[expert]! += norm;
    weightedEan[expert]! += weight * norm;
    if (!(maxActivation[expert]! >= peak)) maxActivation[expert] = peak;
  }
  return {
    frequency,
    weightedFrequency,
    eanSum,
    eanMean: eanSum.map((sum, e) => sum / frequency[e]!),
    weightedEan,
    reap: weightedEan.map((sum, e) => sum / frequency[e]!),
    maxActivation,
  };
}

function checked({ nExperts, topK, indices, weights, outputs }: ExpertOutputs): Uint16Array {
  if (!Number.isInteger(topK) || topK < 1 || topK > nExperts)
    throw new RangeError(`saliency: topK must be a whole number from 1 to nExperts (${nExperts}), got ${topK}`);
  if (indices.length % topK !== 0)
    throw new ShapeError(
      `saliency: indices must be [n_tokens, top_k] with top_k ${topK}, got ${indices.length} numbers`,
    );
  if (weights.length !== indices.length)
    throw new ShapeError(`saliency: weights must be as many as indices (${indices.length}), got ${weights.length}`);
  if (indices.length === 0 ? outputs.length > 0 : outputs.length === 0 || outputs.length % indices.length !== 0)
    throw new ShapeError(
      `saliency: outputs must be [n_tokens, top_k, d_model], a multiple of ${indices.length}, got ${outputs.length} numbers`,
    );
  const experts = Uint16Array.from(indices);
  checkChoices("saliency", experts, { nExperts, topK });
  return experts;
}
