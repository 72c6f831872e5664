/**
 * What one more matrix product costs beyond its arithmetic, in multiply-adds: a quarter of a millisecond of dispatch, and of
 * what two cores wait for each other. Where gradients are taken it costs more. These numbers are those with which the choice
 * lost least over the cases of `bench/experts.ts`.
 */
const PRODUCT_OVERHEAD = { run: 1.6e7, trained: 2e7 } as const;

/** A product reads its weights from memory and orders them anew: that takes as long as so many rows of arithmetic. */
const READING_ROWS = 48;

/**
 * What it costs that some experts have rows beyond those that were batched, in the same: their rows are cut out, go through
 * the activation by themselves, and all outputs are copied once more to stand together.
 */
const LEFT_OVER = 6e7;

/** Beyond this many bytes of one part of all experts, products are so long that batching saves nothing worth its memory. */
export const MOST_BATCHED_BYTES = 1 << 27;

/**
 * How many rows of each expert go through one batched product of all experts. It saves products, and pays for rows of
 * padding and for reading the weights of experts that have no token; the further rows of fuller experts go by themselves,
 * for which their weights are read once more.
 * @param counts rows of each expert
 * @param weightNumbers numbers of one expert's matrix
 * @param trained whether gradients are taken; the answer is then 0 or the largest count, for the gradient of one expert's
 * matrix is as large as that of all
 * @returns 0: each expert goes by itself
 */
export function rowsTogether(counts: Int32Array, weightNumbers: number, trained: boolean): number {
  if (4 * counts.length * weightNumbers > MOST_BATCHED_BYTES) return 0;
  const sizes = [...new Set(counts)].sort((a, b) => a - b);
  const fullest = sizes.at(-1)!;
  const overhead = PRODUCT_OVERHEAD[trained ? "trained" : "run"];
  const cost = (rows: number): number => (rows + READING_ROWS) * weightNumbers;
  const costOf = (together: number): number =>
    counts.reduce(
      (sum, rows) => (rows > together ? sum + cost(rows - together) + overhead : sum),
      together === 0 ? 0 : counts.length * cost(together) + (together < fullest ? LEFT_OVER : 0),
    );
  const candidates = trained ? [0, fullest] : [0, ...sizes.filter((rows) => rows > 0)];
  return candidates.reduce((best, rows) => (costOf(rows) < costOf(best) ? rows : best));
}
