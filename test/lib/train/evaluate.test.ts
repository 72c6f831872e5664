import { beforeAll, describe, expect, test } from "vitest";
import { useBackend } from "../../../lib/backend.ts";
import type { MoeModel } from "../../../lib/model.ts";
import { textLoss } from "../../../lib/train/evaluate.ts";
import { expectNoLeak, randomModel, seeded, TINY } from "../../helpers.ts";

describe("textLoss", () => {
  let model: MoeModel;
  beforeAll(async () => {
    await useBackend();
    model = randomModel(TINY, 3, 1.5);
    return () => model.dispose();
  });

  /** −ln of each token's probability but the first's, from what stands before it in its window; in double precision. */
  function plainLosses(tokens: readonly number[], pos: number): number[] {
    const losses: number[] = [];
    for (let start = 0; start < tokens.length - 1; start += pos) {
      const window = tokens.slice(start, Math.min(start + pos, tokens.length - 1));
      const logits = model.run(window);
      for (const [p, row] of logits.arraySync()[0]!.entries()) {
        const most = Math.max(...row);
        const total = row.reduce((sum, x) => sum + Math.exp(x - most), 0);
        losses.push(Math.log(total) + most - row[tokens[start + p + 1]!]!);
      }
      logits.dispose();
    }
    return losses;
  }

  test.each([
    ["whole windows", 33, 8, 2],
    ["a shorter last window", 39, 8, 2],
    ["a batch that is not full, and a shorter last window", 30, 4, 3],
    ["less than a window", 5, 8, 2],
    ["two tokens", 2, 8, 8],
    ["windows of one token", 7, 1, 4],
    ["a window as long as the context", 64, 32, 8],
  ])("predicts every token but the first once: %s", (_, length, pos, batch) => {
    const random = seeded(length);
    const tokens = Array.from({ length }, () => Math.floor(23 * random()));
    const losses = plainLosses(tokens, pos);
    expect(losses).toHaveLength(length - 1);
    const { natsPerToken, nTokens } = textLoss(model, tokens, pos, batch);
    expect(nTokens).toBe(length - 1);
    expect(natsPerToken).toBeCloseTo(losses.reduce((a, b) => a + b) / losses.length, 4);
  });

  test("takes a typed array, and leaves no tensor behind", () => {
    const tokens = Uint16Array.from({ length: 40 }, (_, i) => i % 23);
    expectNoLeak(() => expect(textLoss(model, tokens, 8)).toEqual(textLoss(model, [...tokens], 8)));
  });

  test.each([0, 1])("refuses a text of %d tokens, of which nothing can be predicted", (length) => {
    expect(() => textLoss(model, Array(length).fill(1), 8)).toThrow(
      new RangeError(`textLoss: tokens must be at least two, got ${length}`),
    );
  });
});
