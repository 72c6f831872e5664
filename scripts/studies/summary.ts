import type { StudyRecord } from "./trainVariant.ts";

/** A mean over seeds with its 95 % interval (Student's t over the seeds); no interval for a single seed. */
export interface OverSeeds {
  mean: number;
  low: number | null;
  high: number | null;
  values: number[];
}

/** One model against another, on the same text in the same order, seed by seed. */
export interface Comparison {
  model: string;
  against: string;
  seeds: number[];
  /** Loss of `model` less that of `against` on the probe text after the last step, in nats a token: below 0 it is better. */
  difference: OverSeeds;
  /**
   * How many times as many tokens `against` needs as `model` for the worse of their two last losses: above 1 the model learns
   * from fewer. Between two readings of the probe text the loss is taken as straight over the logarithm of the tokens.
   */
  tokensRatio: OverSeeds;
}

/** The pairs that the studies are about. */
const PAIRS: readonly [string, string][] = [
  ["experts-16-top-4", "dense-active"],
  ["experts-16-top-4", "dense-total"],
  ["experts-16-top-4", "experts-8-top-2"],
  ["experts-16-top-4", "no-balance"],
  ["experts-16-top-4", "z-loss"],
];

/** 97.5 % quantiles of Student's t for 1, 2 … degrees of freedom. */
const T = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262];

export function overSeeds(values: readonly number[]): OverSeeds {
  const n = values.length;
  const mean = values.reduce((sum, value) => sum + value, 0) / n;
  const t = T[n - 2];
  if (t === undefined) return { mean: round(mean), low: null, high: null, values: values.map(round) };
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (n - 1);
  const half = t * Math.sqrt(variance / n);
  return { mean: round(mean), low: round(mean - half), high: round(mean + half), values: values.map(round) };
}

/**
 * Tokens after which a loss is reached for the first time.
 * @param probes tokens rising
 * @returns infinity where it is not reached
 */
export function tokensToReach(probes: readonly { tokens: number; natsPerToken: number }[], target: number): number {
  const reached = probes.findIndex(({ natsPerToken }) => natsPerToken <= target);
  if (reached <= 0) return reached === 0 ? probes[0]!.tokens : Number.POSITIVE_INFINITY;
  const [before, after] = [probes[reached - 1]!, probes[reached]!];
  const part = (before.natsPerToken - target) / (before.natsPerToken - after.natsPerToken);
  return Math.exp(Math.log(before.tokens) + part * Math.log(after.tokens / before.tokens));
}

/** Compares two models by the seeds that both were trained with. */
export function compare(records: readonly StudyRecord[], model: string, against: string): Comparison {
  const pairs = records.flatMap((record) => {
    const other = records.find(({ name, seed }) => name === against && seed === record.seed);
    return record.name === model && other !== undefined
      ? [{ seed: record.seed, own: record.probes, other: other.probes }]
      : [];
  });
  const last = (probes: StudyRecord["probes"]): number => probes.at(-1)!.natsPerToken;
  return {
    model,
    against,
    seeds: pairs.map(({ seed }) => seed),
    difference: overSeeds(pairs.map(({ own, other }) => last(own) - last(other))),
    tokensRatio: overSeeds(
      pairs.map(({ own, other }) => {
        const target = Math.max(last(own), last(other));
        return tokensToReach(other, target) / tokensToReach(own, target);
      }),
    ),
  };
}

/** What the studies say, in numbers. */
export function summaryOf(records: readonly StudyRecord[]): object {
  const names = [...new Set(records.map(({ name }) => name))];
  const models = names.map((name) => {
    const own = records.filter((record) => record.name === name);
    const lasts = own.map(({ probes }) => probes.at(-1)!);
    const byLayer = lasts[0]!.layers.map(({ layer }, row) => {
      const over = (value: (reading: StudyRecord["probes"][number]["layers"][number]) => number): OverSeeds =>
        overSeeds(lasts.map(({ layers }) => value(layers[row]!)));
      return {
        layer,
        maxVio: over((reading) => reading.maxVio),
        leastLoad: over(({ load }) => Math.min(...load) * load.length),
        entropy: over((reading) => reading.entropy),
        specialization: over((reading) => reading.specialization.value),
        specializationChance: over((reading) => reading.specialization.chance),
        setsUsed: over((reading) => reading.sets.used),
        setsEffective: over((reading) => reading.sets.effective),
      };
    });
    return {
      name,
      seeds: own.map(({ seed }) => seed),
      seconds: own.map(({ seconds }) => seconds),
      natsPerToken: overSeeds(lasts.map((probe) => probe.natsPerToken)),
      bitsPerByte: Object.fromEntries(
        Object.keys(lasts[0]!.bitsPerByte).map((kind) => [
          kind,
          overSeeds(lasts.map((probe) => probe.bitsPerByte[kind]!)),
        ]),
      ),
      layers: byLayer,
    };
  });
  const known = PAIRS.filter(([model, against]) => names.includes(model) && names.includes(against));
  return { models, comparisons: known.map(([model, against]) => compare(records, model, against)) };
}

function round(value: number): number {
  return Number(value.toPrecision(5));
}
