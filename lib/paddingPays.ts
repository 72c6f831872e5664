/**
 * What one more matrix product and its gradients cost beyond their arithmetic, in multiply-adds: the dispatch of some ten
 * operations, and what two cores wait for each other.
 */
const PRODUCT_OVERHEAD = 2e7;

/** A product reads its weights from memory and orders them anew: that takes as long as so many rows of arithmetic. */
const READING_ROWS = 48;

/** Beyond this many bytes of one part of all experts, products are so long that batching saves nothing worth its memory. */
const MOST_BATCHED_BYTES = 1 << 27;

/**
 * Whether experts whose gradients are taken are faster in one batched product, which saves products and pays for rows of
 * padding up to those of the fullest expert, than one by one. No other number of rows is worth a choice: the gradient of one
 * expert's matrix is as large as that of all.
 * @param counts rows of each expert
 * @param weightNumbers numbers of one expert's matrix
 */
export function paddingPays(counts: Int32Array, weightNumbers: number): boolean {
  if (4 * counts.length * weightNumbers > MOST_BATCHED_BYTES) return false;
  const cost = (rows: number): number => (rows + READING_ROWS) * weightNumbers;
  const oneByOne = counts.reduce((sum, rows) => (rows > 0 ? sum + cost(rows) + PRODUCT_OVERHEAD : sum), 0);
  return counts.length * cost(Math.max(...counts)) < oneByOne;
}
