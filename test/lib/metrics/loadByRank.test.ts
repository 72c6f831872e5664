import { describe, expect, test } from "vitest";
import { loadByRank } from "../../../lib/metrics/loadByRank.ts";
import { SIX, traceOf } from "./traces.ts";

describe("loadByRank", () => {
  test("counts first and second choices apart", () => {
    const [first, second] = loadByRank(SIX, { draws: 10 });
    expect([...first!.share]).toEqual([2 / 6, 2 / 6, 2 / 6]);
    expect([...second!.share]).toEqual([2 / 6, 2 / 6, 2 / 6]);
    const skewed = traceOf({ nExperts: 3, topK: 2, indices: [0, 1, 0, 1, 2, 1] });
    const [one, two] = loadByRank(skewed, { draws: 10 });
    expect([one!.argmax, one!.maxShare, two!.argmax, two!.maxShare]).toEqual([0, 2 / 3, 1, 1]);
  });

  test("refuses a trace without rank order and says why", () => {
    expect(() => loadByRank({ ...SIX, rankOrdered: false })).toThrow(
      "loadByRank: the trace must keep the experts in order of preference, because a first choice has no meaning without it, got one whose recorder did not (rankOrdered is false)",
    );
  });

  test("refuses arrays that do not fit and choices that cannot be", () => {
    expect(() => loadByRank({ ...SIX, expertIndices: SIX.expertIndices.slice(1) })).toThrow(
      "loadByRank: expertIndices must be [n_tokens, n_layers, top_k] = [6, 1, 2], got 11 numbers",
    );
    expect(() => loadByRank({ ...SIX, expertIndices: SIX.expertIndices.map(() => 2) })).toThrow(
      "loadByRank: a token's 2 experts must be different, got 2 twice",
    );
    expect(() => loadByRank({ ...SIX, nExperts: 2 })).toThrow("loadByRank: expert must be below nExperts (2), got 2");
    expect(() => loadByRank({ ...SIX, sequenceOffsets: Int32Array.from([0, 7]) })).toThrow(
      "loadByRank: sequenceOffsets must rise from 0 to the number of tokens (6)",
    );
  });
});
