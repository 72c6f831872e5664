/**
 * Ways to choose k of n where the order does not count, exactly: n! / (k! (n − k)!).
 * @throws RangeError for what are no whole numbers with 0 ≤ k ≤ n
 * @example combinations(16, 4) / combinations(8, 2) // 65n, "65 times more combinations of experts"
 */
export function combinations(n: number, k: number): bigint {
  if (!Number.isInteger(n) || !Number.isInteger(k) || k < 0 || k > n)
    throw new RangeError(`combinations: k must be a whole number from 0 to n (${n}), got ${k}`);
  let ways = 1n;
  // Each step is a number of combinations itself, so each division is exact.
  for (let i = 1; i <= k; i++) ways = (ways * BigInt(n - k + i)) / BigInt(i);
  return ways;
}
