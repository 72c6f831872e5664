import { describe, expect, test } from "vitest";
import { runCurves } from "../../viz/runCurves.ts";

describe("runCurves", () => {
  test("turns a run's records into curves, one line for each layer", () => {
    const { steps, curves } = runCurves([
      { step: 1, crossEntropy: 8, maxViolation: [0.5, 0.25] },
      { step: 2, crossEntropy: 7, maxViolation: [0.4, 0.2] },
    ]);
    expect(steps).toEqual([1, 2]);
    expect(curves.map(({ name, values }) => [name, values])).toEqual([
      ["cross-entropy, nats a token", [8, 7]],
      [
        "MaxVio: largest load / mean − 1",
        [
          [0.5, 0.4],
          [0.25, 0.2],
        ],
      ],
    ]);
  });

  test("knows what to compare with", () => {
    const record = { step: 1, crossEntropy: 3, loadBalance: 1.1, entropy: [2], saturation: [0.5], myOwn: 4 };
    const { curves } = runCurves([record], { dVocab: 4096, nExperts: 16, topK: 4 });
    expect(curves.map(({ baseline }) => baseline?.value)).toEqual([Math.log(4096), 1, Math.log(16), 0.25, undefined]);
    expect(runCurves([record]).curves.map(({ baseline }) => baseline?.value)).toEqual([
      undefined,
      1,
      undefined,
      undefined,
      undefined,
    ]);
    expect(curves[4]!.name).toBe("myOwn");
  });

  test("leaves out what some records lack", () => {
    const { curves } = runCurves([{ step: 1, a: [1, 2] }, { step: 5 }, { step: 9, a: [3, 4] }]);
    expect(curves[0]!.values).toEqual([
      [1, Number.NaN, 3],
      [2, Number.NaN, 4],
    ]);
  });
});
