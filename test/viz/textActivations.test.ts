import { describe, expect, test } from "vitest";
import { shadeOf } from "../../viz/shade.ts";
import { textActivations } from "../../viz/textActivations.ts";
import { ACTIVATIONS, byLine } from "./samples.ts";

describe("textActivations", () => {
  test("draws a text with two computed tokens", async () => {
    await expect(byLine(textActivations(ACTIVATIONS, { chance: 0.25 }).svg)).toMatchFileSnapshot(
      "snapshots/textActivations.svg",
    );
  });

  test("takes the neuron with the largest value by size where none is asked for", () => {
    const { neuron, values } = textActivations(ACTIVATIONS).data;
    expect(neuron).toBe(1);
    expect([...values]).toEqual([Number.NaN, -2, Number.NaN, 4]);
  });

  test("hatches tokens that were not computed, and no other", () => {
    const svg = textActivations(ACTIVATIONS).svg;
    expect(svg.match(/class="ground"/g)).toHaveLength(2);
    const hatched = /d="([^"]+)" fill="url\(#hatch\)"/.exec(svg)![1]!;
    expect(hatched.match(/M/g)).toHaveLength(2);
  });

  test("says how many tokens were computed, beside chance", () => {
    const figure = textActivations(ACTIVATIONS, { neuron: 2, chance: 0.25 });
    expect(figure.text).toBe(
      "Layer 1, expert 7, neuron 2: its value on each token: 4 tokens; routed to this expert: 2 = 50.0 %, by chance 25.0 %. " +
        "Largest: −3 at position 3, “三”.",
    );
  });

  test("starts a new line after a line end", () => {
    const svg = textActivations(ACTIVATIONS).svg;
    const lineOf = (word: string): number => Number(new RegExp(`y="([\\d.]+)"[^>]*>${word}</text>`).exec(svg)![1]);
    expect(lineOf("三") - lineOf("Two")).toBe(32);
  });

  test("writes `not computed` into the table", () => {
    const html = textActivations(ACTIVATIONS, { neuron: 0 }).bundle()["text/html"]!;
    expect(html.match(/<bdi>not computed<\/bdi>/g)).toHaveLength(2);
    expect(html).toContain("<bdi>0.5</bdi>");
  });

  test("draws a text that never reached the expert", () => {
    const none = { ...ACTIVATIONS, computed: new Uint8Array(4), values: new Float32Array(12).fill(Number.NaN) };
    const figure = textActivations(none);
    expect(figure.data.neuron).toBe(0);
    expect(figure.text).toContain("No token of this text was routed to the expert.");
    expect(figure.svg).not.toContain("NaN");
  });

  test("refuses a neuron that does not exist, values of another size, and a computed NaN", () => {
    expect(() => textActivations(ACTIVATIONS, { neuron: 3 })).toThrow(
      "textActivations: neuron must be a whole number from 0 to 2, got 3",
    );
    expect(() => textActivations({ ...ACTIVATIONS, dFf: 4 })).toThrow(
      "textActivations: values must be [n_tokens, d_ff] = [4, 4], got 12 numbers",
    );
    expect(() => textActivations({ ...ACTIVATIONS, computed: Uint8Array.from([1, 1, 0, 1]) })).toThrow(
      "textActivations: values of token 0 must be finite, got NaN at 0 of the window",
    );
    expect(() => textActivations(ACTIVATIONS, { chance: 0 })).toThrow(
      "textActivations: chance must be a positive number, got 0",
    );
  });
});

describe("shadeOf", () => {
  test("tells sign by colour and by line, size by opacity", () => {
    expect(shadeOf(2, 2)).toEqual({ role: "positive", opacity: 0.45, lineOpacity: 1, dash: null });
    expect(shadeOf(-1, 2)).toMatchObject({ role: "negative", opacity: 0.225, dash: "3 2" });
    expect(shadeOf(-1, 2).lineOpacity).toBeCloseTo(0.65, 12);
  });

  test("shows zero as nothing, also when all is zero", () => {
    expect(shadeOf(0, 2)).toMatchObject({ opacity: 0, lineOpacity: 0 });
    expect(shadeOf(0, 0)).toMatchObject({ opacity: 0, lineOpacity: 0 });
  });
});
