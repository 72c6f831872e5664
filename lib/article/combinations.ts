/**
 * Ways to choose k of n where the order does not count: n! / (k! (n − k)!).
 * @throws RangeError for what are no whole numbers with 0 ≤ k ≤ n, or a result beyond 2^53
 * @example combinations(16, 4) / combinations(8, 2) // 65, "65 times more combinations of experts"
 */
export function combinations(n: number, k: number): number {
  if (!Number.isInteger(n) || !Number.isInteger(k) || k < 0 || k > n)
    throw new RangeError(`combinations: k must be a whole number from 0 to n (${n}), got ${k}`);
  let ways = 1;
  // Each step is a number of combinations itself, so each division is exact.
  for (let i = 1; i <= Math.min(k, n - k); i++) {
    const next = ways * (n - i + 1);
    if (next > Number.MAX_SAFE_INTEGER) throw new RangeError(`combinations: ${n} choose ${k} is beyond 2^53`);
    ways = next / i;
  }
  return ways;
}
