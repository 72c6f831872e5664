import { shown } from "../errors.ts";
import type { Measure } from "./chance.ts";
import { chiSquareQuantile } from "./chiSquareQuantile.ts";

/** Mutual information of two variables, from their joint counts. */
export interface MutualInformation extends Measure {
  /** Plug-in estimate in bits, which is too large for few samples. */
  value: number;
  /** The value less its expected bias, in bits; may fall below 0 by chance. */
  corrected: number;
  /** The part of the columns' entropy that the rows explain, value / H(columns): 0 … 1, not corrected; NaN where that entropy is 0. */
  normalized: number;
  nSamples: number;
}

/**
 * Mutual information of two variables. With fewer samples than cells the true bias is smaller: shuffle instead. Without
 * samples all is NaN.
 * @formula Σ p(x,y) log2 [p(x,y) / (p(x) p(y))], in bits
 * @chance independent variables: 2 N ln 2 · I is about chi-square with (R−1)(C−1) degrees of freedom, R and C being
 * the rows and columns that occur; its mean is the bias that `corrected` takes off
 * @param jointCounts one row of counts for each value of x, with one column for each value of y
 * @throws RangeError for rows of different lengths or a count that is negative or not finite
 * @see Miller 1955, "Note on the bias of information estimates"
 * @example mutualInformation([[50, 0], [0, 50]]).value // 1 bit
 */
export function mutualInformation(jointCounts: readonly ArrayLike<number>[]): MutualInformation {
  const { rows, columns, nSamples } = margins(jointCounts);
  let value = nSamples > 0 ? 0 : Number.NaN;
  for (const [r, row] of jointCounts.entries())
    for (let c = 0; c < columns.length; c++)
      if (row[c]! > 0) value += (row[c]! / nSamples) * Math.log2((row[c]! * nSamples) / (rows[r]! * columns[c]!));
  value = Math.max(0, value);
  const freedom = (occurring(rows) - 1) * (occurring(columns) - 1);
  const bits = (chiSquare: number): number => chiSquare / (2 * nSamples * Math.LN2);
  return {
    value,
    corrected: value - bits(freedom),
    normalized: value / entropy(columns, nSamples),
    nSamples,
    chance: {
      mean: bits(freedom),
      low: bits(chiSquareQuantile(freedom, 0.025)),
      high: bits(chiSquareQuantile(freedom, 0.975)),
      method: "asymptotic",
    },
  };
}

function margins(jointCounts: readonly ArrayLike<number>[]): {
  rows: Float64Array;
  columns: Float64Array;
  nSamples: number;
} {
  const columns = new Float64Array(jointCounts[0]?.length ?? 0);
  const rows = Float64Array.from(jointCounts, (row) => {
    if (row.length !== columns.length)
      throw new RangeError(`mutualInformation: rows must have the same length (${columns.length}), got ${row.length}`);
    let sum = 0;
    for (let c = 0; c < columns.length; c++) {
      const count = row[c]!;
      if (!(count >= 0 && count < Infinity))
        throw new RangeError(`mutualInformation: a count must be a number of at least 0, got ${shown(count)}`);
      columns[c]! += count;
      sum += count;
    }
    return sum;
  });
  return { rows, columns, nSamples: rows.reduce((a, b) => a + b, 0) };
}

function occurring(counts: Float64Array): number {
  return counts.reduce((n, count) => n + Number(count > 0), 0);
}

function entropy(counts: Float64Array, total: number): number {
  return counts.reduce((bits, n) => (n > 0 ? bits - (n / total) * Math.log2(n / total) : bits), 0);
}
