import { binomial, seeded, type Uniform } from "./random.ts";

/** What chance alone gives for a measure of one sample of the same size. */
export interface Chance {
  /** Expected value. */
  mean: number;
  /** Bounds of the central 95 % of values. */
  low: number;
  high: number;
  /**
   * Where the mean comes from. "exact": a closed form, with bounds that are simulated or exact; "simulated": seeded draws
   * of uniform routing; "shuffled": the trace's own tokens or labels in random order; "asymptotic": the limit for many
   * samples. Simulated and shuffled means have a standard error of about (high − low) / (4 · √draws).
   */
  method: "exact" | "simulated" | "shuffled" | "asymptotic";
}

/** A measure beside what chance gives. */
export interface Measure {
  value: number;
  chance: Chance;
}

export interface SimulationOptions {
  /** Random repetitions behind each mean and interval. */
  draws?: number;
  /** Equal seeds give equal results. */
  seed?: number;
  /** Called after each repetition: long work shows progress. */
  onProgress?: ((done: number, total: number) => void) | undefined;
}

/**
 * Repeats a random experiment and sums up each of the numbers it returns.
 * @param draw one repetition: a value for each name
 * @throws RangeError for fewer than two draws
 * @example simulate("simulated", (uniform) => ({ heads: uniform() < 0.5 ? 1 : 0 }), { draws: 100 }).heads.mean
 */
export function simulate<Name extends string>(
  method: Chance["method"],
  draw: (uniform: Uniform) => Record<Name, number>,
  { draws = 1000, seed = 0, onProgress }: SimulationOptions,
): Record<Name, Chance> {
  if (!Number.isInteger(draws) || draws < 2)
    throw new RangeError(`simulate: draws must be a whole number of at least 2, got ${draws}`);
  if (!Number.isSafeInteger(seed)) throw new RangeError(`simulate: seed must be a whole number, got ${seed}`);
  const uniform = seeded(seed);
  const samples: Record<string, Float64Array> = {};
  for (let i = 0; i < draws; i++) {
    for (const [name, value] of Object.entries<number>(draw(uniform)))
      (samples[name] ??= new Float64Array(draws))[i] = value;
    onProgress?.(i + 1, draws);
  }
  const entries = Object.entries(samples).map(([name, values]) => [name, summary(values, method)]);
  return Object.fromEntries(entries) as Record<Name, Chance>;
}

/** The options of each of several simulations that report one progress together. */
export function inParts(options: SimulationOptions, parts: number): (part: number) => SimulationOptions {
  const { onProgress } = options;
  if (onProgress === undefined) return () => options;
  return (part) => ({
    ...options,
    onProgress: (done, total) => onProgress(part * total + done, parts * total),
  });
}

/** The same chance with a mean that is known in closed form. */
export function withMean(chance: Chance, mean: number): Chance {
  return { ...chance, mean, method: "exact" };
}

/**
 * The mean of n independent draws from a small distribution: its exact mean, and simulated bounds.
 * @param values the outcomes, with their `probabilities`
 */
export function meanOfDraws(
  values: readonly number[],
  probabilities: ArrayLike<number>,
  n: number,
  options: SimulationOptions,
): Chance {
  const draw = (uniform: Uniform): { mean: number } => {
    let [left, mass, sum] = [n, 1, 0];
    for (const [i, value] of values.entries()) {
      const rest = mass - probabilities[i]!;
      const taken = rest < 1e-12 ? left : binomial(left, probabilities[i]! / mass, uniform); // the last takes what is left
      sum += taken * value;
      left -= taken;
      mass = rest;
    }
    return { mean: sum / n };
  };
  const mean = values.reduce((sum, value, i) => sum + value * probabilities[i]!, 0);
  return withMean(simulate("exact", draw, options).mean, mean);
}

/** The quantile of rising values, between neighbours where it falls between them. */
export function quantile(sorted: Float64Array, q: number): number {
  const at = q * (sorted.length - 1);
  const below = Math.floor(at);
  const next = sorted[Math.min(below + 1, sorted.length - 1)]!;
  return sorted[below]! + (at - below) * (next - sorted[below]!);
}

function summary(values: Float64Array, method: Chance["method"]): Chance {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  values.sort();
  return { mean, low: quantile(values, 0.025), high: quantile(values, 0.975), method };
}
