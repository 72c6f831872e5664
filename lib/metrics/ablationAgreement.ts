import type { SimulationOptions } from "./chance.ts";
import { meanOf } from "./lossDifference.ts";
import { type Estimate, pairedBootstrap } from "./pairedBootstrap.ts";
import { rankCorrelation } from "./rankCorrelation.ts";

/** What an ablation of each expert changed, document by document; `ablateEachExpert` gives it. */
export interface AblationChanges {
  /** Sum of the change over each document's tokens: [n_layers, n_experts, n_documents]. */
  changes: ArrayLike<number>;
  /** Tokens that were predicted in each document: [n_documents]. */
  perDocument: ArrayLike<number>;
  nExperts: number;
}

/**
 * Whether a measure of experts that is read off a run foretells what taking them out does: Spearman's rank correlation
 * within each layer, with the 95 % interval of a bootstrap by document. Chance gives 0 with a standard deviation of
 * 1 / √(n_experts − 1), beside which the interval, which knows of the documents only, says nothing about other experts.
 * @param measure one number an expert, NaN where it is not known: [n_layers, n_experts]
 * @returns one for each layer
 * @throws RangeError for a measure of another size
 * @example ablationAgreement({ ...ablations.kinds[0], ...ablations }, ablations.tokens) // by frequency
 */
export function ablationAgreement(
  { changes, perDocument, nExperts }: AblationChanges,
  measure: ArrayLike<number>,
  options: SimulationOptions = {},
): Estimate[] {
  const nDocuments = perDocument.length;
  if (measure.length * nDocuments !== changes.length)
    throw new RangeError(
      `ablationAgreement: measure must be [n_layers, n_experts], ${changes.length / nDocuments} numbers, got ${measure.length}`,
    );
  const sums = Float64Array.from(changes);
  return Array.from({ length: measure.length / nExperts }, (_, layer) => {
    const first = layer * nExperts;
    const own = Array.from({ length: nExperts }, (_expert, e) => measure[first + e]!);
    const change = (picked: Int32Array): number[] =>
      own.map((_value, e) => {
        const from = (first + e) * nDocuments;
        return meanOf(sums.subarray(from, from + nDocuments), perDocument, picked);
      });
    return pairedBootstrap(nDocuments, (picked) => rankCorrelation(change(picked), own), options);
  });
}
