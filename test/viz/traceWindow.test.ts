import { describe, expect, test } from "vitest";
import { ShapeError } from "../../lib/errors.ts";
import { layerRow, traceWindow } from "../../viz/traceWindow.ts";
import { SMALL } from "./samples.ts";

const TWO = { ...SMALL, sequenceOffsets: Int32Array.from([0, 1, 3]) };

describe("traceWindow", () => {
  test("counts positions from the start of the sequence, and rows from the start of the trace", () => {
    const window = traceWindow("view", TWO, { sequence: 1, start: 1 }, 100);
    expect(window).toMatchObject({ start: 1, first: 2, nTokens: 1, text: "tokens 1–1 of 2, sequence 1 of 2" });
    expect(window.tokens.map((token) => token.string)).toEqual(["↵"]);
  });

  test("refuses a sequence that does not exist", () => {
    expect(() => traceWindow("view", TWO, { sequence: 2 }, 100)).toThrow(
      "view: sequence must be a whole number from 0 to 1, got 2",
    );
  });

  test("refuses a trace whose arrays do not fit together", () => {
    expect(() => traceWindow("view", { ...SMALL, topK: 3 }, {}, 100)).toThrow(ShapeError);
    expect(() => traceWindow("view", { ...SMALL, topK: 3 }, {}, 100)).toThrow(
      "view: expertIndices must be [n_tokens, n_layers, top_k] = [3, 2, 3], got 12 numbers",
    );
    expect(() => traceWindow("view", { ...SMALL, routerProbs: new Float32Array(23) }, {}, 100)).toThrow(
      "view: routerProbs must be [n_tokens, n_layers, n_experts] = [3, 2, 4], got 23 numbers",
    );
    expect(() => traceWindow("view", { ...SMALL, layers: [] }, {}, 100)).toThrow(
      "view: layers must hold at least one layer, got none",
    );
  });
});

test("layerRow finds a layer by its number in the model, or takes the first", () => {
  expect(layerRow("view", [0, 2, 7], 7)).toBe(2);
  expect(layerRow("view", [3, 5], undefined)).toBe(0);
  expect(() => layerRow("view", [0, 2], 1)).toThrow("view: layer must be one of 0, 2, got 1");
});
