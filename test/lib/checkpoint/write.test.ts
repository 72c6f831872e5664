import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { memorySource } from "../../../lib/checkpoint/bytes.ts";
import { readHeader } from "../../../lib/checkpoint/safetensors.ts";
import { encodeSafetensors, type TensorData } from "../../../lib/checkpoint/write.ts";
import { ShapeError } from "../../../lib/errors.ts";
import { bitsOf, checkpointOf } from "./files.ts";

const encoded = (...args: Parameters<typeof encodeSafetensors>) => Buffer.concat([...encodeSafetensors(...args)]);
const floats = Float32Array.of(1, -0, Number.NaN, Infinity, 1e-45, 2.7182817);

test("a small file is the bytes worked out by hand", () => {
  const file = encoded([{ name: "a", dtype: "BF16", shape: [1, 2], data: Float32Array.of(1, -2) }], { k: "v" });
  const json = '{"__metadata__":{"k":"v"},"a":{"dtype":"BF16","shape":[1,2],"data_offsets":[0,4]}}';
  expect(json.length).toBe(82); // padded to 88, so that the values start at byte 96
  expect(file.subarray(0, 8)).toEqual(Buffer.from([88, 0, 0, 0, 0, 0, 0, 0]));
  expect(file.subarray(8, 96).toString()).toBe(`${json}      `);
  expect(file.subarray(96)).toEqual(Buffer.from([0x80, 0x3f, 0x00, 0xc0]));
});

test("what was written is read back bit for bit, names and metadata included", async () => {
  const tensors: TensorData[] = [
    { name: "odd", dtype: "BF16", shape: [3], data: Float32Array.of(0.5, -1, 2) },
    { name: "blocks.0.x", dtype: "F32", shape: [2, 3], data: floats },
    { name: "__proto__", dtype: "I32", shape: [], data: Int32Array.of(-(2 ** 31)) },
    { name: "7", dtype: "F32", shape: [4, 0], data: new Float32Array(0) },
    { name: 'naïve "✓"\n', dtype: "F32", shape: [1], data: floats.subarray(5) },
  ];
  const source = memorySource("x", encoded(tensors, { __proto__: "no", note: "naïve ✓" }));
  const checkpoint = await checkpointOf(source);
  expect(bitsOf(await checkpoint.readFloat32("blocks.0.x"))).toEqual(bitsOf(floats));
  expect([...(await checkpoint.readFloat32("odd"))]).toEqual([0.5, -1, 2]);
  expect([...(await checkpoint.readInt32("__proto__"))]).toEqual([-(2 ** 31)]);
  expect([...(await checkpoint.readFloat32('naïve "✓"\n'))]).toEqual([floats[5]]);
  expect(checkpoint.tensor("7").shape).toEqual([4, 0]);
  expect((await readHeader(source)).metadata).toEqual({ note: "naïve ✓" });
});

test("every tensor starts at a multiple of its element's width, whatever the order given", async () => {
  const tensor = fc.tuple(fc.constantFrom("F32", "BF16"), fc.nat(5));
  await fc.assert(
    fc.asyncProperty(fc.array(tensor, { maxLength: 6 }), fc.string(), async (kinds, note) => {
      const tensors = kinds.map(
        ([dtype, length], i): TensorData => ({
          name: `t${i}`,
          dtype: dtype === "F32" ? "F32" : "BF16",
          shape: [length],
          data: new Float32Array(length),
        }),
      );
      const header = await readHeader(memorySource("x", encoded(tensors, { note })));
      for (const { dtype, start } of header.tensors.values()) expect(start % (dtype === "F32" ? 4 : 2)).toBe(0);
      expect(header.tensors.size).toBe(kinds.length);
    }),
    { seed: 6, numRuns: 200 },
  );
});

test("values come in pieces that are views, or small where they are rounded", () => {
  const data = new Float32Array(5_000_000);
  const f32 = [...encodeSafetensors([{ name: "a", dtype: "F32", shape: [5_000_000], data }])];
  expect(f32[1]?.buffer).toBe(data.buffer);
  const bf16 = [...encodeSafetensors([{ name: "a", dtype: "BF16", shape: [5_000_000], data }])];
  expect(bf16.slice(1).map((piece) => piece.length)).toEqual([4194304, 4194304, 1611392]);
});

describe("wrong input is refused before the first byte", () => {
  test.each([[[2, 2]], [[-2, -3]], [[12, 0.5]], [[]]])("shape %j for six values", (shape) => {
    expect(() => encodeSafetensors([{ name: "a", dtype: "F32", shape, data: floats }])).toThrow(
      new ShapeError(`safetensors: tensor "a": shape must hold the 6 values given, got ${JSON.stringify(shape)}`),
    );
  });

  test("whole numbers that pass for floats", () => {
    const data = Int32Array.of(1) as unknown as Float32Array;
    expect(() => encodeSafetensors([{ name: "a", dtype: "F32", shape: [1], data }])).toThrow(
      new TypeError('safetensors: tensor "a": data must be a Float32Array for F32, got Int32Array'),
    );
  });

  test("a name that is taken", () => {
    const a: TensorData = { name: "a", dtype: "F32", shape: [6], data: floats };
    expect(() => encodeSafetensors([a, a])).toThrow(
      new RangeError('safetensors: tensor "a": name must be given once, got it twice'),
    );
    expect(() => encodeSafetensors([{ ...a, name: "__metadata__" }])).toThrow(
      new RangeError('safetensors: tensor "__metadata__": name must be another, for the format keeps it'),
    );
  });

  test("metadata longer than any header that we read", () => {
    expect(() => encodeSafetensors([], { text: "x".repeat(1 << 25) })).toThrow(
      "safetensors: header must be at most 33554432 bytes long, got 33554464",
    );
  });
});
