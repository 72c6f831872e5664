import { describe, expect, test } from "vitest";
import { capacityDrops } from "../../../lib/metrics/capacityDrops.ts";
import { everyChoice, mean, randomTrace, SIX, traceOf } from "./traces.ts";

describe("capacityDrops", () => {
  test("drops what comes to a full expert, by token or by rank", () => {
    // Four tokens, 2 of 4, capacity 2: (0,1)(0,2)(1,0)(0,1).
    const trace = traceOf({ nExperts: 4, topK: 2, indices: [0, 1, 0, 2, 1, 0, 0, 1] });
    const [byToken] = capacityDrops(trace, { capacityFactor: 1, draws: 5 });
    expect(byToken!.dropped.value).toBe(3 / 8);
    expect([...byToken!.byPosition]).toEqual([0, 0, 0.5, 1]);
    expect([...byToken!.bySlot]).toEqual([0.25, 0.5]);
    // By rank: firsts 0,0,1,(0); seconds 1,2,(0),(1).
    const [byRank] = capacityDrops(trace, { capacityFactor: 1, order: "rank", draws: 5 });
    expect([...byRank!.byPosition]).toEqual([0, 0, 0.5, 1]);
    expect([...byRank!.bySlot]).toEqual([0.25, 0.5]);
    expect(byRank!.dropped.value).toBe(3 / 8);
    expect(byRank!.chanceByPosition).toBeNull();
  });

  test("gives each sequence its own capacity", () => {
    // Sequences of 2 and 4 tokens, capacities ceil(2·2/3) = 2 and ceil(2·4/3) = 3: 4 slots and at most 3 an expert fit.
    expect(capacityDrops(SIX, { capacityFactor: 1, draws: 5 })[0]!.dropped.value).toBe(0);
    const [layer] = capacityDrops(SIX, { capacityFactor: 0.5, draws: 5 });
    // Capacities 1 and 2. (0,1)(0×,2) | (1,0)(2,1)(2,0)(1×,2×).
    expect([...layer!.byPosition]).toEqual([0, 0.25, 0, 1]);
    expect(layer!.dropped.value).toBe(3 / 12);
  });

  test("has the chance that counting all routings gives, in all and by position", () => {
    const sets = everyChoice(3, 2);
    const routings = sets.flatMap((a) => sets.flatMap((b) => sets.map((c) => [a, b, c].flat())));
    const all = routings.map(
      (indices) => capacityDrops(traceOf({ nExperts: 3, topK: 2, indices }), { capacityFactor: 1, draws: 2 })[0]!,
    );
    const { chance } = all[0]!.dropped;
    expect(chance.mean).toBeCloseTo(mean(all.map(({ dropped }) => dropped.value)), 12);
    for (const t of [0, 1, 2])
      expect(all[0]!.chanceByPosition![t]).toBeCloseTo(mean(all.map(({ byPosition }) => byPosition[t]!)), 12);
  });

  test("finds random routers within chance", () => {
    let inside = 0;
    for (let seed = 1; seed <= 40; seed++) {
      const trace = randomTrace({ nExperts: 16, topK: 4, nTokens: 256, seed });
      const { value, chance } = capacityDrops(trace, { capacityFactor: 1 })[0]!.dropped;
      inside += Number(value >= chance.low && value <= chance.high);
    }
    expect(inside).toBeGreaterThanOrEqual(33); // 38 expected
  });

  test("drops nothing where one expert can take every token", () => {
    const trace = traceOf({ nExperts: 4, topK: 1, indices: [2, 2, 2, 2] });
    expect(capacityDrops(trace, { capacityFactor: 4, draws: 2 })[0]!.dropped.value).toBe(0);
    expect(capacityDrops(trace, { capacityFactor: 1, draws: 2 })[0]!.dropped.value).toBe(0.75);
    expect(
      capacityDrops(traceOf({ nExperts: 4, topK: 1, indices: [] }), { capacityFactor: 1, draws: 2 })[0]!.dropped.value,
    ).toBeNaN();
  });

  test("refuses a factor that is none, and ranks that were not kept", () => {
    expect(() => capacityDrops(SIX, { capacityFactor: 0 })).toThrow(
      "capacityDrops: capacityFactor must be a number above 0, got 0",
    );
    expect(() => capacityDrops({ ...SIX, rankOrdered: false }, { capacityFactor: 1, order: "rank" })).toThrow(
      "capacityDrops: the trace must keep the experts in order of preference",
    );
  });
});
