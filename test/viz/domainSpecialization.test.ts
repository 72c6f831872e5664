import { describe, expect, test } from "vitest";
import { tokenClassLabels, windowLabels } from "../../lib/metrics/labels.ts";
import { specialization } from "../../lib/metrics/specialization.ts";
import type { RoutingTrace } from "../../lib/trace/record.ts";
import { domainSpecialization } from "../../viz/domainSpecialization.ts";
import { byLine, largeTrace, seeded, TWO_KINDS } from "./samples.ts";

describe("domainSpecialization", () => {
  test("draws two kinds of text", async () => {
    const { svg } = domainSpecialization(TWO_KINDS, { draws: 200 });
    await expect(byLine(svg)).toMatchFileSnapshot("snapshots/domainSpecialization.svg");
  });

  test("compares each kind's share of assignments with the pooled share", () => {
    // Prose: expert 0 on every token, the second choice 1; code: expert 3 and expert 1.
    const { data } = domainSpecialization(TWO_KINDS, { draws: 200 });
    expect(data.domains).toEqual(["prose", "code"]);
    expect([...data.share]).toEqual([0.5, 0.5, 0, 0, 0, 0.5, 0, 0.5]);
    expect([...data.pooled]).toEqual([0.25, 0.5, 0, 0.25]);
    expect([data.nTokens, data.nUnits]).toEqual([
      [12, 12],
      [6, 6],
    ]);
  });

  test("says how much of that shuffled labels give", () => {
    const { data, text } = domainSpecialization(TWO_KINDS, { draws: 400 });
    // With 6 of 12 texts shuffled into each kind, all prose in one (2 ways in 924) is far outside the 95 %.
    expect(data.low[0]).toBeGreaterThan(0);
    expect(data.high[0]).toBeLessThan(0.5);
    expect([data.low[1], data.high[1]]).toEqual([0.5, 0.5]);
    // Half of each distribution is shared: half a bit.
    expect(data.divergence).toBeCloseTo(0.5, 12);
    expect(text).toContain("4 of 8 bars beyond the shuffled 95 %; divergence 0.500 bits, shuffled 0.0");
    expect(text).toContain("prose: expert 0 with 50.0 %, 2.0 × as pooled");
  });

  test("agrees with the metric on the divergence and the shares", () => {
    const trace = largeTrace(120, 8, 2, 2);
    const labels = windowLabels(trace, 40);
    const { data } = domainSpecialization(trace, { layer: 1, labels, draws: 2 });
    const metric = specialization(trace, labels, { draws: 2 })[1]!;
    expect(data.divergence).toBeCloseTo(metric.value, 12);
    expect([...data.share]).toEqual(metric.assignmentShare.flatMap((row) => [...row]));
  });

  test("finds about one bar in twenty beyond chance where labels mean nothing", () => {
    const trace = largeTrace(600, 16, 4, 1);
    const random = seeded(5);
    const of = Int32Array.from({ length: 600 }, () => Math.floor(4 * random()));
    const { data } = domainSpecialization(trace, { labels: { names: ["a", "b", "c", "d"], of, unit: "token" } });
    const beyond = data.share.filter((s, i) => s < data.low[i]! || s > data.high[i]!).length;
    expect(beyond).toBeLessThan(12);
  });

  test("takes any labels, and says what was shuffled", () => {
    const figure = domainSpecialization(largeTrace(300, 8, 2, 1), {
      labels: tokenClassLabels(largeTrace(300, 8, 2, 1)),
      draws: 20,
    });
    expect(figure.data.unit).toBe("token");
    expect(figure.bundle()["text/html"]).toContain("shuffling the labels of single tokens gives");
  });

  test("refuses labels that it cannot shuffle, and more kinds than fit", () => {
    const one: RoutingTrace = { ...TWO_KINDS, domains: ["code", ...Array.from({ length: 11 }, () => "prose")] };
    expect(() => domainSpecialization(one)).toThrow(
      /^domainSpecialization: each label must have at least two sequences/,
    );
    const { domains: _, ...without } = TWO_KINDS;
    expect(() => domainSpecialization(without)).toThrow(
      "domainLabels: there must be one domain for each sequence (12), got 0",
    );
    const wide = largeTrace(100, 128, 8, 1);
    expect(() => domainSpecialization(wide, { labels: windowLabels(wide, 10) })).toThrow(
      "domainSpecialization: labels must have at most 8 kinds for 128 experts, got",
    );
    expect(() => domainSpecialization(TWO_KINDS, { draws: 1 })).toThrow(
      "domainSpecialization: draws must be a whole number from 2 to 100000, got 1",
    );
  });
});
