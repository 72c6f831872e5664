import type { Curve, TrainingHistory } from "./trainingHistory.ts";

/** One line of a training run's curve: `step`, and numbers, or a number for each layer, under their names. */
export type RunRecord = { step: number } & Record<string, number | readonly number[]>;

/** What is known of the model, for the baselines. */
export interface RunSize {
  /** Pieces of the vocabulary: a uniform guess loses ln d_vocab. */
  dVocab?: number;
  nExperts?: number;
  topK?: number;
}

/**
 * The curves of a training run as plain arrays, with names, units and baselines of what is known by name: `crossEntropy`,
 * `loadBalance` (in the MegaBlocks form, 1 at an even load), `zLoss`, `gradientNorm`, `maxViolation`, `entropy`,
 * `saturation`; others keep their names. A number that some records lack is not measured there.
 * @param records parsed lines of a run's curve file, steps rising
 * @example trainingCurves(runCurves(lines.map((line) => JSON.parse(line)), { dVocab: 4096 }))
 */
export function runCurves(records: readonly RunRecord[], { dVocab, nExperts, topK }: RunSize = {}): TrainingHistory {
  const known: Record<string, Omit<Curve, "values">> = {
    crossEntropy: {
      name: "cross-entropy, nats a token",
      ...(dVocab === undefined ? {} : { baseline: { value: Math.log(dVocab), name: "uniform guess" } }),
    },
    loadBalance: { name: "load-balancing loss", baseline: { value: 1, name: "even load" } },
    zLoss: { name: "router z-loss, nats²" },
    gradientNorm: { name: "length of the gradient" },
    maxViolation: { name: "MaxVio: largest load / mean − 1", baseline: { value: 0, name: "even load" } },
    entropy: {
      name: "router entropy, nats",
      ...(nExperts === undefined ? {} : { baseline: { value: Math.log(nExperts), name: "uniform router" } }),
    },
    saturation: {
      name: "saturation: part of the final experts",
      ...(nExperts === undefined || topK === undefined ? {} : { baseline: { value: topK / nExperts, name: "chance" } }),
    },
  };
  const keys = [...new Set(records.flatMap((record) => Object.keys(record)))].filter((key) => key !== "step");
  const curves = keys.map((key): Curve => {
    const nLines = Math.max(...records.map((record) => [record[key] ?? Number.NaN].flat().length));
    const isByLayer = records.some((record) => Array.isArray(record[key]));
    const lines = Array.from({ length: nLines }, (_, line) =>
      records.map((record) => [record[key] ?? Number.NaN].flat()[line] ?? Number.NaN),
    );
    return { ...(known[key] ?? { name: key }), values: isByLayer ? lines : lines[0]! };
  });
  return { steps: records.map(({ step }) => step), curves };
}
