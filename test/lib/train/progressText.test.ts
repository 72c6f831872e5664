import { describe, expect, test } from "vitest";
import { progressText } from "../../../lib/train/progressText.ts";

const STEP = {
  step: 7,
  steps: 200,
  total: 3.2,
  crossEntropy: 3.25,
  loadBalance: 1.0234,
  zLoss: 9,
  counts: [],
  rate: 0.1,
  gradientNorm: 1,
  maxViolation: [0.25, 0.5],
  tokensPerSecond: 1234.5,
  secondsLeft: 300,
};

describe("progressText", () => {
  test("is one line with the losses, the largest MaxVio of a layer, the speed and the time left", () => {
    expect(progressText(STEP)).toBe("step 7/200  loss 3.250  balance 1.023  MaxVio 0.50  1235 tokens/s  5 min left");
  });

  test("of a dense model has neither balance nor MaxVio", () => {
    const dense = { ...STEP, loadBalance: null, zLoss: null, maxViolation: [], secondsLeft: 12 };
    expect(progressText(dense)).toBe("step 7/200  loss 3.250  1235 tokens/s  12 s left");
  });
});
