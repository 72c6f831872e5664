import type { RoutingTrace } from "../trace/record.ts";
import { type Chance, type Measure, meanOfDraws, type SimulationOptions, withMean } from "./chance.ts";
import { choices } from "./choices.ts";
import { expectedDistinctExperts } from "./distinctExperts.ts";
import { seeded } from "./random.ts";
import { addUniformCounts } from "./uniformRouting.ts";

/** How many experts of one layer a window of tokens needs, on average over windows. */
export interface Coverage {
  /** The model's layer number. */
  layer: number;
  nWindows: number;
  /** Different experts in a window. */
  distinct: Measure;
  /** The same as a part of all experts. */
  share: Measure;
  /** Experts, commonest first, that serve at least the asked fraction of a window's assignments. */
  toReach: Measure;
}

export interface CoverageOptions extends SimulationOptions {
  /** Tokens of a window, such as those that are verified together in speculative decoding. */
  window: number;
  /** The part of a window's assignments that `toReach` must cover. */
  fraction?: number;
}

/**
 * Coverage of the experts by windows of consecutive tokens, which lie one after another within sequences; tokens that
 * do not fill one are left out. NaN without windows.
 * @formula mean over windows of the number of different experts in a window, and of those that serve a fraction of
 * its assignments
 * @chance uniform routing: E (1 − (1 − k/E)^window) different ones, exactly; the rest simulated
 * @throws RangeError for a window that is no whole number, or a fraction outside 0 … 1
 * @example coverage(trace, { window: 8 })[0].distinct // { value: 9.1, chance: { mean: 14.4, … } }
 */
export function coverage(trace: RoutingTrace, { window, fraction = 0.9, ...simulation }: CoverageOptions): Coverage[] {
  if (!Number.isInteger(window) || window < 1)
    throw new RangeError(`coverage: window must be a whole number of at least 1, got ${window}`);
  if (!(fraction > 0 && fraction <= 1))
    throw new RangeError(`coverage: fraction must be above 0 and at most 1, got ${fraction}`);
  const byLayer = choices("coverage", trace);
  const starts = windowStarts(trace, window);
  const { nExperts, topK } = trace;
  const chance = chanceOf({ window, fraction, nExperts, topK }, starts.length, simulation);
  return byLayer.map(({ layer, experts }) => {
    const value = average(starts, (start) => {
      const counts = new Float64Array(nExperts);
      for (let i = start * topK; i < (start + window) * topK; i++) counts[experts[i]!]! += 1;
      return measured(counts, fraction);
    });
    return {
      layer,
      nWindows: starts.length,
      distinct: { value: value.distinct, chance: chance.distinct },
      share: { value: value.distinct / nExperts, chance: chance.share },
      toReach: { value: value.toReach, chance: chance.toReach },
    };
  });
}

/** From 2,000 random windows the distribution of one, and from it that of the mean of as many as the trace has. */
function chanceOf(
  { window, fraction, nExperts, topK }: { window: number; fraction: number; nExperts: number; topK: number },
  nWindows: number,
  options: SimulationOptions,
): Record<"distinct" | "share" | "toReach", Chance> {
  const windows = 2000;
  const uniform = seeded(options.seed ?? 0);
  const probabilities = { distinct: new Float64Array(nExperts + 1), toReach: new Float64Array(nExperts + 1) };
  for (let i = 0; i < windows; i++) {
    const counts = new Float64Array(nExperts);
    addUniformCounts(counts, window, topK, uniform);
    const { distinct, toReach } = measured(counts, fraction);
    probabilities.distinct[distinct]! += 1 / windows;
    probabilities.toReach[toReach]! += 1 / windows;
  }
  const values = Array.from({ length: nExperts + 1 }, (_, n) => n);
  const distinct = withMean(
    meanOfDraws(values, probabilities.distinct, nWindows, options),
    nWindows > 0 ? expectedDistinctExperts(nExperts, topK, window) : Number.NaN,
  );
  return {
    distinct,
    share: {
      ...distinct,
      mean: distinct.mean / nExperts,
      low: distinct.low / nExperts,
      high: distinct.high / nExperts,
    },
    toReach: { ...meanOfDraws(values, probabilities.toReach, nWindows, options), method: "simulated" },
  };
}

function windowStarts({ sequenceOffsets }: RoutingTrace, window: number): number[] {
  const starts: number[] = [];
  for (let s = 0; s + 1 < sequenceOffsets.length; s++)
    for (let at = sequenceOffsets[s]!; at + window <= sequenceOffsets[s + 1]!; at += window) starts.push(at);
  return starts;
}

interface Needed {
  distinct: number;
  toReach: number;
}

function measured(counts: Float64Array, fraction: number): Needed {
  const falling = counts.sort().toReversed();
  const total = falling.reduce((sum, n) => sum + n, 0);
  let [toReach, covered] = [0, 0];
  while (covered < fraction * total) covered += falling[toReach++]!;
  return { distinct: falling.reduce((n, count) => n + Number(count > 0), 0), toReach };
}

function average(starts: readonly number[], of: (start: number) => Needed): Record<keyof Needed, number> {
  let [distinct, toReach] = [0, 0];
  for (const start of starts) {
    const needed = of(start);
    distinct += needed.distinct / starts.length;
    toReach += needed.toReach / starts.length;
  }
  return starts.length > 0 ? { distinct, toReach } : { distinct: Number.NaN, toReach: Number.NaN };
}
