import { describe, expect, test } from "vitest";
import { expertAblation } from "../../viz/expertAblation.ts";
import { ABLATION, byLine } from "./samples.ts";

describe("expertAblation", () => {
  test("draws two ways side by side", async () => {
    await expect(byLine(expertAblation(ABLATION).svg)).toMatchFileSnapshot("snapshots/expertAblation.svg");
  });

  test("sums up each way without the experts that few tokens use", () => {
    // Known: 100, 60, 40 and 200 tokens; expert 1 of layer 0 has 20, and of "reroute" one was not run.
    expect(expertAblation(ABLATION).text).toContain(
      "200 tokens; loss with all experts 2.500 nats a token; grey: fewer than 30 tokens, 1 of 6 experts. " +
        "zero: mean +0.17, worst without layer 3 expert 2 (+0.5), better without 1 of 5; " +
        "reroute: mean +0.0625, worst without layer 3 expert 2 (+0.25), better without 1 of 4.",
    );
  });

  test("puts all panels on one scale, up to the largest known change", () => {
    const { svg } = expertAblation(ABLATION);
    expect(svg).toContain(">+0.5<");
    expect(svg).toContain(">−0.5<");
    const clipped = expertAblation(ABLATION, { max: 0.25 }).svg;
    expect(clipped).toContain(">≥ +0.25<");
    expect(clipped).toContain(">≤ −0.25<");
  });

  test("greys by the number of tokens that is asked for", () => {
    expect(expertAblation(ABLATION, { minTokens: 0 }).text).toContain("grey: fewer than 0 tokens, 0 of 6 experts");
    expect(expertAblation(ABLATION, { minTokens: 1000 }).text).toContain("zero: nothing to say");
  });

  test("makes changes small whose interval holds zero", () => {
    const [kind] = ABLATION.kinds;
    const low = Float64Array.from(kind!.delta, (d) => d - 0.2);
    const high = Float64Array.from(kind!.delta, (d) => d + 0.2);
    const whole = expertAblation({ ...ABLATION, kinds: [{ name: "zero", delta: kind!.delta }] });
    const halved = expertAblation({ ...ABLATION, kinds: [{ name: "zero", delta: kind!.delta, low, high }] });
    expect(whole.svg).not.toContain("v12h");
    // Half of 24 high: of the known changes 0.1, −0.05, 0.2, 0.1 and 0.5 the last is further than 0.2 from 0.
    expect(halved.svg.match(/v12h/g)).toHaveLength(4);
  });

  test("says in words what was not run", () => {
    const html = expertAblation(ABLATION).bundle()["text/html"]!;
    expect(html).toContain("not run");
  });

  test("refuses numbers that do not fit or cannot be drawn", () => {
    const kinds = (delta: number[]): typeof ABLATION => ({ ...ABLATION, kinds: [{ name: "zero", delta }] });
    expect(() => expertAblation(kinds([1]))).toThrow(
      'expertAblation: delta of "zero" must be [n_layers, n_experts] = [2, 3], got 1 numbers',
    );
    expect(() => expertAblation(kinds([1, 2, 3, 4, 5, Infinity]))).toThrow(
      'delta of "zero" must be finite or NaN, got Infinity',
    );
    expect(() => expertAblation({ ...ABLATION, kinds: [] })).toThrow("expertAblation: kinds must be 1 to 6, got 0");
    expect(() => expertAblation({ ...ABLATION, baseLoss: Number.NaN })).toThrow(
      "expertAblation: baseLoss must be finite, got NaN",
    );
    expect(() => expertAblation({ ...ABLATION, layers: [] })).toThrow(
      "expertAblation: layers and kinds must give 1 to 8192 cells",
    );
    expect(() => expertAblation(ABLATION, { minTokens: -1 })).toThrow(
      "expertAblation: minTokens must be a whole number from 0",
    );
    expect(() => expertAblation(ABLATION, { max: 0 })).toThrow("expertAblation: max must be a positive number, got 0");
  });
});
