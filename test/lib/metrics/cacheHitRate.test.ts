import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type CachePolicy, cacheHitRate } from "../../../lib/metrics/cacheHitRate.ts";
import { randomTrace, traceOf } from "./traces.ts";

function rate(experts: readonly number[], nExperts: number, capacity: number, policy: CachePolicy): number {
  const trace = traceOf({ nExperts, topK: 1, indices: experts });
  return cacheHitRate(trace, { capacity, policy, draws: 2 })[0]!.value;
}

/** The most hits that any choice of whom to evict can give, by trying them all. */
function bestHits(experts: readonly number[], capacity: number, cache: readonly number[] = []): number {
  const [expert, ...rest] = experts;
  if (expert === undefined) return 0;
  if (cache.includes(expert)) return 1 + bestHits(rest, capacity, cache);
  if (cache.length < capacity) return bestHits(rest, capacity, [...cache, expert]);
  return Math.max(...cache.map((out) => bestHits(rest, capacity, [...cache.filter((e) => e !== out), expert])));
}

const accesses = fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 1, maxLength: 9 });

describe("cacheHitRate", () => {
  test("follows each policy by hand", () => {
    // A cache of two and 0 1 0 2 …: LRU and LFU both put 1 out for 2; then 1 puts out 0 (LRU) or 2 (LFU).
    const asked = [0, 1, 0, 2, 1, 0];
    expect(rate(asked, 3, 2, "lru")).toBe(1 / 6);
    expect(rate(asked, 3, 2, "lfu")).toBe(2 / 6);
    expect(rate(asked, 3, 2, "belady")).toBe(2 / 6);
  });

  test("has in Belady's the best that any choice can give", () => {
    fc.assert(
      fc.property(accesses, fc.integer({ min: 1, max: 3 }), (experts, capacity) => {
        const best = rate(experts, 4, capacity, "belady") * experts.length;
        expect(best).toBeCloseTo(bestHits(experts, capacity), 9);
        for (const policy of ["lru", "lfu"] as const)
          expect(rate(experts, 4, capacity, policy) * experts.length).toBeLessThanOrEqual(best + 1e-9);
      }),
    );
  });

  test("misses each expert once where all fit, whatever the policy and the experts' names", () => {
    fc.assert(
      fc.property(accesses, fc.constantFrom("lru" as const, "lfu" as const, "belady" as const), (experts, policy) => {
        const all = rate(experts, 4, 4, policy) * experts.length;
        expect(all).toBeCloseTo(experts.length - new Set(experts).size, 9);
        const renamed = experts.map((e) => 3 - e);
        expect(rate(renamed, 4, 2, policy)).toBe(rate(experts, 4, 2, policy));
      }),
    );
  });

  test("grows with an LRU cache that grows", () => {
    const experts = [...randomTrace({ nExperts: 8, topK: 1, nTokens: 300 }).expertIndices];
    const rates = [1, 2, 3, 4, 5, 6, 7, 8].map((capacity) => rate(experts, 8, capacity, "lru"));
    for (const [i, one] of rates.entries()) if (i > 0) expect(one).toBeGreaterThanOrEqual(rates[i - 1]!);
  });

  test.each([
    { nExperts: 16, topK: 4, capacity: 8 },
    { nExperts: 64, topK: 8, capacity: 16 },
  ])("gives a random router of $topK of $nExperts the closed form of a warm LRU cache", (given) => {
    const { nExperts, topK, capacity } = given;
    const trace = randomTrace({ ...given, nTokens: 2000, seed: 3 });
    const { value, chance } = cacheHitRate(trace, { capacity })[0]!;
    const slots = Array.from({ length: topK }, (_, s) => (capacity - s) / (nExperts - s));
    const warm = slots.reduce((sum, p) => sum + p, 0) / topK;
    expect(chance.uniform.mean).toBeCloseTo(warm, 2);
    expect(chance.shuffled.mean).toBeCloseTo(warm, 2);
    expect(value).toBeCloseTo(warm, 1.7);
  });

  test("sets locality apart from uneven load", () => {
    const blocks = Array.from({ length: 400 }, (_, t) => Math.floor(t / 40) % 8);
    const { value, chance } = cacheHitRate(traceOf({ nExperts: 8, topK: 1, indices: blocks }), { capacity: 2 })[0]!;
    expect(value).toBeGreaterThan(0.95);
    expect(chance.shuffled.high).toBeLessThan(0.35);
  });

  test("refuses a capacity that no cache has, and has no rate without tokens", () => {
    const trace = randomTrace({ nExperts: 4, topK: 2, nTokens: 3 });
    expect(() => cacheHitRate(trace, { capacity: 5 })).toThrow(
      "cacheHitRate: capacity must be a whole number from 1 to nExperts (4), got 5",
    );
    expect(() => cacheHitRate(trace, { capacity: 0 })).toThrow(RangeError);
    expect(rate([], 3, 1, "lru")).toBeNaN();
  });
});
