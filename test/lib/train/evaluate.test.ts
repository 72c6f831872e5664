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

  /**
   * −ln of each token's probability but the first's, in double precision, each from a run of its own: `starts` gives for each
   * label where its window starts.
   */
  function plainLosses(tokens: readonly number[], starts: readonly number[]): number[] {
    return starts.map((start, i) => {
      const logits = model.run(tokens.slice(start, i + 1));
      const row = logits.arraySync()[0]!.at(-1)!;
      logits.dispose();
      const most = Math.max(...row);
      return Math.log(row.reduce((sum, x) => sum + Math.exp(x - most), 0)) + most - row[tokens[i + 1]!]!;
    });
  }

  const repeat = (start: number, times: number): number[] => Array<number>(times).fill(start);

  test.each([
    ["whole windows", { pos: 8, batch: 2 }, [0, 8, 16].flatMap((start) => repeat(start, 8))],
    ["a last window that overlaps", { pos: 8, batch: 2 }, [...repeat(0, 8), ...repeat(8, 8), ...repeat(11, 3)]],
    ["a batch that is not full", { pos: 4, batch: 3 }, [0, 4, 8, 12].flatMap((start) => repeat(start, 4))],
    ["less than a window", { pos: 8 }, repeat(0, 4)],
    ["two tokens", { pos: 8, stride: 2 }, [0]],
    ["windows of one token", { pos: 1 }, [0, 1, 2, 3, 4, 5]],
    ["half overlapping", { pos: 8, stride: 4, batch: 2 }, [...repeat(0, 8), ...repeat(4, 4), ...repeat(8, 4)]],
    ["overlapping, to an end that fits not", { pos: 8, stride: 3 }, [...repeat(0, 8), 3, 3, 3, 6, 6, 6, 8, 8]],
    ["all but one overlapping", { pos: 3, stride: 1, batch: 4 }, [0, 0, 0, 1, 2, 3, 4]],
    ["a window as long as the context", { pos: 32 }, [...repeat(0, 32), ...repeat(3, 3)]],
  ])("predicts every token but the first once: %s", (_, options, starts) => {
    const random = seeded(starts.length);
    const tokens = Array.from({ length: starts.length + 1 }, () => Math.floor(23 * random()));
    const losses = plainLosses(tokens, starts);
    const { natsPerToken, nTokens } = textLoss(model, tokens, options);
    expect(nTokens).toBe(starts.length);
    expect(natsPerToken).toBeCloseTo(losses.reduce((a, b) => a + b) / losses.length, 4);
  });

  test("takes a typed array, and leaves no tensor behind", () => {
    const tokens = Uint16Array.from({ length: 40 }, (_, i) => i % 23);
    expectNoLeak(() => expect(textLoss(model, tokens, { pos: 8 })).toEqual(textLoss(model, [...tokens], { pos: 8 })));
  });

  test.each([0, 1])("refuses a text of %d tokens, of which nothing can be predicted", (length) => {
    expect(() => textLoss(model, Array(length).fill(1), { pos: 8 })).toThrow(
      new RangeError(`textLoss: tokens must be at least two, got ${length}`),
    );
  });

  test.each([0, 9, 2.5])("refuses a stride of %d for windows of 8", (stride) => {
    expect(() => textLoss(model, [1, 2, 3], { pos: 8, stride })).toThrow(
      new RangeError(`textLoss: stride must be a whole number from 1 to 8, got ${stride}`),
    );
  });
});
