import type { RoutingTrace } from "../trace/record.ts";
import { type Measure, type SimulationOptions, simulate, withMean } from "./chance.ts";
import { choices } from "./choices.ts";
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
 * Coverage of the experts by windows of consecutive tokens, which lie one after another within sequences; tokens that do
 * not fill one are left out. Uniform routing reaches E (1 − (1 − k/E)^window) different ones, exactly. NaN without windows.
 * @throws RangeError for a window that is no whole number, or a fraction outside 0 … 1
 * @example coverage(trace, { window: 8 })[0].distinct // { value: 9.1, chance: { mean: 14.4, … } }
 */
export function coverage(
  trace: RoutingTrace,
  { window, fraction = 0.9, draws = 200, ...simulation }: CoverageOptions,
): Coverage[] {
  if (!Number.isInteger(window) || window < 1)
    throw new RangeError(`coverage: window must be a whole number of at least 1, got ${window}`);
  if (!(fraction > 0 && fraction <= 1))
    throw new RangeError(`coverage: fraction must be above 0 and at most 1, got ${fraction}`);
  const byLayer = choices("coverage", trace);
  const starts = windowStarts(trace, window);
  const { nExperts, topK } = trace;
  const chance = simulate(
    "simulated",
    (uniform) =>
      average(starts, () => {
        const counts = new Float64Array(nExperts);
        addUniformCounts(counts, window, topK, uniform);
        return measured(counts, fraction);
      }),
    { draws, ...simulation },
  );
  const distinct = withMean(
    chance.distinct,
    starts.length > 0 ? nExperts * (1 - (1 - topK / nExperts) ** window) : Number.NaN,
  );
  const share = {
    ...distinct,
    mean: distinct.mean / nExperts,
    low: distinct.low / nExperts,
    high: distinct.high / nExperts,
  };
  return byLayer.map(({ layer, experts }) => {
    const value = average(starts, (start) => {
      const counts = new Float64Array(nExperts);
      for (let i = start * topK; i < (start + window) * topK; i++) counts[experts[i]!]! += 1;
      return measured(counts, fraction);
    });
    return {
      layer,
      nWindows: starts.length,
      distinct: { value: value.distinct, chance: distinct },
      share: { value: value.distinct / nExperts, chance: share },
      toReach: { value: value.toReach, chance: chance.toReach },
    };
  });
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
