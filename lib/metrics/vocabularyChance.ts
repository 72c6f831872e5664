import { type SimulationOptions, simulate } from "./chance.ts";
import { addUniformCounts, overlapProbabilities } from "./uniformRouting.ts";

/** Share of the commonest expert for an id that was seen n times, by chance. */
export interface VocabularyChance {
  /** Expected max_e count_e / n. */
  mean: number;
  /** Its standard deviation. */
  deviation: number;
}

/** Times seen that are simulated one by one; beyond, every further number is this ratio larger. */
const [EVERY, RATIO] = [30, 1.25];

/**
 * The vocabulary specialisation of an id under uniform routing, which depends on how often the id was seen. Exact for n
 * = 1 and 2, simulated for more, and beyond 30 only for some n, between which (mean − k/E) √n, nearly constant, is
 * taken linearly in ln n. An id seen ten times already has 15.5 % of 64 experts' top-1 by chance, where its limit is
 * 1.6 %. 1,000 draws unless told otherwise.
 * @formula E[max_e count_e] / n for an id seen n times
 * @chance it is one: 1 for n = 1, 1 − ½ C(E−k,k) / C(E,k) for n = 2, exactly; simulated for more
 * @param seen how often ids were seen; each number once is enough
 * @returns by number of times seen
 * @example vocabularyChance([10], { nExperts: 16, topK: 4 }).get(10).mean // 0.516
 */
export function vocabularyChance(
  seen: Iterable<number>,
  { nExperts, topK }: { nExperts: number; topK: number },
  options: SimulationOptions = {},
): Map<number, VocabularyChance> {
  const asked = [...new Set(seen)];
  const grid = [1, 2];
  while (grid.at(-1)! < Math.max(...asked))
    grid.push(grid.at(-1)! < EVERY ? grid.at(-1)! + 1 : Math.ceil(grid.at(-1)! * RATIO));
  const simulated = grow(grid, { nExperts, topK }, options);
  const limit = topK / nExperts;
  const between = (n: number): VocabularyChance => {
    const after = grid.findIndex((point) => point >= n);
    const [a, b] = [grid[Math.max(0, after - 1)]!, grid[after]!];
    const part = a === b ? 0 : Math.log(n / a) / Math.log(b / a);
    const [from, to] = [simulated[Math.max(0, after - 1)]!, simulated[after]!];
    const scaled = (x: number, y: number): number =>
      ((1 - part) * x * Math.sqrt(a) + part * y * Math.sqrt(b)) / Math.sqrt(n);
    return {
      mean: limit + scaled(from.mean - limit, to.mean - limit),
      deviation: scaled(from.deviation, to.deviation),
    };
  };
  const exact = new Map([
    [1, 1],
    [2, 1 - overlapProbabilities(nExperts, topK)[0]! / 2],
  ]);
  return new Map(asked.map((n) => [n, { ...between(n), ...(exact.has(n) && { mean: exact.get(n)! }) }]));
}

/** One id that is seen more and more often, many times over: mean and deviation of its share at each number of times. */
function grow(
  times: readonly number[],
  { nExperts, topK }: { nExperts: number; topK: number },
  { draws = 1000, ...options }: SimulationOptions,
): VocabularyChance[] {
  const sums = times.map(() => ({ sum: 0, squares: 0 }));
  const counts = new Float64Array(nExperts);
  simulate(
    "simulated",
    (uniform) => {
      counts.fill(0);
      for (const [i, n] of times.entries()) {
        addUniformCounts(counts, n - (times[i - 1] ?? 0), topK, uniform);
        const share = counts.reduce((a, b) => Math.max(a, b)) / n;
        sums[i]!.sum += share;
        sums[i]!.squares += share * share;
      }
      return {};
    },
    { draws, ...options },
  );
  return sums.map(({ sum, squares }) => {
    const mean = sum / draws;
    return { mean, deviation: Math.sqrt(Math.max(0, squares / draws - mean * mean)) };
  });
}
