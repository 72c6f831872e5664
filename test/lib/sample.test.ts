import { describe, expect, test } from "vitest";
import { type SamplingOptions, sampleToken } from "../../lib/sample.ts";
import { seeded } from "../helpers.ts";

/** The definition: all tokens sorted, the first topK kept, of those the fewest that reach topP, then one by its share. */
function bySorting(
  logits: Float32Array,
  uniform: number,
  { temperature = 1, topK = Infinity, topP = 1 }: SamplingOptions,
): number {
  const kept = [...logits.keys()].sort((a, b) => logits[b]! - logits[a]! || a - b).slice(0, topK);
  if (temperature === 0) return kept[0]!;
  const odds = kept.map((id) => Math.exp((logits[id]! - logits[kept[0]!]!) / temperature));
  const total = odds.reduce((a, b) => a + b);
  let nucleus = 1;
  while (odds.slice(0, nucleus).reduce((a, b) => a + b) < topP * total && nucleus < kept.length) nucleus++;
  const mass = odds.slice(0, nucleus).reduce((a, b) => a + b);
  const drawn = odds.findIndex((_, i) => odds.slice(0, i + 1).reduce((a, b) => a + b) > uniform * mass);
  return kept[Math.min(drawn === -1 ? nucleus : drawn, nucleus - 1)]!;
}

describe.each<SamplingOptions>([
  {},
  { temperature: 0 },
  { temperature: 0.5 },
  { temperature: 3 },
  { topK: 1 },
  { topK: 7 },
  { topK: 10_000 },
  { topP: 0.01 },
  { topP: 0.9 },
  { topP: 0.5, topK: 5, temperature: 2 },
])("with %o", (options) => {
  test.each([1, 2, 9, 200])(
    "a token of %i is the one that sorting them all would draw, also among equals",
    (dVocab) => {
      const random = seeded(dVocab);
      for (let trial = 0; trial < 40; trial++) {
        const step = trial % 2 === 0 ? 1 : 1e-6; // whole logits are often equal
        const logits = Float32Array.from({ length: dVocab }, () => Math.round((8 * random()) / step) * step);
        const uniform = random();
        expect(sampleToken(logits, uniform, options)).toBe(bySorting(logits, uniform, options));
      }
    },
  );
});

test("a token that a mask rules out is never drawn", () => {
  const logits = Float32Array.of(-Infinity, 1, -Infinity, 2);
  for (let u = 0; u < 1; u += 1 / 64) expect([1, 3]).toContain(sampleToken(logits, u, { temperature: 2 }));
  expect([1, 3]).toContain(sampleToken(logits, 1 - 2 ** -53, {}));
});
