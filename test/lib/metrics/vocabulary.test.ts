import { describe, expect, test } from "vitest";
import { seeded } from "../../../lib/metrics/random.ts";
import { vocabulary } from "../../../lib/metrics/vocabulary.ts";
import { randomTrace, traceOf } from "./traces.ts";

// Ids 7 7 9 | 7 9, top-2 of 4: (0,1)(1,2)(3,0)(1,0)(3,2).
const FIVE = traceOf({
  nExperts: 4,
  topK: 2,
  indices: [0, 1, 1, 2, 3, 0, 1, 0, 3, 2],
  tokenIds: Int32Array.from([7, 7, 9, 7, 9]),
  sequenceOffsets: Int32Array.from([0, 3, 5]),
});

/** Few common and many rare ids, as in a text. */
function zipfIds(n: number, seed: number): Int32Array {
  const uniform = seeded(seed);
  return Int32Array.from({ length: n }, () => Math.floor(200 ** uniform()));
}

describe("vocabulary", () => {
  test("finds the commonest expert of each input id", () => {
    const [layer] = vocabulary(FIVE, { draws: 5 });
    expect([...layer!.ids]).toEqual([7, 9]);
    expect([...layer!.seen]).toEqual([3, 2]);
    expect([...layer!.expert]).toEqual([1, 3]);
    expect([...layer!.share]).toEqual([1, 1]);
    const [first] = vocabulary(FIVE, { choice: "first", draws: 5 });
    expect([...first!.share]).toEqual([2 / 3, 1]);
    expect(first!.mean.value).toBeCloseTo(5 / 6, 12);
    // Seen twice, one of four: two choices are the same with 1/4, so 1/4 · 1 + 3/4 · 1/2.
    expect(first!.corrected[1]).toBeCloseTo(1 - 5 / 8, 12);
  });

  test("holds the true next id and the predicted one against the same experts", () => {
    const [next] = vocabulary(FIVE, { grouping: "next", draws: 5 });
    // Nexts within sequences: 7←(0,1), 9←(1,2), 9←(1,0).
    expect([[...next!.ids], [...next!.seen], [...next!.expert]]).toEqual([
      [7, 9],
      [1, 2],
      [0, 1],
    ]);
    const gap = vocabulary({ ...FIVE, positions: Int32Array.from([0, 2, 3, 0, 1]) }, { grouping: "next", draws: 5 });
    expect([...gap[0]!.seen]).toEqual([2]);
    const [predicted] = vocabulary(FIVE, { grouping: "predicted", predictedIds: [4, 4, 4, 5, 5], draws: 5 });
    expect([[...predicted!.ids], [...predicted!.seen]]).toEqual([
      [4, 5],
      [3, 2],
    ]);
  });

  test("leaves out ids that were seen too seldom", () => {
    expect([...vocabulary(FIVE, { minSeen: 3, draws: 5 })[0]!.ids]).toEqual([7]);
    expect(vocabulary(FIVE, { minSeen: 4, draws: 5 })[0]!.mean.value).toBeNaN();
  });

  test.each([
    { nExperts: 64, topK: 8 },
    { nExperts: 16, topK: 4 },
    { nExperts: 8, topK: 1 },
  ])("takes a random router of $topK of $nExperts for what it is, whatever its plain number", (size) => {
    let [insideUniform, insideShuffled] = [0, 0];
    for (let seed = 1; seed <= 20; seed++) {
      const trace = randomTrace({ ...size, nTokens: 600, seed }, { tokenIds: zipfIds(600, 1000 + seed) });
      const { value, corrected, chance } = vocabulary(trace, { draws: 60, seed })[0]!.mean;
      insideUniform += Number(value >= chance.uniform.low && value <= chance.uniform.high);
      insideShuffled += Number(value >= chance.shuffled.low && value <= chance.shuffled.high);
      expect(value).toBeGreaterThan(1.5 * (size.topK / size.nExperts));
      expect(Math.abs(corrected)).toBeLessThan(0.04);
    }
    expect(insideUniform).toBeGreaterThanOrEqual(15);
    expect(insideShuffled).toBeGreaterThanOrEqual(15);
  });

  test("finds ids that have experts of their own beyond chance", () => {
    const tokenIds = zipfIds(600, 3);
    const trace = traceOf({ nExperts: 16, topK: 1, indices: tokenIds.map((id) => (id * 7) % 16), tokenIds });
    const { value, corrected, chance } = vocabulary(trace)[0]!.mean;
    expect(value).toBe(1);
    expect(value).toBeGreaterThan(chance.shuffled.high);
    expect(corrected).toBeGreaterThan(0.1);
  });

  test("refuses what it has no ids for", () => {
    expect(() => vocabulary({ ...FIVE, tokenIds: new Int32Array(5).fill(-1) })).toThrow(
      "vocabulary: the trace must hold the token ids, got one whose recorder kept none (-1)",
    );
    expect(() => vocabulary(FIVE, { grouping: "predicted" })).toThrow(
      "vocabulary: predictedIds must hold one id for each token (5), got none",
    );
    expect(() => vocabulary(FIVE, { grouping: "predicted", predictedIds: [1] })).toThrow("(5), got 1");
    expect(() => vocabulary(FIVE, { minSeen: 0 })).toThrow("minSeen must be a whole number of at least 1, got 0");
    expect(() => vocabulary({ ...FIVE, rankOrdered: false }, { choice: "first" })).toThrow("order of preference");
  });
});
