import type { PublishedTable } from "./published.ts";

/** A published score with what is uncertain about it because the test has so many questions and no more. */
export interface BenchmarkScore {
  /** Percent, or the table's own unit. */
  value: number;
  low?: number;
  high?: number;
  otherwise?: string;
}

/** The table as a plot of dots takes it. */
export interface BenchmarkScores {
  title: string;
  quantity: string;
  note: string;
  series: string[];
  rows: { name: string; dots: (BenchmarkScore | null)[] }[];
}

/** Standard deviations of 95 %. */
const Z = 1.959964;

/**
 * The scores of a published table, each with Wilson's 95 % interval where the number of questions is known, or else the
 * source's own ± where it has one: models whose bars overlap widely are not told apart by the
 * test. What the bars do not hold: prompts, samples, contamination.
 * @see Wilson 1927, "Probable inference, the law of succession, and statistical inference"
 * @example show(dotPlot(benchmarkScores(OPEN_MODELS)))
 */
export function benchmarkScores({
  title,
  source,
  conditions,
  quantity,
  models,
  rows,
}: PublishedTable): BenchmarkScores {
  return {
    title,
    quantity: quantity ?? "score, %",
    note: `${source}; ${conditions}`,
    series: [...models],
    rows: rows.map(({ benchmark, setting, questions, values, spread, otherwise = {} }) => ({
      name: setting === "" ? benchmark : `${benchmark} (${setting})`,
      dots: values.map((value, m) => {
        if (value === null) return null;
        const differs = otherwise[models[m]!];
        const either = spread?.[m] ?? null;
        return {
          value,
          ...(questions === null ? {} : wilson(value / 100, questions)),
          ...(either === null ? {} : { low: value - either, high: value + either }),
          ...(differs === undefined ? {} : { otherwise: differs }),
        };
      }),
    })),
  };
}

/** In percent. */
function wilson(share: number, n: number): { low: number; high: number } {
  const spread = Z * Math.sqrt((share * (1 - share)) / n + Z ** 2 / (4 * n ** 2));
  const [middle, scale] = [share + Z ** 2 / (2 * n), 1 + Z ** 2 / n];
  return { low: (100 * (middle - spread)) / scale, high: (100 * (middle + spread)) / scale };
}
