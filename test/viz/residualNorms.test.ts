import { describe, expect, test } from "vitest";
import { residualNorms } from "../../viz/residualNorms.ts";
import { byLine, LENS, piece } from "./samples.ts";

const { rows, pieces } = LENS;
const NORMS = [1, 2, 3, 4, 5, 60];

describe("residualNorms", () => {
  test("draws two tokens at three places", async () => {
    await expect(byLine(residualNorms({ rows, pieces, norms: NORMS }).svg)).toMatchFileSnapshot(
      "snapshots/residualNorms.svg",
    );
  });

  test("goes from token to token, with the median of each row", () => {
    const { data } = residualNorms({ rows, pieces, norms: NORMS });
    expect([...data.norms]).toEqual([1, 3, 5, 2, 4, 60]);
    expect([...data.median]).toEqual([1.5, 3.5, 32.5]);
    const three = residualNorms({ rows: ["a"], pieces: [piece("x"), piece("y"), piece("z")], norms: [9, 1, 5] });
    expect([...three.data.median]).toEqual([5]);
  });

  test("names the token that is furthest above its row", () => {
    expect(residualNorms({ rows, pieces, norms: NORMS }).text).toContain(
      "Furthest above its row: position 1, “b↵”, at layer 1: 60, 1.85 times the median.",
    );
  });

  test("says when long ones are clipped", () => {
    expect(residualNorms({ rows, pieces, norms: NORMS }, { max: 10 }).svg).toContain("≥ 10");
    expect(residualNorms({ rows, pieces, norms: NORMS }, { max: 60 }).svg).not.toContain("≥");
  });

  test("refuses norms of another size or that are none", () => {
    expect(() => residualNorms({ rows, pieces, norms: [1] })).toThrow(
      "residualNorms: norms must be [n_rows, n_tokens] = [3, 2], got 1 numbers",
    );
    expect(() => residualNorms({ rows, pieces, norms: [1, 2, 3, 4, 5, Number.NaN] })).toThrow(
      "norms must be finite, got NaN",
    );
    expect(() => residualNorms({ rows: [], pieces, norms: [] })).toThrow("[0, 2], got 0 numbers");
  });
});
