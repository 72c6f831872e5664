import { describe, expect, test } from "vitest";
import { ConfigError } from "../../../lib/errors.ts";
import type { ImportOptions } from "../../../lib/trace/imported.ts";
import { importSglang } from "../../../lib/trace/sglang.ts";
import { edited, expected, expectHeld, fixture, type Held, traceIn } from "./fixtures.ts";
import { failure } from "./traces.ts";

const held = expected("sglang.json") as Record<string, Held>;
const SIZES = { nExperts: 8, nLayers: 3, topK: 2 };
const read = (bytes: Uint8Array, options: ImportOptions = SIZES) => importSglang("x", bytes, options);
const json = (value: object) => new TextEncoder().encode(JSON.stringify(value));
const base64 = (ids: number[], width = 4) =>
  Buffer.from((width === 4 ? Int32Array : Uint8Array).from(ids).buffer).toString("base64");

describe("importSglang", () => {
  test.each(["generate.json", "choices.json", "parts.json", "sglext.json"])(
    "reads what numpy wrote: %s",
    async (file) => {
      const trace = traceIn(await read(fixture(`sglang/${file}`)));
      expectHeld(trace, held[file]!);
      expect(trace).toMatchObject({ nExperts: 8, topK: 2, rankOrdered: false, expertWeights: null, routerProbs: null });
    },
  );

  test("must be told layers and experts per token only where the response does not say them", async () => {
    expectHeld(traceIn(await read(fixture("sglang/parts.json"), { nExperts: 8 })), held["parts.json"]!);
    await expect(read(fixture("sglang/choices.json"), { nExperts: 8 })).rejects.toThrow(
      new ConfigError("x: response 0, choice 0: nLayers must be given, for the file does not say it; got none"),
    );
    await expect(read(fixture("sglang/parts.json"), {})).rejects.toThrow(
      new ConfigError("x: nExperts must be given, for the file does not say it; got none"),
    );
  });

  test("takes the model's name from the response, if there is one", async () => {
    expect(traceIn(await read(fixture("sglang/choices.json"))).source.model).toBe("some/moe");
    expect(traceIn(await read(fixture("sglang/generate.json"))).source.model).toBe("unknown");
  });

  test("reads rows that start where the request said", async () => {
    const meta_info = { prompt_tokens: 3, completion_tokens: 1, routed_experts: base64([1, 2, 3, 4]) };
    const options = { nExperts: 8, nLayers: 1, topK: 2 };
    const trace = traceIn(await read(json({ meta_info }), { ...options, promptStart: 1 }));
    expect([...trace.positions!]).toEqual([1, 2]);
    expect(await failure(read(json({ meta_info }), options))).toBe(
      "x: response 0, choice 0: there must be 3 rows, one for each token but the last, got 2",
    );
  });

  test("says that tokens are not known, and leaves out rows that were not recorded", async () => {
    const imported = await read(json({ meta_info: { routed_experts: base64([1, 2, -1, -1, 3, 4]) } }), {
      nExperts: 8,
      nLayers: 1,
      topK: 2,
    });
    expect(imported.findings).toEqual([
      "1 tokens lack routing in some layer: left out",
      "token ids were not recorded",
      "the order of a token's experts is not known to be their rank",
    ]);
    expect([...traceIn(imported).sequenceOffsets]).toEqual([0, 1, 2]);
    expect(traceIn(imported).phases).toBeUndefined();
  });

  test("says where a prompt's last token is missing, because nothing was generated after it", async () => {
    const meta_info = { prompt_tokens: 3, completion_tokens: 0, routed_experts: base64([1, 2, 3, 4]) };
    const imported = await read(json({ meta_info }), { nExperts: 8, nLayers: 1, topK: 2 });
    expect(imported.findings.at(-1)).toBe(
      "1 prompts had no answer: their last token was routed, but its row is missing",
    );
    expect((await read(fixture("sglang/generate.json"))).findings.join()).not.toMatch(/no answer/);
  });

  const of = (routing: object, more = {}) => json({ meta_info: routing, ...more });
  test.each([
    ["a file cut short", fixture("sglang/parts.json").subarray(0, 200), /^x: must be JSON/],
    ["an empty list", json([]), /^x: must hold a response, got none$/],
    ["a response without routing", of({ id: "1" }), /^x: response 0 must hold routed_experts or .*, got none$/],
    ["text that is not base64", of({ routed_experts: "-" }), /routed_experts must be base64, got "-"$/],
    [
      "part of a token",
      of({ routed_experts: base64([1, 2, 3]) }),
      /whole tokens of 24 bytes \(3 layers, 2 ids of 4\), got 12 bytes$/,
    ],
    [
      "an unknown type",
      of({ routed_experts: "", routed_experts_dtype: "int64" }),
      /routed_experts_dtype must be one of int32, uint16, uint8, got "int64"$/,
    ],
    [
      "another number of tokens",
      edited("sglang/generate.json", '"completion_tokens":3', '"completion_tokens":4'),
      /there must be 6 rows, one for each token but the last, got 5$/,
    ],
    [
      "a number of tokens that is none",
      edited("sglang/choices.json", '"prompt_tokens":4', '"prompt_tokens":-4'),
      /prompt_tokens must be a whole number from 0 on, got -4$/,
    ],
    [
      "sizes that are none",
      edited("sglang/parts.json", '"num_layers":3', '"num_layers":"3"'),
      /num_layers must be a whole number from 0 on, got "3"$/,
    ],
    [
      "tokens that are none",
      edited("sglang/parts.json", '"output_ids":[1', '"output_ids":[1.5'),
      /output_ids must be a list of token ids/,
    ],
    [
      "an expert that is not there",
      of({ routed_experts: base64([0, 0, 1, 2, 3, 9]) }),
      /token 0, layer 2: expert must be from 0 to 7, got 9$/,
    ],
    [
      "an expert twice",
      of({ routed_experts: base64([0, 0, 1, 1, 3, 2]) }),
      /token 0, layer 1: experts of a token must differ, got 1, 1$/,
    ],
    ["nothing but zeros", of({ routed_experts: base64([0, 0, 0, 0, 0, 0]) }), /got only zeros and empty slots$/],
    ["nothing", of({ routed_experts: "" }), /got only zeros and empty slots$/],
  ])("refuses the whole of %s", async (_, bytes, message) => {
    expect(await failure(read(bytes))).toMatch(message);
  });
});
