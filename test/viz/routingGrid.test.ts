import { describe, expect, test } from "vitest";
import { routingGrid } from "../../viz/routingGrid.ts";
import { byLine, largeTrace, SMALL } from "./samples.ts";

describe("routingGrid", () => {
  test("draws three tokens through two layers", async () => {
    await expect(byLine(routingGrid(SMALL).svg)).toMatchFileSnapshot("snapshots/routingGrid.svg");
  });

  test("maps more than sixteen experts by position", async () => {
    const sparse = { ...SMALL, nExperts: 64, expertIndices: SMALL.expertIndices.map((e) => e * 21), routerProbs: null };
    await expect(byLine(routingGrid(sparse).svg)).toMatchFileSnapshot("snapshots/routingGridMap.svg");
  });

  test("says how even the load is, beside the uniform share", () => {
    // Layer 0: expert 0 serves all three tokens; layer 2: experts 1 serves three. Uniform: 2 of 4.
    expect(routingGrid(SMALL).text).toBe(
      "Routing by token and layer: 2 of 4 experts for each token: 3 tokens, 2 layers. " +
        "Most used: layer 0: expert 0 by 100.0 %; layer 2: expert 1 by 100.0 % of tokens. Uniform routing: 50.0 %.",
    );
  });

  test("makes a slice as wide as its weight", () => {
    const svg = routingGrid(SMALL).svg;
    // A cell is 33 wide with 1 on either side: weights 0.75 and 0.25 are 23.25 and 7.75 wide.
    expect(svg).toContain("h23.25v18");
    expect(svg).toContain("h7.75v18");
  });

  test("shows a window and states it", () => {
    const figure = routingGrid(SMALL, { start: 1, end: 3 });
    expect(figure.data).toMatchObject({ start: 1, nTokens: 2 });
    expect([...figure.data.indices]).toEqual([0, 2, 1, 3, 3, 0, 2, 1]);
    expect(figure.svg).toContain("tokens 1–2 of 3, 2 layers");
  });

  test("shows one sequence of several", () => {
    const two = { ...SMALL, sequenceOffsets: Int32Array.from([0, 1, 3]) };
    const figure = routingGrid(two, { sequence: 1 });
    expect(figure.data.nTokens).toBe(2);
    expect([...figure.data.indices]).toEqual([0, 2, 1, 3, 3, 0, 2, 1]);
    expect(figure.svg).toContain("2 tokens, sequence 1 of 2");
  });

  test("cuts a long text where its budget ends, and refuses to go beyond", () => {
    const long = largeTrace(2200, 16, 4, 8);
    const figure = routingGrid(long);
    expect(figure.data.nTokens).toBe(896);
    expect(figure.svg).toContain("tokens 0–895 of 2,200");
    expect(() => routingGrid(long, { end: 2200 })).toThrow(
      "routingGrid: end must be at most start + 896 here (896), got 2200; pass large: true, or show the rest in further figures",
    );
    expect(routingGrid(long, { large: true }).data.nTokens).toBe(2200);
    expect(() => routingGrid(long, { large: 1 as unknown as boolean })).toThrow(
      "routingGrid: large must be true or false, got 1",
    );
  });

  test("puts the stronger expert first where the recorder lost the order", () => {
    const shuffled = {
      ...SMALL,
      rankOrdered: false,
      expertIndices: Uint16Array.from([1, 0, 1, 2, 2, 0, 3, 1, 3, 0, 1, 2]),
      expertWeights: Float32Array.from([0.25, 0.75, 0.5, 0.5, 0.375, 0.625, 0.125, 0.875, 0.5, 0.5, 0.25, 0.75]),
    };
    const { indices, weights } = routingGrid(shuffled).data;
    expect([...indices]).toEqual([0, 1, 1, 2, 0, 2, 1, 3, 0, 3, 2, 1]);
    expect([...weights!.subarray(0, 2)]).toEqual([0.75, 0.25]);
  });

  test("says when weights were not recorded and makes slices equal", () => {
    const figure = routingGrid({ ...SMALL, expertWeights: null });
    expect(figure.data.weights).toBeNull();
    expect(figure.svg).toContain("weights not recorded");
    expect(figure.svg).not.toContain("h23.25v18");
    expect(figure.svg).toContain("h15.5v18");
  });

  test("leaves the trace as it was", () => {
    const before = [...SMALL.expertIndices];
    routingGrid({ ...SMALL, rankOrdered: false });
    expect([...SMALL.expertIndices]).toEqual(before);
  });

  test("shows ids where the trace has no pieces", () => {
    expect(routingGrid({ ...SMALL, pieces: null }).svg).toContain("#17");
  });

  test("refuses what no trace should hold", () => {
    const wrongExpert = { ...SMALL, expertIndices: SMALL.expertIndices.with(3, 4) };
    const wrongWeight = { ...SMALL, expertWeights: SMALL.expertWeights!.with(2, Number.NaN) };
    const empty = { ...SMALL, sequenceOffsets: Int32Array.from([0, 0, 3]) };
    expect(() => routingGrid(wrongExpert)).toThrow("routingGrid: expert must be below nExperts (4), got 4");
    expect(() => routingGrid(wrongWeight)).toThrow(
      "routingGrid: expert weights must be finite, got NaN at 2 of the window",
    );
    expect(() => routingGrid(empty)).toThrow("routingGrid: the text must hold at least one token, got none");
    expect(() => routingGrid(SMALL, { sequence: 1 })).toThrow(
      "routingGrid: sequence must be a whole number from 0 to 0",
    );
  });
});
