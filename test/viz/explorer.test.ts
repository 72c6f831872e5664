import { describe, expect, test } from "vitest";
import { explorer } from "../../viz/explorer.ts";
import { byLine, largeTrace, SMALL } from "./samples.ts";

describe("explorer", () => {
  test("draws three tokens through two layers, with a kept point", async () => {
    const { svg } = explorer(SMALL, { state: { layer: 2, token: 1, expert: 1 } });
    await expect(byLine(svg)).toMatchFileSnapshot("snapshots/explorer.svg");
  });

  test("gives the load of the whole trace beside a window of it", () => {
    const { data, text } = explorer(SMALL, { start: 1, end: 2 });
    expect(data.nTokens).toBe(1);
    expect(data.nLoad).toBe(3);
    // Layer 0: experts 0 to 3 are chosen 3, 1, 1, 1 times of 6.
    expect(
      Array.from(data.load)
        .slice(0, 4)
        .map((s) => Math.round(s * 6)),
    ).toEqual([3, 1, 1, 1]);
    expect(text).toContain("tokens 1–1 of 3");
  });

  test("says in words what is kept", () => {
    expect(explorer(SMALL, { state: { layer: 2, token: 1, expert: 3 } }).text).toContain(
      "Layer 2: busiest expert 1 with 50.0 % of the assignments; position 1, “␣the”, takes experts 1, 3; expert 3 serves 1 of these tokens.",
    );
  });

  test("takes part of a state", () => {
    expect(explorer(SMALL).data.state).toEqual({ layer: 0, token: null, expert: null });
    expect(explorer(SMALL, { state: { expert: 2 } }).data.state).toEqual({ layer: 0, token: null, expert: 2 });
  });

  test("shows the weights of the chosen where probabilities were not recorded", () => {
    const figure = explorer({ ...SMALL, routerProbs: null });
    expect(figure.data.probs).toBeNull();
    expect(figure.svg).toContain("weight (probabilities not recorded)");
    expect(explorer({ ...SMALL, routerProbs: null, expertWeights: null }).svg).not.toContain("NaN");
  });

  test("shows as many tokens as have room", () => {
    expect(explorer(largeTrace(300, 16, 4, 4)).data.nTokens).toBe(61);
    expect(explorer(largeTrace(300, 16, 4, 40)).data.nTokens).toBe(28);
    expect(explorer(largeTrace(300, 64, 8, 6)).data.nTokens).toBe(30);
  });

  test.each([73, 500, 2048])("goes through a text of %i tokens window by window, and says how", (n) => {
    const trace = largeTrace(n, 16, 4, 4);
    const shown: number[] = [];
    for (let start = 0, next: RegExpExecArray | null; start < n; ) {
      const { data, svg } = explorer(trace, { start });
      shown.push(...Array.from(data.indices));
      next = /\(next: start: (\d+)\)/.exec(svg);
      expect(next === null).toBe(start + data.nTokens === n);
      start = next === null ? n : Number(next[1]);
    }
    expect(shown).toEqual([...trace.expertIndices]);
    expect(() => explorer(trace, { end: n })).toThrow(
      `explorer: end must be at most start + 61 here (61), got ${n}; show the rest in further figures`,
    );
  });

  test("refuses a state that the trace does not have", () => {
    expect(() => explorer(SMALL, { state: { layer: 1 } })).toThrow("explorer: state.layer must be one of 0, 2, got 1");
    expect(() => explorer(SMALL, { state: { token: 3 } })).toThrow(
      "explorer: state.token must be from 0 to 2 here, got 3",
    );
    expect(() => explorer(SMALL, { state: { expert: 4 } })).toThrow(
      "explorer: state.expert must be from 0 to 3, got 4",
    );
    expect(() => explorer(SMALL, { start: 1, state: { token: 0 } })).toThrow(
      "state.token must be from 1 to 2 here, got 0",
    );
  });
});
