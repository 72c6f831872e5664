import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { compare, overSeeds, summaryOf, tokensToReach } from "../../../scripts/studies/summary.ts";
import type { StudyRecord } from "../../../scripts/studies/trainVariant.ts";

const probesOf = (losses: readonly number[]): StudyRecord["probes"] =>
  losses.map((natsPerToken, i) => ({
    step: 10 ** i,
    tokens: 100 * 10 ** i,
    natsPerToken,
    bitsPerByte: {},
    layers: [],
  }));
const recordOf = (name: string, seed: number, losses: readonly number[]): StudyRecord => ({
  name,
  seed,
  run: {},
  seconds: 1,
  curve: [],
  probes: probesOf(losses),
});

describe("what the studies sum up", () => {
  test("a mean over three seeds has an interval of 4.303 standard errors, one seed has none", () => {
    // 1, 2, 3: deviation 1, standard error 1/√3.
    const { mean, low, high, values } = overSeeds([1, 2, 3]);
    expect([mean, values]).toEqual([2, [1, 2, 3]]);
    expect(low).toBeCloseTo(2 - 4.303 / Math.sqrt(3), 4);
    expect(high).toBeCloseTo(2 + 4.303 / Math.sqrt(3), 4);
    expect(overSeeds([4])).toEqual({ mean: 4, low: null, high: null, values: [4] });
  });

  test("the tokens for a loss lie between two readings, straight over their logarithm", () => {
    const probes = probesOf([8, 6, 4]); // at 100, 1,000 and 10,000 tokens
    expect(tokensToReach(probes, 5)).toBeCloseTo(1000 * Math.sqrt(10), 6);
    expect([8.5, 8, 6, 4, 3.9].map((target) => tokensToReach(probes, target))).toEqual([
      100,
      100,
      expect.closeTo(1000, 6),
      expect.closeTo(10_000, 6),
      Number.POSITIVE_INFINITY,
    ]);
    // A loss that rises again was reached where it first was.
    expect(tokensToReach(probesOf([8, 4, 6]), 4)).toBeCloseTo(1000, 6);
  });

  test("models are compared seed by seed: the ratio of tokens is taken at the worse of their last losses", () => {
    const records = [
      recordOf("a", 1, [8, 6, 4]),
      recordOf("a", 2, [8, 6, 5]),
      recordOf("a", 3, [8, 7, 6]),
      recordOf("b", 1, [8, 7, 6]), // 6 after 10,000 tokens, which a has after 1,000
      recordOf("b", 2, [8, 6, 4]), // here b is ahead: 5 after 1,000·√10 against 10,000
    ];
    const { seeds, difference, tokensRatio } = compare(records, "a", "b");
    expect(seeds).toEqual([1, 2]);
    expect(difference.values).toEqual([-2, 1]);
    expect(tokensRatio.values).toEqual([10, expect.closeTo(1 / Math.sqrt(10), 5)]);
  });

  test("is in the committed file what the committed records give", async () => {
    const folder = fileURLToPath(new URL("../../../models/studies", import.meta.url));
    const read = async <T>(path: string): Promise<T> => JSON.parse(await readFile(join(folder, path), "utf8")) as T;
    const summary = await read<{ models: { name: string; seeds: number[] }[] }>("summary.json");
    const files = summary.models.flatMap(({ name, seeds }) => seeds.map((seed) => `${name}-${seed}.json`));
    expect((await readdir(join(folder, "runs"))).sort()).toEqual([...files].sort());
    const records: StudyRecord[] = [];
    for (const file of files) records.push(await read<StudyRecord>(`runs/${file}`));
    expect(summaryOf(records)).toEqual(summary);
  });
});
