import { describe, expect, test } from "vitest";
import { importRouting } from "../../../lib/trace/import.ts";
import type { ImportOptions } from "../../../lib/trace/imported.ts";
import { expected, expectHeld, fixture, type Held, traceIn } from "./fixtures.ts";
import { failure } from "./traces.ts";

const held = expected("recorder.json") as { counts: number[]; "per_token.pt": Held };
const read = (file: string, options: ImportOptions = {}) => importRouting("x", fixture(`recorder/${file}`), options);

describe("importSglangRecorder", () => {
  test.each(["stat.pt", "per_pass.pt"])("reads counts that torch wrote, by logical experts: %s", async (file) => {
    const imported = await read(file, { topK: 2, model: "m" });
    expect(imported).toEqual({
      kind: "counts",
      findings: [
        "only counts of 2 passes were recorded (a full buffer drops the oldest), not which token went where",
        "layers 0 hold no counts (dense, or not captured): left out",
      ],
      counts: {
        source: { engine: "sglang", model: "m", encoding: "recorder .pt" },
        nExperts: 4,
        topK: 2,
        layers: [1, 2],
        counts: Float64Array.from(held.counts),
      },
    });
  });

  test("reads each token's routing: prompts as sequences, decoded tokens by themselves, padding left out", async () => {
    const imported = await read("per_token.pt");
    expectHeld(traceIn(imported), held["per_token.pt"]);
    expect(traceIn(imported)).toMatchObject({ nExperts: 4, topK: 2, rankOrdered: false });
    expect(imported.findings).toContain("1 rows of padding: left out");
    expect(imported.findings).toContain("requests were not recorded: each decoded token is a sequence of its own");
  });

  test.each<[string, RegExp, ImportOptions?]>([
    ["forbidden.pt", /name in a pickle must be one that plain tensors need \(nothing is run\), got "posix\.getcwd"$/],
    ["expanded.pt", /tensors must be of 1073741824 bytes at most in all, got "more at x: logical_count"$/],
    ["shape.pt", /logical_count must be a tensor of 3 axes, got another value$/],
    ["positions.pt", /record 0: input_ids and positions must be as many, at most 5, got 5 and 2$/],
    ["map.pt", /record 0: expert must be from 0 to 3, got 4$/],
    ["weights.pt", /must hold logical_count or a list of records, got neither$/],
    ["per_token.pt", /must be 3 layers of 1 experts, got \[3, 5, 8\]$/, { topK: 1 }],
    ["per_token.pt", /must name experts from 0 to 2, got 3$/, { nExperts: 3 }],
  ])("refuses the whole of %s", async (file, message, options) => {
    expect(await failure(read(file, options))).toMatch(message);
  });

  test.each(["stat.pt", "per_token.pt"])(
    "refuses %s cut short anywhere, or with any byte of a value changed",
    async (file) => {
      const bytes = fixture(`recorder/${file}`);
      for (let length = 10; length < bytes.length; length += 97)
        await failure(importRouting("x", bytes.subarray(0, length)));
      const changed = bytes.slice();
      const start = Buffer.from(bytes).indexOf("data.pkl") + 60;
      changed[start]! ^= 1;
      expect(await failure(importRouting("x", changed))).toMatch(/must unpack to what was packed, got other bytes$/);
    },
  );
});
