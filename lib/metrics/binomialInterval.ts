/**
 * The central 95 % of a binomial count: the smallest counts whose cumulative probability reaches 2.5 % and 97.5 %.
 * @param n trials
 * @param p probability of each
 * @example binomialInterval(10, 0.5) // { low: 2, high: 8 }
 */
export function binomialInterval(n: number, p: number): { low: number; high: number } {
  if (p >= 1) return { low: n, high: n };
  let logProbability = n * Math.log1p(-p);
  let cumulative = Math.exp(logProbability);
  let low = 0;
  let high = 0;
  while (cumulative < 0.975 && high < n) {
    if (cumulative < 0.025) low = high + 1;
    logProbability += Math.log(((n - high) / (high + 1)) * (p / (1 - p)));
    cumulative += Math.exp(logProbability);
    high += 1;
  }
  return { low, high };
}
