import { describe, expect, test } from "vitest";
import { jensenShannon } from "../../../lib/metrics/jensenShannon.ts";
import { domainLabels, type Labels, positionLabels, windowLabels } from "../../../lib/metrics/labels.ts";
import { seeded, type Uniform } from "../../../lib/metrics/random.ts";
import { specialization } from "../../../lib/metrics/specialization.ts";
import type { RoutingTrace } from "../../../lib/trace/record.ts";
import { randomTrace, SIX, traceOf } from "./traces.ts";

/** Top-1 routing of sequences of 20 tokens, each token by its domain's own distribution. */
function twoDomains(
  p: number[],
  q: number[],
  perDomain: number,
  uniform: Uniform,
): { trace: RoutingTrace; labels: Labels } {
  const draw = (shares: number[]): number => {
    let u = uniform();
    const expert = shares.findIndex((share) => (u -= share) < 0);
    return expert < 0 ? shares.length - 1 : expert;
  };
  const domains = Array.from({ length: 2 * perDomain }, (_, s) => (s % 2 === 0 ? "p" : "q"));
  const indices = domains.flatMap((domain) => Array.from({ length: 20 }, () => draw(domain === "p" ? p : q)));
  const sequenceOffsets = Int32Array.from({ length: domains.length + 1 }, (_, s) => 20 * s);
  const trace = traceOf({ nExperts: p.length, topK: 1, indices, sequenceOffsets, domains });
  return { trace, labels: domainLabels(trace) };
}

describe("specialization", () => {
  test("gives shares of tokens and of assignments by hand", () => {
    const labels = domainLabels(SIX, ["prose", "code"]);
    const [layer] = specialization(SIX, labels, { unit: "token", draws: 20 });
    expect(layer!.groups).toEqual(["prose", "code"]);
    expect([...layer!.assignmentShare[0]!]).toEqual([0.5, 0.25, 0.25]);
    expect([...layer!.tokenShare[0]!]).toEqual([1, 0.5, 0.5]);
    expect([...layer!.tokenShare[1]!]).toEqual([0.5, 0.75, 0.75]);
    expect(layer!.uniform).toEqual({ assignmentShare: 1 / 3, tokenShare: 2 / 3 });
    expect(layer!.value).toBeCloseTo(
      jensenShannon([
        [4, 2, 2],
        [2, 3, 3],
      ]),
      12,
    );
    expect(layer!.most).toBe(1);
  });

  test("weighs groups as told", () => {
    const labels = domainLabels(SIX, ["prose", "code"]);
    const [layer] = specialization(SIX, labels, { unit: "token", draws: 5, weights: [2, 4] });
    expect(layer!.value).toBeCloseTo(
      jensenShannon(
        [
          [4, 2, 2],
          [2, 3, 3],
        ],
        [2, 4],
      ),
      12,
    );
  });

  test("finds random routing within chance, and the chance near its known size", () => {
    let [inside, zero] = [0, 0];
    for (let seed = 1; seed <= 60; seed++) {
      const trace = randomTrace({ nExperts: 8, topK: 1, nTokens: 400, seed });
      const { value, chance, interval } = specialization(trace, windowLabels(trace, 100), { draws: 100 })[0]!;
      zero += Number(interval.low === 0);
      inside += Number(value >= chance.low && value <= chance.high);
      // Four groups of 100: about (4−1)(8−1) / (2 · 400 · ln 2).
      expect(chance.mean).toBeCloseTo(21 / (800 * Math.LN2), 2);
    }
    expect(inside).toBeGreaterThanOrEqual(51); // 57 expected, deviation 1.7; 100 draws widen it
    expect(zero).toBeGreaterThanOrEqual(51); // the interval knows that nothing may be there
  });

  test("covers the true divergence with its interval in about 95 of 100 samples, and without bias", () => {
    const [p, q] = [
      [0.4, 0.3, 0.2, 0.1],
      [0.1, 0.2, 0.3, 0.4],
    ];
    const truth = jensenShannon([p, q]);
    const uniform = seeded(9);
    let [covered, plain, unbiased] = [0, 0, 0];
    for (let i = 0; i < 100; i++) {
      const { trace, labels } = twoDomains(p, q, 20, uniform);
      const { value, corrected, interval } = specialization(trace, labels, { draws: 100 })[0]!;
      covered += Number(truth >= interval.low && truth <= interval.high);
      expect(corrected).toBeGreaterThanOrEqual(interval.low);
      expect(corrected).toBeLessThanOrEqual(interval.high);
      plain += (value - truth) / 100;
      unbiased += (corrected - truth) / 100;
    }
    expect(covered).toBeGreaterThanOrEqual(86);
    expect(Math.abs(unbiased)).toBeLessThan(plain / 3);
  });

  test("finds the difference that is there, beyond chance", () => {
    const { trace, labels } = twoDomains([0.7, 0.1, 0.1, 0.1], [0.1, 0.1, 0.1, 0.7], 10, seeded(1));
    const { value, chance, interval } = specialization(trace, labels)[0]!;
    expect(value).toBeGreaterThan(chance.high);
    expect(interval.low).toBeGreaterThan(0.1);
  });

  test("does not take the habits of whole texts for those of a domain", () => {
    // Each text keeps to one expert of its own. Shuffling texts knows that; shuffling tokens would call it a finding.
    const uniform = seeded(4);
    const indices = Array.from({ length: 12 }, () => Math.floor(uniform() * 6)).flatMap((e) =>
      Array.from({ length: 50 }, () => e),
    );
    const sequenceOffsets = Int32Array.from({ length: 13 }, (_, s) => 50 * s);
    const domains = Array.from({ length: 12 }, (_, s) => (s < 6 ? "a" : "b"));
    const trace = traceOf({ nExperts: 6, topK: 1, indices, sequenceOffsets, domains });
    const [texts] = specialization(trace, domainLabels(trace));
    const [tokens] = specialization(trace, domainLabels(trace), { unit: "token", draws: 50 });
    expect(texts!.value).toBe(tokens!.value);
    expect(texts!.value).toBeLessThanOrEqual(texts!.chance.high);
    expect(tokens!.value).toBeGreaterThan(10 * tokens!.chance.high);
  });

  test("reports one progress over all layers", () => {
    const trace = randomTrace({ nExperts: 4, topK: 2, nTokens: 20, layers: [3, 7] });
    const seen: [number, number][] = [];
    const layers = specialization(trace, windowLabels(trace, 10), { draws: 2, onProgress: (...at) => seen.push(at) });
    expect(layers.map(({ layer }) => layer)).toEqual([3, 7]);
    expect(seen).toEqual([1, 2, 3, 4, 5, 6, 7, 8].map((done) => [done, 8]));
  });

  test("refuses a group that has no spread, and texts with two labels", () => {
    const labels = domainLabels(SIX, ["prose", "code"]);
    expect(() => specialization(SIX, labels)).toThrow(
      'specialization: each label must have at least two sequences (or unit be "token", as if tokens of a text were independent), got 1 for "prose"',
    );
    expect(() => specialization(SIX, windowLabels(SIX, 5))).toThrow(
      'specialization: each label must have at least two tokens, got 1 for "5"',
    );
    expect(() => specialization(SIX, positionLabels(SIX), { unit: "sequence" })).toThrow(
      'specialization: unit must be "token" for labels that change within a sequence, got "sequence"',
    );
  });
});
