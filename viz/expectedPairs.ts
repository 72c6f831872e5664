/**
 * How often two experts would be chosen together if each token drew its experts without replacement and on its own, with
 * the loads that were seen: the distribution over sets of top_k experts that has these loads and is otherwise as random as
 * it can be (maximum entropy). With even loads it is top_k (top_k − 1) / (n_experts (n_experts − 1)).
 * @param rates part of the tokens that use each expert, from 0 to 1, summing to top_k: [n_experts]
 * @returns part of the tokens that use both: [n_experts, n_experts], symmetric, the diagonal is `rates`
 * @see Chen, Dempster and Liu 1994, "Weighted finite population sampling to maximize entropy", Biometrika 81, eq. 1 to 6
 */
export function expectedPairs(rates: ArrayLike<number>, topK: number): Float64Array {
  const n = rates.length;
  const both = new Float64Array(n * n);
  // An expert that every token takes leaves one choice less for the others; one that none takes leaves them all.
  const always = pick(rates, (rate) => rate >= 1 - 1e-12);
  const free = pick(rates, (rate) => rate > 0 && rate < 1 - 1e-12);
  for (const i of always) for (let j = 0; j < n; j++) both[i * n + j] = both[j * n + i] = rates[j]!;
  const k = topK - always.length;
  const odds = fitOdds(
    free.map((i) => rates[i]!),
    k,
  );
  const whole = sumOfProducts(odds, k);
  for (const [a, i] of free.entries()) {
    both[i * n + i] = rates[i]!;
    if (k < 2) continue;
    const others = odds.filter((_, other) => other !== a);
    const without = leaveOneOut(others, k - 2);
    for (const [b, j] of free.entries())
      if (j !== i) both[i * n + j] = (odds[a]! * odds[b]! * without[b < a ? b : b - 1]!) / whole;
  }
  return both;
}

function pick(values: ArrayLike<number>, is: (value: number) => boolean): number[] {
  return Array.from(values, (value, i) => (is(value) ? i : -1)).filter((i) => i >= 0);
}

/** Rounds of {@link fitOdds}; loads of real routers need fewer than fifty. */
const MOST_ROUNDS = 500;

/** The odds of each expert for which sets of k, each as likely as the product of its odds, have these rates. */
function fitOdds(rates: readonly number[], k: number): number[] {
  let odds = rates.map((rate) => rate / (1 - rate));
  for (let round = 0; round < MOST_ROUNDS && k < rates.length; round++) {
    const whole = sumOfProducts(odds, k);
    const without = leaveOneOut(odds, k - 1);
    const reached = odds.map((o, i) => (o * without[i]!) / whole);
    if (reached.every((rate, i) => Math.abs(rate - rates[i]!) < 1e-12)) break;
    odds = odds.map((o, i) => (o * rates[i]!) / reached[i]!);
  }
  return odds;
}

/** Sums over all sets of 0 … k values of their product, after each further value: [n + 1][k + 1]. */
function partialSums(values: readonly number[], k: number): Float64Array[] {
  const sums = [Float64Array.from({ length: k + 1 }, (_, m) => Number(m === 0))];
  for (const value of values)
    sums.push(sums.at(-1)!.map((sum, m, before) => sum + (m > 0 ? value * before[m - 1]! : 0)));
  return sums;
}

function sumOfProducts(values: readonly number[], k: number): number {
  return partialSums(values, k).at(-1)![k]!;
}

/** {@link sumOfProducts} of k values with each value left out in turn: no subtraction, so no digits are lost. */
function leaveOneOut(values: readonly number[], k: number): number[] {
  const before = partialSums(values, k);
  const after = partialSums(values.toReversed(), k);
  return values.map((_, i) => {
    let sum = 0;
    for (let m = 0; m <= k; m++) sum += before[i]![m]! * after[values.length - 1 - i]![k - m]!;
    return sum;
  });
}
