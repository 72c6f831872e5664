import { ShapeError } from "../errors.ts";
import { assignment } from "./assignment.ts";
import { type Chance, type SimulationOptions, simulate } from "./chance.ts";
import { shuffle, type Uniform } from "./random.ts";

/** How alike the weights of two experts are. */
export interface WeightSimilarity {
  /** Cosine after the second expert's neurons are put in the order that makes it largest, −1 … 1. */
  aligned: number;
  /** Cosine with neurons in the order they have. A different order of the same neurons makes it meaningless. */
  unaligned: number;
  /** Which neuron of the second stands beside each of the first: [d_ff]. */
  match: Int32Array;
  /** The aligned cosine if nothing corresponds: the second expert's features in random order. Aligning makes it rise above 0. */
  chance: Chance;
}

/**
 * Cosine of two experts' weights after aligning their neurons. A neuron is its row of the gate projection, its row of
 * the other projection and its column of the output projection, one after another, so that one order serves all three.
 * O(d_ff³) for each alignment; 5 draws unless told otherwise. NaN where an expert has only zeros.
 * @formula max over orders of the second's neurons of Σ a·b / (‖a‖ ‖b‖)
 * @chance the second expert's features in random order, aligned again, shuffled; above 0
 * @param a neurons of the first expert: [d_ff, width]
 * @param b neurons of the second expert: [d_ff, width]
 * @throws ShapeError for experts of different sizes
 * @see Lo et al. 2024, arXiv:2406.18219 (static analysis)
 * @example weightSimilarity(a, b, { dFf }).aligned
 */
export function weightSimilarity(
  a: Float32Array,
  b: Float32Array,
  { dFf, draws = 5, ...simulation }: { dFf: number } & SimulationOptions,
): WeightSimilarity {
  if (a.length !== b.length || a.length === 0 || a.length % dFf !== 0)
    throw new ShapeError(
      `weightSimilarity: both experts must be [d_ff, width] with d_ff ${dFf}, got ${a.length} and ${b.length} numbers`,
    );
  const width = a.length / dFf;
  const norms = norm(a) * norm(b);
  const products = dots(a, b, dFf, width);
  const match = assignment(products);
  const sum = (columnOf: Int32Array, from: Float64Array): number =>
    columnOf.reduce((total, column, row) => total + from[row * dFf + column]!, 0) / norms;
  const chance = simulate(
    "shuffled",
    (uniform) => {
      const mixed = dots(a, featuresMixed(b, width, uniform), dFf, width);
      return { aligned: sum(assignment(mixed), mixed) };
    },
    { draws, ...simulation },
  ).aligned;
  return {
    aligned: sum(match, products),
    unaligned: sum(
      match.map((_, row) => row),
      products,
    ),
    match,
    chance,
  };
}

/** Every neuron of one with every neuron of the other: [d_ff, d_ff]. */
function dots(a: Float32Array, b: Float32Array, dFf: number, width: number): Float64Array {
  const products = new Float64Array(dFf * dFf);
  for (let i = 0; i < dFf; i++)
    for (let j = 0; j < dFf; j++) {
      let sum = 0;
      for (let w = 0; w < width; w++) sum += a[i * width + w]! * b[j * width + w]!;
      products[i * dFf + j] = sum;
    }
  return products;
}

function featuresMixed(neurons: Float32Array, width: number, uniform: Uniform): Float32Array {
  const order = Int32Array.from({ length: width }, (_, w) => w);
  shuffle(order, uniform);
  return neurons.map((_, at) => neurons[at - (at % width) + order[at % width]!]!);
}

function norm(values: Float32Array): number {
  return Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
}
