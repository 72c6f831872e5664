/** Turns scores into probabilities where they stand: exp(x) over the sum of all, the largest taken off first. */
export function softmax(x: Float32Array): void {
  const most = x.reduce((a, b) => Math.max(a, b), -Infinity);
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += x[i] = Math.exp(x[i]! - most);
  for (let i = 0; i < x.length; i++) x[i]! /= sum;
}
