import { beforeAll, describe, expect, test } from "vitest";
import { useBackend } from "../../lib/backend.ts";
import type { MoeModel } from "../../lib/model.ts";
import { likeliestTokens, nextTokenLogits } from "../../lib/nextTokens.ts";
import { expectNoLeak, randomModel, TINY } from "../helpers.ts";

describe("likeliestTokens", () => {
  test("gives probabilities in falling order, of equals the lower id first", () => {
    // Odds 1, 4, 2, 2, 1 of 10, whatever is added to all logits.
    for (const shift of [0, 1000, -1000]) {
      const logits = Float32Array.from([1, 4, 2, 2, 1], (odds) => Math.log(odds) + shift);
      const found = likeliestTokens(logits, 4);
      expect(found.map(({ id }) => id)).toEqual([1, 2, 3, 0]);
      for (const [i, share] of [0.4, 0.2, 0.2, 0.1].entries()) expect(found[i]!.probability).toBeCloseTo(share, 3);
    }
  });

  test("gives all tokens where there are fewer than asked for", () => {
    expect(likeliestTokens(Float32Array.of(0, 0), 9)).toEqual([
      { id: 0, probability: 0.5 },
      { id: 1, probability: 0.5 },
    ]);
  });

  test.each([0, 1.5, Number.NaN])("refuses to give %d tokens", (most) => {
    expect(() => likeliestTokens(Float32Array.of(0), most)).toThrow(
      new RangeError(`likeliestTokens: most must be a whole number from 1, got ${most}`),
    );
  });
});

describe("nextTokenLogits", () => {
  let model: MoeModel;
  beforeAll(async () => {
    await useBackend();
    model = randomModel(TINY, 2);
    return () => model.dispose();
  });

  test("gives the last row of the run's logits, and leaves no tensor behind", () => {
    const tokens = [3, 1, 4, 1, 5];
    const logits = model.run(tokens);
    const rows = logits.arraySync()[0]!;
    logits.dispose();
    expectNoLeak(() => expect([...nextTokenLogits(model, tokens)]).toEqual(rows[4]));
  });

  test("passes the hooks", () => {
    const layers = Object.fromEntries(
      Array.from({ length: TINY.nLayers }, (_, l) => [`blocks.${l}.hook_mlp_out`, () => undefined]),
    );
    const seen: string[] = [];
    nextTokenLogits(model, [1, 2], { ...layers, hook_embed: (_, { name }) => void seen.push(name) });
    expect(seen).toEqual(["hook_embed"]);
  });
});
