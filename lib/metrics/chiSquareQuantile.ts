/**
 * The value that a chi-square variable stays below with probability q; 0 for no degree of freedom.
 * @param freedom degrees of freedom, a whole number
 * @example chiSquareQuantile(2, 0.975) // 7.378
 */
export function chiSquareQuantile(freedom: number, q: number): number {
  if (freedom <= 0) return 0;
  let [low, high] = [0, freedom + 10 * Math.sqrt(2 * freedom) + 20]; // ten deviations: all but nothing is below
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (below(middle, freedom) < q) low = middle;
    else high = middle;
  }
  return (low + high) / 2;
}

/** P(χ² < x), the regularised incomplete gamma function P(a, y) with a = freedom / 2 and y = x / 2, by its series. */
function below(x: number, freedom: number): number {
  const [a, y] = [freedom / 2, x / 2];
  let logGamma = freedom % 2 === 0 ? 0 : Math.log(Math.PI) / 2; // of 1 or of 1/2
  for (let z = freedom % 2 === 0 ? 1 : 0.5; z <= a; z++) logGamma += Math.log(z); // ends at that of a + 1
  let term = Math.exp(a * Math.log(y) - y - logGamma);
  let sum = 0;
  for (let n = 1; term > 1e-17 * sum || n <= y - a; n++) {
    sum += term;
    term *= y / (a + n);
  }
  return sum;
}
