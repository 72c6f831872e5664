import { describe, expect, test } from "vitest";
import { importRouting } from "../../../lib/trace/import.ts";
import { expected, expectHeld, fixture, type Held, traceIn } from "./fixtures.ts";
import { failure } from "./traces.ts";

const OPTIONS = { nExperts: 8, nLayers: 3, topK: 2 };

describe("importRouting", () => {
  test.each([
    ["vllm", "base64.jsonl"],
    ["vllm", "nested.json"],
    ["vllm", "array.npy"],
    ["vllm", "array.npz"],
    ["sglang", "generate.json"],
    ["sglang", "sglext.json"],
  ])("tells from the content whose recording it is: %s/%s", async (engine, file) => {
    const trace = traceIn(await importRouting("x", fixture(`${engine}/${file}`), OPTIONS));
    expect(trace.source.engine).toBe(engine);
    expectHeld(trace, (expected(`${engine}.json`) as Record<string, Held>)[file]!);
  });

  const text = (value: string) => new TextEncoder().encode(value);
  test.each([
    ["an empty file", text("")],
    ["a text", text("routed_experts")],
    ["JSON of something else", text('{"choices":[{"text":"a"}]}')],
    ["a list of nothing", text("[]")],
  ])("refuses %s", async (_, bytes) => {
    expect(await failure(importRouting("x", bytes, OPTIONS))).toBe(
      "x: must be a recording of a known kind, got another file",
    );
  });

  test("refuses JSON that ends early, and an archive of something else", async () => {
    expect(await failure(importRouting("x", text('{"choices":['), OPTIONS))).toMatch(/^x: must be JSON/);
    const renamed = fixture("vllm/array.npz").map((byte) => (byte === 0x72 ? 0x52 : byte)); // r to R, in names as well
    expect(await failure(importRouting("x", renamed, OPTIONS))).toBe(
      'x: must hold routed_experts or router_logits, got "Routed_expeRts"',
    );
  });
});
