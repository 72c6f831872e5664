import { ShapeError } from "../errors.ts";
import { type Measure, type SimulationOptions, simulate, withMean } from "./chance.ts";
import { shuffle } from "./random.ts";

/**
 * Linear centred kernel alignment of two experts' outputs on the same tokens: 1 for the same up to rotation and scale.
 * It is high by chance where there are few tokens for the width. 100 shuffles for the bounds unless told otherwise. NaN
 * where an output does not vary.
 * @formula ‖YᵀX‖²_F / (‖XᵀX‖_F ‖YᵀY‖_F) with centred columns
 * @chance one side's tokens in random order: tr(K) tr(L) / ((n−1) ‖K‖_F ‖L‖_F), exactly, K and L being the centred
 * XXᵀ and YYᵀ; bounds shuffled
 * @param x outputs of the first: [n_tokens, width]
 * @param y outputs of the second on the same tokens: [n_tokens, width of the second]
 * @throws ShapeError for arrays that are not n_tokens rows
 * @see Kornblith et al. 2019, arXiv:1905.00414, eq. 5
 * @example linearCka(x, y, { nTokens })
 */
export function linearCka(
  x: ArrayLike<number>,
  y: ArrayLike<number>,
  { nTokens, draws = 100, ...simulation }: { nTokens: number } & SimulationOptions,
): Measure {
  for (const outputs of [x, y])
    if (!Number.isInteger(nTokens) || nTokens < 2 || outputs.length === 0 || outputs.length % nTokens !== 0)
      throw new ShapeError(
        `linearCka: outputs must be [n_tokens, width] of at least 2 tokens, got ${outputs.length} numbers for ${nTokens}`,
      );
  const [k, l] = [centredGram(x, nTokens), centredGram(y, nTokens)];
  const norms = Math.sqrt(inner(k, k) * inner(l, l));
  const order = Int32Array.from({ length: nTokens }, (_, i) => i);
  const alignment = (): number => {
    let sum = 0;
    for (let i = 0; i < nTokens; i++)
      for (let j = 0; j < nTokens; j++) sum += k[i * nTokens + j]! * l[order[i]! * nTokens + order[j]!]!;
    return sum / norms;
  };
  const value = alignment();
  const shuffled = simulate(
    "shuffled",
    (uniform) => {
      shuffle(order, uniform);
      return { value: alignment() };
    },
    { draws, ...simulation },
  ).value;
  return { value, chance: withMean(shuffled, (trace(k, nTokens) * trace(l, nTokens)) / ((nTokens - 1) * norms)) };
}

/** H X Xᵀ H: [n_tokens, n_tokens]. */
function centredGram(x: ArrayLike<number>, nTokens: number): Float64Array {
  const width = x.length / nTokens;
  const centred = Float64Array.from(x);
  for (let w = 0; w < width; w++) {
    let mean = 0;
    for (let t = 0; t < nTokens; t++) mean += x[t * width + w]! / nTokens;
    for (let t = 0; t < nTokens; t++) centred[t * width + w]! -= mean;
  }
  const gram = new Float64Array(nTokens * nTokens);
  for (let i = 0; i < nTokens; i++)
    for (let j = 0; j <= i; j++) {
      let sum = 0;
      for (let w = 0; w < width; w++) sum += centred[i * width + w]! * centred[j * width + w]!;
      gram[i * nTokens + j] = gram[j * nTokens + i] = sum;
    }
  return gram;
}

function inner(a: Float64Array, b: Float64Array): number {
  return a.reduce((sum, value, i) => sum + value * b[i]!, 0);
}

function trace(gram: Float64Array, n: number): number {
  let sum = 0;
  for (let i = 0; i < n; i++) sum += gram[i * n + i]!;
  return sum;
}
