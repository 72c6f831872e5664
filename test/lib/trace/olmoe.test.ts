import { describe, expect, test } from "vitest";
import { importRouting } from "../../../lib/trace/import.ts";
import { edited, expected, expectHeld, fixture, type Held, traceIn } from "./fixtures.ts";
import { failure } from "./traces.ts";

const held = (expected("olmoe.json") as Record<string, Held>)["dump.jsonl"]!;
const json = (value: object) => new TextEncoder().encode(JSON.stringify(value));

describe("importOlmoe", () => {
  test("reads what torch ranked, with ranks and layers exchanged", async () => {
    const imported = await importRouting("x", fixture("olmoe/dump.jsonl"), { nExperts: 6 });
    expectHeld(traceIn(imported), held);
    expect(traceIn(imported)).toMatchObject({ nExperts: 6, topK: 3, rankOrdered: true });
    expect(imported.findings).toEqual(["predicted tokens have no place in a trace: left out"]);
  });

  test.each<[string, Uint8Array, RegExp]>([
    ["a dump cut short", fixture("olmoe/dump.jsonl").subarray(0, 300), /^x: line 2 must be JSON, got other text$/],
    [
      "lists of several lengths",
      json({ input_ids: [1, 2], exp_ids: [[[0], [1]], [[0]]] }),
      /ranks must be a list of 2/,
    ],
    [
      "more tokens than experts",
      json({ input_ids: [1, 2], exp_ids: [[[0], [1]]] }),
      /tokens must be a list of 2 items/,
    ],
    ["no layers", json({ input_ids: [1], exp_ids: [[[]]] }), /layers must be a list of some items, got \[\]$/],
    ["an expert that is none", json({ input_ids: [1], exp_ids: [[[0.5]]] }), /must be a whole number, got 0.5$/],
    ["experts that are no list", json({ input_ids: [1], exp_ids: 3 }), /tokens must be a list of 1 items, got 3$/],
    ["tokens that are none", edited("olmoe/dump.jsonl", '"input_ids": [', '"input_ids": [-1, '), /list of token ids/],
    ["no tokens", json({ input_ids: null, exp_ids: [] }), /input_ids must be there, got none$/],
    [
      "an expert twice",
      json({ input_ids: [1], exp_ids: [[[3], [3]]] }),
      /token 0, layer 0: experts of a token must differ, got 3, 3$/,
    ],
    [
      "blocks of other sizes",
      json([
        { input_ids: [1], exp_ids: [[[0], [1]]] },
        { input_ids: [1], exp_ids: [[[0, 1]]] },
      ]),
      /block 1: must have 2 ranks of 1 layers as those before, got 1 of 2$/,
    ],
  ])("refuses the whole of %s", async (_, bytes, message) => {
    expect(await failure(importRouting("x", bytes, { nExperts: 6 }))).toMatch(message);
  });
});
