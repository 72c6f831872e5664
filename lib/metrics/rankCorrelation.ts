/**
 * Spearman's rank correlation: 1 where both put things in the same order, −1 in the opposite one, 0 on average by chance
 * (with a standard deviation of 1 / √(n − 1) for n things in random order). Equal values share the mean of their ranks;
 * pairs with a NaN are left out. NaN where fewer than two pairs are left or all of one side are equal.
 * @throws RangeError for two different lengths
 * @see Spearman 1904, "The proof and measurement of association between two things"
 * @example rankCorrelation([1, 2, 3], [10, 30, 20]) // 0.5
 */
export function rankCorrelation(x: ArrayLike<number>, y: ArrayLike<number>): number {
  if (x.length !== y.length)
    throw new RangeError(`rankCorrelation: both must be equally long, got ${x.length} and ${y.length}`);
  const known = Array.from(x, (_, i) => i).filter((i) => !Number.isNaN(x[i]!) && !Number.isNaN(y[i]!));
  const [a, b] = [ranks(known.map((i) => x[i]!)), ranks(known.map((i) => y[i]!))];
  const middle = (known.length + 1) / 2;
  let [both, onlyA, onlyB] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    both += (a[i]! - middle) * (b[i]! - middle);
    onlyA += (a[i]! - middle) ** 2;
    onlyB += (b[i]! - middle) ** 2;
  }
  return both / Math.sqrt(onlyA * onlyB);
}

/** The rank of each value, from 1; equal ones share their mean rank. */
function ranks(values: readonly number[]): Float64Array {
  const order = [...values.keys()].sort((i, j) => values[i]! - values[j]!);
  const out = new Float64Array(values.length);
  for (let start = 0; start < order.length; ) {
    let end = start + 1;
    while (end < order.length && values[order[end]!] === values[order[start]!]) end++;
    for (let i = start; i < end; i++) out[order[i]!] = (start + end + 1) / 2;
    start = end;
  }
  return out;
}
