import { describe, expect, test } from "vitest";
import { ConfigError } from "../../../lib/errors.ts";
import type { ImportOptions } from "../../../lib/trace/imported.ts";
import { readNpy } from "../../../lib/trace/npy.ts";
import { importVllm, importVllmArray } from "../../../lib/trace/vllm.ts";
import { edited, expected, expectHeld, fixture, type Held, traceIn } from "./fixtures.ts";
import { failure } from "./traces.ts";

const held = expected("vllm.json") as Record<string, Held>;
const read = (bytes: Uint8Array, options: ImportOptions = { nExperts: 8 }) => importVllm("x", bytes, options);
const json = (value: object) => new TextEncoder().encode(JSON.stringify(value));

describe("importVllm", () => {
  test.each(["base64.jsonl", "nested.json", "dynamo.json", "nemo.json"])("reads what numpy wrote: %s", async (file) => {
    const trace = traceIn(await read(fixture(`vllm/${file}`)));
    expectHeld(trace, held[file]!);
    expect(trace).toMatchObject({ nExperts: 8, topK: 2, rankOrdered: false, expertWeights: null, routerProbs: null });
  });

  test("says what was left out and what is not known", async () => {
    expect((await read(fixture("vllm/base64.jsonl"))).findings).toEqual([
      "layers 0 hold no routing (dense, or not captured): left out",
      "the order of a token's experts is not known to be their rank",
    ]);
    expect((await read(fixture("vllm/nemo.json"))).findings).toEqual([
      "layers 0 hold no routing (dense, or not captured): left out",
      "1 tokens lack routing in some layer: left out",
      "token ids were not recorded",
      "the order of a token's experts is not known to be their rank",
    ]);
  });

  test("takes the model's name from the response, and the layers' numbers from the caller", async () => {
    expect(traceIn(await read(fixture("vllm/base64.jsonl"))).source).toEqual({
      engine: "vllm",
      model: "TitanML/tiny-mixtral",
      encoding: "base64",
    });
    const named = traceIn(await read(fixture("vllm/nested.json"), { nExperts: 8, model: "mine", layers: [1, 2] }));
    expect(named.source.model).toBe("mine");
    expect(named.layers).toEqual([1, 2]);
  });

  test("reads a response as the Python class has it, with one row for the prompt alone", async () => {
    const response = { prompt_token_ids: [4, 5], outputs: [{ token_ids: [6], routed_experts: [[[1, 0]], [[2, 3]]] }] };
    const trace = traceIn(await read(json(response)));
    expect([...trace.expertIndices]).toEqual([1, 0, 2, 3]);
    expect([...trace.tokenIds]).toEqual([4, 5]);
  });

  test("reads a prompt whose generation has no rows", async () => {
    const response = {
      prompt_token_ids: [4, 5],
      prompt_routed_experts: [[[1, 0]], [[2, 3]]],
      choices: [{ token_ids: [6], routed_experts: [] }],
    };
    expect([...traceIn(await read(json(response))).expertIndices]).toEqual([1, 0, 2, 3]);
  });

  test("reads rows that start where the request said", async () => {
    const choices = [{ token_ids: [6], prompt_token_ids: [3, 4, 5], routed_experts: [[[1, 0]], [[2, 3]]] }];
    expect(await failure(read(json({ choices })))).toMatch(/4 tokens from 0 on, but the last; got 2 rows$/);
    const trace = traceIn(await read(json({ choices }), { nExperts: 8, promptStart: 1 }));
    expect([...trace.tokenIds]).toEqual([4, 5]);
    expect([...trace.positions!]).toEqual([1, 2]);
  });

  test("must be told how many experts there are", async () => {
    await expect(read(fixture("vllm/nested.json"), {})).rejects.toThrow(
      new ConfigError("x: nExperts must be given, for the file does not say it; got none"),
    );
    await expect(read(fixture("vllm/nested.json"), { nExperts: 8, layers: [1] })).rejects.toThrow(
      new ConfigError("x: layers must be 2 rising numbers, as in the file; got 1"),
    );
    await expect(read(fixture("vllm/nested.json"), { nExperts: 8, layers: [2, 1] })).rejects.toThrow(ConfigError);
  });

  const at = "x: response 0, choice 0";
  const of = (rows: unknown, more = {}) => json({ choices: [{ routed_experts: rows, ...more }] });
  test.each([
    ["a file cut short", fixture("vllm/dynamo.json").subarray(0, 90), /^x: must be JSON, got other text or the part/],
    ["a line cut short", fixture("vllm/base64.jsonl").subarray(0, 700), /^x: line 2 must be JSON, got other text$/],
    ["a list", json([1]), /^x: must be a JSON object, got 1$/],
    ["no choice", json({ choices: [] }), /^x: must hold routed_experts of some token, got none$/],
    ["a choice without routing", of(null), /choice 0: routed_experts must be there, got none$/],
    ["text that is not base64", of("no-base64"), /routed_experts must be base64, got "no-base64"$/],
    ["base64 of something else", of("AAAA"), /routed_experts must be base64 of a \.npy file, got other bytes$/],
    ["a number", of(1), /routed_experts must be text or lists, got 1$/],
    ["lists that are not as deep", of([[1, 2]]), /must be whole numbers by token, layer and slot, got 1$/],
    ["ragged lists", of([[[1, 2]], [[1]]]), /must be whole numbers by token, layer and slot, got \[1\]$/],
    ["halves", of([[[1, 2.5]]]), /must be whole numbers by token, layer and slot, got 2\.5$/],
    [
      "tokens that are no ids",
      of([[[1, 2]]], { token_ids: ["a"] }),
      /token_ids must be a list of token ids, got \["a"\]$/,
    ],
    ["an unknown type", of("nrlre1:int3:1x1x2:AAAA"), /dtype must be one of int8, uint8, .*got "int3"$/],
    ["bytes of another shape", of("nrlre1:uint8:1x1x2:AAAA"), /U8 \[1,1,2\] must have 2 bytes, got 3$/],
    [
      "a shape of two sizes",
      of({ data: "AAAA", shape: [1, 3], dtype: "uint8" }),
      /shape must be three sizes, got \[1,3\]$/,
    ],
    ["a negative start", of({ data: "", shape: [0, 1, 1], dtype: "uint8", start: -1 }), /start must be a whole number/],
    [
      "an expert that is not there",
      of([[[1, 8]]]),
      /^x: sequence 0, token 0, layer 0: expert must be from 0 to 7, got 8$/,
    ],
    ["a negative expert", of([[[1, -2]]]), /expert must be from 0 to 7, got -2$/],
    [
      "an expert twice",
      of([[[1, 2]], [[3, 3]]]),
      /^x: sequence 0, token 1, layer 0: experts of a token must differ, got 3, 3$/,
    ],
    [
      "nothing but zeros",
      of([[[0, 0]], [[0, 0]]]),
      /^x: routing must be recorded in some layer, got only zeros and empty slots$/,
    ],
    [
      "no token that is whole",
      of([
        [
          [1, 2],
          [0, 0],
        ],
        [
          [0, 0],
          [1, 2],
        ],
      ]),
      /some token must be recorded in all of its layers, got none$/,
    ],
  ])("refuses the whole of %s", async (_, bytes, message) => {
    expect(await failure(read(bytes))).toMatch(message);
  });

  test("refuses arrays of different sizes, and rows that are not those of the tokens", async () => {
    const choices = [{ routed_experts: [[[1, 2]]] }, { routed_experts: [[[1], [2]]] }];
    expect(await failure(read(json({ choices })))).toBe(
      "x: all arrays must have 1 layers of 2 experts, got one of [1, 2, 1]",
    );
    expect(await failure(read(edited("vllm/dynamo.json", '"start":2', '"start":1')))).toBe(
      `${at}: there must be a row for each of 8 tokens from 1 on, but the last; got 5 rows`,
    );
  });

  test("takes empty slots for what they are: rows that were not recorded", async () => {
    const rows = [[[1, 2]], [[255, 255]], [[3, -1]], [[65535, 65535]], [[-1, -1]], [[4, 5]]];
    const imported = await read(of(rows));
    expect([...traceIn(imported).expertIndices]).toEqual([1, 2, 4, 5]);
    expect([...traceIn(imported).sequenceOffsets]).toEqual([0, 1, 2]);
    expect(imported.findings.slice(0, 2)).toEqual([
      "4 tokens lack routing in some layer: left out",
      "1 rows have empty slots: their tokens are among those left out",
    ]);
    // With so many experts, 255 is one of them.
    expect(traceIn(await read(of([[[255, 3]]]), { nExperts: 256 })).expertIndices).toEqual(Uint16Array.of(255, 3));
  });

  test("takes zeros for a choice where one expert is chosen and the layer has other choices", async () => {
    const imported = await read(
      of([
        [[0], [0]],
        [[0], [1]],
      ]),
    );
    expect(traceIn(imported).layers).toEqual([1]);
    expect([...traceIn(imported).expertIndices]).toEqual([0, 1]);
  });
});

describe("importVllmArray", () => {
  test("reads the array of the Python class", () => {
    const array = readNpy("x", fixture("vllm/array.npy"));
    expectHeld(traceIn(importVllmArray("x", array, { nExperts: 8 })), held["array.npy"]!);
  });
});
