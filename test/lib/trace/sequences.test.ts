import { describe, expect, test } from "vitest";
import { ShapeError } from "../../../lib/errors.ts";
import { joinTraces, positionsOf, sequencesOf } from "../../../lib/trace/sequences.ts";
import { fullTrace, randomTrace } from "./traces.ts";

describe("sequencesOf", () => {
  test("takes what belongs to its sequences and no more", () => {
    const trace = fullTrace([2, 3, 1]);
    const middle = sequencesOf(trace, 1, 2);
    expect(middle.sequenceOffsets).toEqual(Int32Array.of(0, 3));
    expect(middle.tokenIds).toEqual(trace.tokenIds.slice(2, 5));
    expect(middle.pieces).toEqual(trace.pieces!.slice(2, 5));
    expect(middle.expertIndices).toEqual(trace.expertIndices.slice(2 * 6, 5 * 6)); // 3 layers of 2 slots
    expect(middle.routerProbs).toEqual(trace.routerProbs!.slice(2 * 15, 5 * 15)); // 3 layers of 5 experts
    expect(middle.phases).toEqual(trace.phases!.slice(2, 5));
    expect(middle.domains).toEqual(["prosa é"]);
  });

  test("one by one, joined, give the trace again", () => {
    const trace = fullTrace([2, 3, 0, 1]);
    expect(joinTraces([0, 1, 2, 3].map((s) => sequencesOf(trace, s, s + 1)))).toEqual(trace);
  });
});

describe("joinTraces", () => {
  test("counts positions from the sequence's start for traces that do not give them, where another one does", () => {
    const joined = joinTraces([randomTrace([2, 1]), { ...randomTrace([2]), positions: Int32Array.of(7, 8) }]);
    expect(joined.positions).toEqual(Int32Array.of(0, 1, 0, 7, 8));
    expect(positionsOf(randomTrace([2, 1]))).toEqual(Int32Array.of(0, 1, 0));
  });

  test("refuses traces that were not recorded alike and names the difference", () => {
    expect(() => joinTraces([randomTrace([2]), randomTrace([2], 6)])).toThrow(ShapeError);
    expect(() => joinTraces([randomTrace([2]), randomTrace([2], 6)])).toThrow(
      "joinTraces: nExperts must be the same in all traces (5), got 6",
    );
    expect(() => joinTraces([randomTrace([2]), fullTrace([2])])).toThrow(
      'joinTraces: pieces must be the same in all traces ("absent"), got "present"',
    );
    expect(() => joinTraces([])).toThrow("joinTraces: traces must be at least one, got none");
  });
});
