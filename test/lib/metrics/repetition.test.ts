import { describe, expect, test } from "vitest";
import { type RepetitionMeasure, repetition } from "../../../lib/metrics/repetition.ts";
import { everyChoice, mean, randomTrace, SIX, traceOf } from "./traces.ts";

const MEASURES: RepetitionMeasure[] = ["firstChoice", "anyOverlap", "meanOverlap", "jaccard"];

describe("repetition", () => {
  test("compares each token with the next of its sequence", () => {
    // (0,1)(0,2) | (1,0)(2,1)(2,0)(1,2): pairs share 0 first; 1; 2 first; 2. Each shares one of two.
    const [layer] = repetition(SIX, { draws: 10 });
    expect(layer!.nPairs).toBe(4);
    expect(layer!.firstChoice!.value).toBe(2 / 4);
    expect(layer!.anyOverlap!.value).toBe(1);
    expect(layer!.meanOverlap!.value).toBe(0.5);
    expect(layer!.jaccard!.value).toBeCloseTo(1 / 3, 12);
  });

  test("does not pair tokens that were not next to each other", () => {
    const [layer] = repetition({ ...SIX, positions: Int32Array.from([0, 1, 4, 5, 9, 10]) }, { draws: 10 });
    expect(layer!.nPairs).toBe(3);
    expect(layer!.firstChoice!.value).toBe(1 / 3); // 0→1, 2→3 and 4→5: only the first keeps its first choice
  });

  test.each([
    // Any overlap as published: Mixtral's table 5 has 46.4 %, DBRX would have 72.8 %, OLMoE 67.9 %.
    { nExperts: 8, topK: 2, any: 0.464 },
    { nExperts: 16, topK: 4, any: 0.728 },
    { nExperts: 64, topK: 8, any: 0.679 },
  ])("finds a random router of $topK of $nExperts within every chance", ({ nExperts, topK, any }) => {
    const inside: Record<string, number> = {};
    for (let seed = 1; seed <= 40; seed++) {
      const trace = randomTrace({ nExperts, topK, nTokens: 400, seed });
      const [layer] = repetition(trace, { draws: 100, seed });
      for (const name of MEASURES)
        for (const kind of ["uniform", "shuffled"] as const) {
          const { value, chance } = layer![name]!;
          const within = value >= chance[kind].low && value <= chance[kind].high;
          inside[`${name} ${kind}`] = (inside[`${name} ${kind}`] ?? 0) + Number(within);
        }
      expect(layer!.anyOverlap!.chance.uniform.mean).toBeCloseTo(any, 3);
    }
    for (const [name, n] of Object.entries(inside)) expect(n, name).toBeGreaterThanOrEqual(32); // 38 expected
  });

  test("has the chance that counting all choices gives", () => {
    const sets = everyChoice(5, 2);
    const of = (value: (set: number[]) => number): number => mean(sets.map(value));
    const shared = (set: number[]): number => set.filter((e) => e < 2).length;
    const [layer] = repetition(randomTrace({ nExperts: 5, topK: 2, nTokens: 30 }), { draws: 10 });
    const chance = (name: RepetitionMeasure): number => layer![name]!.chance.uniform.mean;
    expect(chance("firstChoice")).toBeCloseTo(
      of((set) => Number(set[0] === 0)),
      12,
    );
    expect(chance("anyOverlap")).toBeCloseTo(
      of((set) => Number(shared(set) > 0)),
      12,
    );
    expect(chance("meanOverlap")).toBeCloseTo(
      of((set) => shared(set) / 2),
      12,
    );
    expect(chance("jaccard")).toBeCloseTo(
      of((set) => shared(set) / (4 - shared(set))),
      12,
    );
  });

  test("knows that uneven load alone repeats, by the sum of squares and by shuffling", () => {
    // First choices 3/4 expert 0 and 1/4 expert 1, drawn without memory: 9/16 + 1/16.
    const long = randomTrace({ nExperts: 4, topK: 1, nTokens: 20_000 });
    const trace = { ...long, expertIndices: long.expertIndices.map((e) => (e < 3 ? 0 : 1)) };
    const { value, chance } = repetition(trace, { draws: 50 })[0]!.firstChoice!;
    expect(chance.sumOfSquares).toBeCloseTo(10 / 16, 2);
    expect(chance.shuffled.mean).toBeCloseTo(chance.sumOfSquares!, 3);
    expect(value).toBeGreaterThanOrEqual(chance.shuffled.low);
    expect(value).toBeLessThanOrEqual(chance.shuffled.high);
    expect(chance.uniform.mean).toBe(0.25);
  });

  test("has a sum of squares for overlaps too, which shuffling meets", () => {
    const trace = randomTrace({ nExperts: 8, topK: 2, nTokens: 4000, seed: 3 });
    const skewed = { ...trace, expertIndices: trace.expertIndices.map((e, i) => (i % 2 === 0 ? e % 3 : 3 + (e % 5))) };
    const { chance } = repetition(skewed, { draws: 50 })[0]!.meanOverlap!;
    expect(chance.sumOfSquares).toBeCloseTo(chance.shuffled.mean, 3);
    expect(repetition(skewed, { draws: 2 })[0]!.jaccard!.chance.sumOfSquares).toBeNull();
  });

  test("finds what keeps its experts, beyond every chance", () => {
    const indices = Array.from({ length: 200 }, (_, t) => [
      Math.floor(t / 20) % 8,
      8 + (Math.floor(t / 20) % 8),
    ]).flat();
    const [layer] = repetition(traceOf({ nExperts: 16, topK: 2, indices }));
    for (const name of MEASURES) {
      const { value, chance } = layer![name]!;
      expect(value).toBeGreaterThan(Math.max(chance.uniform.high, chance.shuffled.high));
    }
  });

  test("refuses first choices without rank order, and gives the rest", () => {
    const unordered = { ...SIX, rankOrdered: false };
    expect(() => repetition(unordered)).toThrow("repetition: the trace must keep the experts in order of preference");
    const [layer] = repetition(unordered, { measures: ["jaccard"], draws: 5 });
    expect(Object.keys(layer!)).toEqual(["layer", "nPairs", "jaccard"]);
  });

  test("is not a number where no token has a next one", () => {
    const [layer] = repetition(traceOf({ nExperts: 3, topK: 1, indices: [1] }), { draws: 5 });
    expect(layer!.nPairs).toBe(0);
    for (const name of MEASURES) expect(layer![name]!.value).toBeNaN();
  });
});
