import { describe, expect, test } from "vitest";
import { loadPerExpert } from "../../lib/metrics/load.ts";
import { expertLoad } from "../../viz/expertLoad.ts";
import { byLine, largeTrace, SMALL } from "./samples.ts";

const LOAD = loadPerExpert(SMALL);

describe("expertLoad", () => {
  test("draws two layers side by side", async () => {
    await expect(byLine(expertLoad(LOAD).svg)).toMatchFileSnapshot("snapshots/expertLoad.svg");
  });

  test("shares sum to one in each layer", () => {
    const { share, uniform } = expertLoad(LOAD).data;
    // Layer 0: experts 0 to 3 are chosen 3, 1, 1, 1 times of 6; layer 2: 0, 3, 2, 1.
    expect([...share].map((s) => Math.round(s * 6))).toEqual([3, 1, 1, 1, 0, 3, 2, 1]);
    expect(uniform.share).toBe(0.25);
  });

  test("states the 95 % interval as a share of assignments", () => {
    // Binomial(3, 1/2) has its central 95 % in 0 to 3, of 6 assignments.
    expect(expertLoad(LOAD).data.uniform).toMatchObject({ low: 0, high: 0.5 });
  });

  test("takes one layer by its number in the model", () => {
    const figure = expertLoad(LOAD, { layer: 2 });
    expect(figure.title).toBe("Load of each expert in layer 2");
    expect(figure.data.layers).toEqual([2]);
    expect(figure.text).toContain("Layer 2: busiest 1: 50.0 % · effective 2.75 of 4 · CV 0.75 · 1 unused");
  });

  test("tells bars outside the band from those inside", () => {
    const skewed = {
      ...SMALL,
      nExperts: 4,
      topK: 1,
      layers: [0],
      tokenIds: new Int32Array(40),
      pieces: null,
      sequenceOffsets: Int32Array.of(0, 40),
      expertIndices: new Uint16Array(40),
      expertWeights: null,
      routerProbs: null,
    };
    const html = expertLoad(loadPerExpert(skewed)).bundle()["text/html"]!;
    expect(html).toContain("above the band");
    expect(html.match(/below the band/g)).toHaveLength(3);
  });

  test("refuses an unknown layer and more bars than fit", () => {
    expect(() => expertLoad(LOAD, { layer: 1 })).toThrow("expertLoad: layer must be one of 0, 2, got 1");
    const wide = loadPerExpert(largeTrace(1, 512, 1, 17));
    expect(() => expertLoad(wide)).toThrow(
      "expertLoad: layer must be given for more than 3072 bars, got 17 layers of 512",
    );
    expect(expertLoad(wide, { layer: 3 }).data.layers).toEqual([3]);
  });
});
