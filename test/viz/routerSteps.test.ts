import { describe, expect, test } from "vitest";
import { routerSteps } from "../../viz/routerSteps.ts";
import { byLine, ROUTING } from "./samples.ts";

describe("routerSteps", () => {
  test("draws four experts through five steps", async () => {
    await expect(byLine(routerSteps(ROUTING).svg)).toMatchFileSnapshot("snapshots/routerSteps.svg");
  });

  test("says how the numbers come about for the first choice", () => {
    expect(routerSteps(ROUTING).bundle()["text/html"]!.replaceAll("&#39;", "'")).toContain(
      "1. Logit: the router's row for expert 1 times the token gives −0.693. " +
        "2. Softmax: e to the logit, less the largest, is 1; over the sum 2 of all 4 it is 0.500. " +
        "3. Top-k: expert 1 has rank 1 and is one of the 2 chosen. " +
        "4. Weight: 0.500 over the chosen ones' sum 0.750 is 0.667. " +
        "5. Sum: its output, weighted, makes up 50.0 % of the layer's.",
    );
  });

  test("compares its weights with the model's, in whatever order those stand", () => {
    const { data } = routerSteps({ ...ROUTING, indices: [3, 1], weights: [0.33, 0.66], outputs: [0, 6, 3, 0] });
    expect(data.difference).toBeCloseTo(2 / 3 - 0.66, 9);
    expect(data.parts!.map((part) => part.toFixed(6))).toEqual(["0.500000", "0.500000"]);
    expect(data.length).toBeCloseTo(Math.sqrt(8), 9);
  });

  test("does without what was not recorded", () => {
    const { layer, position, piece, topK, gating, logits } = ROUTING;
    const figure = routerSteps({ layer, position, piece, topK, gating, logits });
    expect(figure.data.parts).toBeNull();
    expect(figure.text).not.toContain("differ");
    expect(figure.bundle()["text/html"]).toContain("not recorded");
  });

  test("shows the largest of many experts and what is left", () => {
    const { layer, position, piece, gating } = ROUTING;
    const logits = Array.from({ length: 64 }, (_, e) => ((e * 37) % 64) / 16);
    const { svg } = routerSteps({ layer, position, piece, gating, topK: 8, logits });
    expect(svg).toContain("40 experts with smaller logits are not shown");
    expect(svg.match(/class="n"/g)).toHaveLength(5 * 24);
  });

  test("refuses a choice that the logits do not give, and numbers that are none", () => {
    expect(() => routerSteps({ ...ROUTING, indices: [0, 1] })).toThrow(
      "routerSteps: indices must be the 2 experts with the largest logits (1, 3), got 0, 1",
    );
    expect(() => routerSteps({ ...ROUTING, weights: [1] })).toThrow(
      "indices and weights must be [top_k] = [2], got 2 and 1",
    );
    expect(() => routerSteps({ ...ROUTING, outputs: [1, 2, 3] })).toThrow(
      "outputs must be [top_k, d_model] = [2, n], got 3 numbers",
    );
    expect(() => routerSteps({ ...ROUTING, logits: [1, Number.NaN] })).toThrow(
      "routerSteps: logits must be finite, got NaN",
    );
    expect(() => routerSteps({ ...ROUTING, logits: [] })).toThrow("routerSteps: logits must hold numbers, got none");
    expect(() => routerSteps({ ...ROUTING, topK: 5 })).toThrow(
      "routerSteps: topK must be a whole number from 1 to 4, got 5",
    );
  });
});
