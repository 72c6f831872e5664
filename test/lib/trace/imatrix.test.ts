import { describe, expect, test } from "vitest";
import { ConfigError } from "../../../lib/errors.ts";
import { readGguf } from "../../../lib/trace/gguf.ts";
import { importImatrix } from "../../../lib/trace/imatrix.ts";
import { importRouting } from "../../../lib/trace/import.ts";
import type { ImportOptions } from "../../../lib/trace/imported.ts";
import { expected, fixture } from "./fixtures.ts";
import { failure } from "./traces.ts";

const held = expected("imatrix.json") as { layers: number[]; topK: number; counts: number[] };

async function counts(file: string, options: ImportOptions = {}) {
  const imported = await importRouting("x", fixture(file), options);
  if (imported.kind !== "counts") throw new Error("a trace, not counts");
  return imported;
}

/** Where a text stands in a fixture, and the fixture. */
function at(text: string): { bytes: Uint8Array; start: number } {
  const bytes = fixture("imatrix/whole.gguf");
  const start = Buffer.from(bytes).indexOf(text);
  expect(start).toBeGreaterThan(0);
  return { bytes, start };
}

/** The fixture with bytes replaced, some way behind the start of a text in it. */
function patched(text: string, offset: number, by: number[]): Uint8Array {
  const { bytes, start } = at(text);
  bytes.set(by, start + offset);
  return bytes;
}

describe("importImatrix", () => {
  test("reads what the gguf package wrote, experts per token from the router's count", async () => {
    const imported = await counts("imatrix/whole.gguf");
    expect(imported.counts).toEqual({
      source: { engine: "llama.cpp", model: "unknown", encoding: "imatrix GGUF" },
      nExperts: 6,
      topK: held.topK,
      layers: held.layers,
      counts: Float64Array.from(held.counts),
    });
    expect(imported.findings).toEqual(["only counts were recorded, not which token went where"]);
  });

  test("takes experts per token from the option where the router left out a batch, else says that it does not know", async () => {
    const unknown = await counts("imatrix/batches.gguf");
    expect(unknown.counts.topK).toBe(null);
    expect(unknown.findings).toContain("experts per token are not known");
    expect((await counts("imatrix/batches.gguf", { topK: 2 })).counts.topK).toBe(2);
    for (const topK of [0, 3, 7, 1.5])
      await expect(counts("imatrix/batches.gguf", { topK })).rejects.toThrow(ConfigError);
  });

  test("refuses a file cut short anywhere", async () => {
    const bytes = fixture("imatrix/whole.gguf");
    for (let length = 8; length < bytes.length; length += 61) {
      const cut = await importImatrix("x", bytes.subarray(0, length)).then(
        () => null,
        (error: Error) => error.message,
      );
      if (cut === null)
        expect(length).toBeGreaterThan(bytes.length - 440); // only counts that are not read are lost
      else expect(cut).toMatch(/^x: .*(is the file whole\?|within the file's)/);
    }
  });

  const legacy = new Uint8Array([1, 0, 0, 0, 9, 0, 0, 0, ...new TextEncoder().encode("blk.0.ffn")]);
  test.each<[string, Uint8Array, RegExp]>([
    ["the older form", legacy, /must be GGUF, which counts experts; got the older \.dat, which does not$/],
    ["another version", fixture("imatrix/whole.gguf").fill(9, 4, 5), /GGUF version must be 2 or 3, .*, got 9$/],
    ["a file of a model", patched("imatrix", 0, [0x49]), /general\.type must be "imatrix", got "Imatrix"$/],
    [
      "more tensors than it holds",
      fixture("imatrix/whole.gguf").fill(255, 8, 12),
      /^x: a size must be within the file/,
    ],
    ["a length without end", patched("general.type", -8, [255, 255, 255, 255, 255, 255, 255, 127]), /a size must be/],
    ["a key that is too long", patched("general.type", -8, [0, 0, 255]), /header must end within/],
    ["an unknown type", patched("general.type", 12, [99]), /type of a value must be one of the format's, got 99$/],
    ["an array of arrays", patched("imatrix.datasets", 20, [9]), /arrays of arrays must not be there, got one$/],
    [
      "counts of another type",
      patched("blk.0.ffn_gate_exps.weight.counts", 53, [1]),
      /type must be float32 \(0\), got 1$/,
    ],
    [
      "counts outside the file",
      patched("blk.0.ffn_gate_exps.weight.counts", 59, [1]),
      /"blk.0.ffn_gate_exps.weight.counts" must be within the file's 3072 bytes/,
    ],
    [
      "counts of another shape",
      patched("blk.0.ffn_gate_exps.weight.counts", 37, [2, 0, 0, 0, 0, 0, 0, 0, 3]),
      /must be \[n_experts, 1\], got \[3, 2\]$/,
    ],
  ])("refuses %s", async (_, bytes, message) => {
    expect(await failure(importRouting("x", bytes))).toMatch(message);
  });

  test("refuses counts that are none, and layers of other sizes", async () => {
    const values = (value: number) => {
      const bytes = fixture("imatrix/whole.gguf");
      const { values: read } = readGguf("x", bytes).tensor("blk.0.ffn_gate_exps.weight.counts")!;
      const start = Buffer.from(bytes).indexOf(Buffer.from(read.buffer, read.byteOffset, read.byteLength));
      new DataView(bytes.buffer, bytes.byteOffset).setFloat32(start, value, true);
      return bytes;
    };
    for (const value of [-1, 0.5, Number.NaN, Infinity])
      expect(await failure(importRouting("x", values(value)))).toMatch(/must be whole numbers from 0 on, got /);
    const fewer = patched("blk.2.ffn_gate_exps.weight.counts", 45, [5]);
    expect(await failure(importRouting("x", fewer))).toBe("x: all layers must have 6 experts, got one with 5");
    const none = new Uint8Array(
      Buffer.from(Buffer.from(fixture("imatrix/whole.gguf")).toString("latin1").replaceAll("_exps", "_expz"), "latin1"),
    );
    expect(await failure(importRouting("x", none))).toMatch(/must hold counts of experts .*, got none$/);
  });
});
