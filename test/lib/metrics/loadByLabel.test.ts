import { describe, expect, test } from "vitest";
import { domainLabels, windowLabels } from "../../../lib/metrics/labels.ts";
import { loadByLabel } from "../../../lib/metrics/loadByLabel.ts";
import { SIX } from "./traces.ts";

describe("loadByLabel", () => {
  test("counts each group by itself and sums to the whole", () => {
    const loads = loadByLabel(SIX, domainLabels(SIX, ["prose", "code"]), { draws: 10 });
    expect(loads.map(({ group, layer, nTokens }) => ({ group, layer, nTokens }))).toEqual([
      { group: "prose", layer: 0, nTokens: 2 },
      { group: "code", layer: 0, nTokens: 4 },
    ]);
    expect([...loads[0]!.share]).toEqual([0.5, 0.25, 0.25]);
    expect([...loads[1]!.share]).toEqual([0.25, 0.375, 0.375]);
  });

  test("gives smaller groups a wider chance", () => {
    const [prose, code] = loadByLabel(SIX, domainLabels(SIX, ["prose", "code"]));
    expect(prose!.chance.cv.mean).toBeGreaterThan(code!.chance.cv.mean);
  });

  test("refuses labels of another trace, stray ones and empty groups", () => {
    const labels = windowLabels(SIX, 3);
    expect(() => loadByLabel(SIX, { ...labels, of: labels.of.slice(1) })).toThrow(
      "loadByLabel: there must be one label for each token (6), got 5",
    );
    expect(() => loadByLabel(SIX, { ...labels, of: labels.of.map((label) => label + 1) })).toThrow(
      "loadByLabel: a label must be from 0 to 1, got 2",
    );
    expect(() => loadByLabel(SIX, { ...labels, names: [...labels.names, "none"] })).toThrow(
      'loadByLabel: every label must have a token, got none for "none"',
    );
  });
});
