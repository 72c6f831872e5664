import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import * as metrics from "../../lib/metrics/index.ts";
import { docstrings } from "../../scripts/docs/docstrings.ts";
import { exampleResults } from "../../scripts/docs/examples.ts";
import { GROUPS, referencePage, resultsIn, withoutResults } from "../../scripts/docs/page.ts";
import { PAGE } from "../../scripts/docs.ts";

const page = readFileSync(PAGE, "utf8");
const listed = GROUPS.flatMap((group) => group.metrics);

test("docs/metrics.md says what the docstrings say (npm run docs writes it)", () => {
  expect(withoutResults(page)).toBe(withoutResults(referencePage(new Map())));
});

test("docs/metrics.md has every exported function that is a metric, which its docstring's formula tells", () => {
  const { functions } = docstrings();
  const exported = Object.keys(metrics).filter((name) => functions.get(name)?.tags.has("formula"));
  expect([...listed].sort()).toEqual(exported.sort());
});

test("docs/metrics.md names the quantities that a metric gives", () => {
  const [, load] = page.split("### loadStatistics");
  expect(load!.split("###")[0]).toMatch(/^- `maxVio`: Largest count over mean, less 1\.$/m);
  for (const name of ["coactivation", "transitions", "specialization", "saliency"])
    expect(page.split(`### ${name}\n`)[1]!.split("###")[0], name).toContain("Gives:");
});

/** Other kernels round otherwise, which may send a token elsewhere: numbers may differ a little. */
const NUMBER = /-?\d+(?:\.\d+)?(?:e-?\d+)?/g;

test("docs/metrics.md shows what the shipped model gives now (npm run docs writes it)", async () => {
  const [shown, given] = [resultsIn(page), [...(await exampleResults()).values()]];
  expect(given).toHaveLength(listed.length);
  for (const [i, text] of given.entries()) {
    expect(shown[i]!.replace(NUMBER, "0"), listed[i]).toBe(text.replace(NUMBER, "0"));
    const [before, now] = [shown[i]!, text].map((one) => (one.match(NUMBER) ?? []).map(Number));
    for (const [n, value] of now!.entries())
      expect(Math.abs(value - before![n]!), `${listed[i]}: ${text}`).toBeLessThanOrEqual(0.05 * Math.abs(value) + 0.05);
  }
});
