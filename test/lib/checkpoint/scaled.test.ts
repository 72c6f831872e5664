import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { memorySource } from "../../../lib/checkpoint/bytes.ts";
import { type Every, readFp8, readMxfp4, type Scaling, scaledSpans } from "../../../lib/checkpoint/scaled.ts";
import { CheckpointError } from "../../../lib/errors.ts";
import { bitsOf, checkpointOf, checksum, countingSource, fileOf } from "./files.ts";

// What PyTorch's own 8-bit types make of the same bytes (test/golden/make_scaled.py).
const GOLDEN = new URL("../../golden/", import.meta.url);
const source = () => memorySource("golden", readFileSync(new URL("scaled.safetensors", GOLDEN)));
const golden = JSON.parse(readFileSync(new URL("scaled.json", GOLDEN), "utf8")) as {
  everyMxfp4: number;
  mxfp4: number[];
  everyFp8: number[];
  fp8: number;
};
const WIDTH = 3 * 32;

/** A file of two tensors: their types, shapes and bytes. */
function pairOf(...tensors: [name: string, dtype: string, shape: number[], data: Uint8Array][]) {
  let end = 0;
  const entry = ([name, dtype, shape, data]: (typeof tensors)[number]) => {
    const start = end;
    end += data.length;
    return [name, { dtype, shape, data_offsets: [start, end] }];
  };
  const header = Object.fromEntries(tensors.map(entry));
  return checkpointOf(memorySource("file", Buffer.concat([fileOf(header), ...tensors.map(([, , , data]) => data)])));
}

describe("MXFP4", () => {
  test("of a file that PyTorch wrote is read bit for bit: two experts of 4 rows, 3 groups a row", async () => {
    const checkpoint = await checkpointOf(source());
    expect(bitsOf(await readMxfp4(checkpoint, "experts_blocks", "experts_scales"))).toEqual(golden.mxfp4);
  });

  test("has for every byte with every factor the value that PyTorch gives it", async () => {
    const blocks = Uint8Array.from({ length: 256 * 256 }, (_, i) => i % 256);
    const scales = Uint8Array.from({ length: 256 * 16 }, (_, i) => Math.floor(i / 16));
    const checkpoint = await pairOf(["b", "U8", [256, 16, 16], blocks], ["s", "F8_E8M0", [256, 16], scales]);
    const values = await readMxfp4(checkpoint, "b", "s");
    expect(checksum(values)).toBe(golden.everyMxfp4);
    expect(values.findIndex((value) => Number.isNaN(value))).toBe(255 * 512); // the last factor is NaN
  });

  test("of some rows is read from their bytes alone, and every second row apart", async () => {
    const counted = countingSource(source());
    const checkpoint = await checkpointOf(counted);
    counted.reads.length = 0;
    const second = golden.mxfp4.slice(4 * WIDTH); // the second expert
    const row = (r: number) => second.slice(r * WIDTH, (r + 1) * WIDTH);
    const odd = await readMxfp4(checkpoint, "experts_blocks", "experts_scales", [4, 8], { first: 1, of: 2 });
    expect(bitsOf(odd)).toEqual([...row(1), ...row(3)]);
    const even = await readMxfp4(checkpoint, "experts_blocks", "experts_scales", [4, 8], { first: 0, of: 2 });
    expect(bitsOf(even)).toEqual([...row(0), ...row(2)]);
    expect(counted.reads.map(([start, end]) => end - start)).toEqual([4 * 3, 4 * 3 * 16, 4 * 3, 4 * 3 * 16]);
  });
});

describe("FP8", () => {
  test("has for every byte the value that PyTorch gives it", async () => {
    const codes = Uint8Array.from({ length: 256 }, (_, i) => i);
    const one = new Uint8Array(Float32Array.of(1, 1).buffer);
    const checkpoint = await pairOf(["s", "F32", [1, 2], one], ["w", "F8_E4M3", [1, 256], codes]);
    const values = await readFp8(checkpoint, "w", "s");
    expect([...values.keys()].filter((code) => Number.isNaN(values[code]))).toEqual([127, 255]);
    expect(bitsOf(values.map((value) => (Number.isNaN(value) ? 0 : value)))).toEqual(golden.everyFp8);
  });

  test("of a file that PyTorch wrote, two by three squares of which five are cut, is read bit for bit", async () => {
    const values = await readFp8(await checkpointOf(source()), "w.weight", "w.weight_scale_inv");
    expect(values.length).toBe(130 * 259);
    expect(checksum(values)).toBe(golden.fp8);
  });

  // A chunk ends inside a row, and inside a square.
  test("longer than a chunk goes on in its row and column", async () => {
    const [out, width] = [1100, 4099];
    const codes = new Uint8Array(out * width).map((_, i) => 0x38 + (i % 3)); // 1, 1.125, 1.25
    const factors = Float32Array.from({ length: 9 * 33 }, (_, i) => i + 1);
    const checkpoint = await pairOf(
      ["s", "F32", [9, 33], new Uint8Array(factors.buffer)],
      ["w", "F8_E4M3", [out, width], codes],
    );
    const values = await readFp8(checkpoint, "w", "s");
    const expected = (i: number) => {
      const [row, column] = [Math.floor(i / width), i % width];
      return (1 + (i % 3) / 8) * (Math.floor(row / 128) * 33 + Math.floor(column / 128) + 1);
    };
    expect(values.findIndex((value, i) => value !== expected(i))).toBe(-1);
  });
});

test.each<[string, string, Scaling, number, Every | undefined]>([
  ["experts_blocks", "MXFP4", { format: "mxfp4", scales: "experts_scales" }, 3 * 32, undefined],
  [
    "experts_blocks",
    "every second row of MXFP4",
    { format: "mxfp4", scales: "experts_scales" },
    3 * 32,
    { first: 1, of: 2 },
  ],
  ["w.weight", "FP8", { format: "fp8", scales: "w.weight_scale_inv" }, 259, undefined],
])("of %s (%s) a few rows are decoded as they are among all", async (tensor, _, scaling, width, every) => {
  const checkpoint = await checkpointOf(source());
  const spans = scaledSpans(checkpoint, tensor, scaling, undefined, every);
  const [factors, numbers] = await Promise.all(
    [spans.factors, spans.numbers].map(({ start, end, source: file }) => file.read(start, end)),
  );
  const whole = await (scaling.format === "fp8"
    ? readFp8(checkpoint, tensor, scaling.scales)
    : readMxfp4(checkpoint, tensor, scaling.scales, undefined, every));
  const write = spans.decode(factors!, numbers!);
  const rows = whole.length / width;
  const parts = new Float32Array(whole.length + 1);
  for (const first of [rows - 1, 1, 0]) {
    const count = first === 1 ? rows - 2 : 1;
    write(first, count, parts, 1 + first * width);
  }
  expect(bitsOf(parts.slice(1))).toEqual(bitsOf(whole));
});

describe("values and factors that do not fit each other are refused in one line", () => {
  const bytes = (count: number) => new Uint8Array(count);
  test.each<[string, () => ReturnType<typeof pairOf>, string]>([
    [
      "factors for fewer groups",
      () => pairOf(["b", "U8", [4, 3, 16], bytes(192)], ["s", "U8", [4, 2], bytes(8)]),
      'file: tensor "s": shape must be [4,3], one for each block of b, got [4,2]',
    ],
    [
      "groups of another length",
      () => pairOf(["b", "U8", [4, 3, 8], bytes(96)], ["s", "U8", [4, 3], bytes(12)]),
      'file: tensor "b": shape must be [..., groups, 16], got [4,3,8]',
    ],
    [
      "values of another type",
      () => pairOf(["b", "BF16", [4, 16], bytes(128)], ["s", "U8", [4], bytes(4)]),
      'file: tensor "b": dtype must be U8, for s scales it, got BF16',
    ],
    [
      "factors of another type",
      () => pairOf(["b", "U8", [4, 3, 16], bytes(192)], ["s", "I8", [4, 3], bytes(12)]),
      'file: tensor "s": dtype must be one of U8, F8_E8M0, got I8',
    ],
    [
      "no factors",
      () => pairOf(["b", "U8", [4, 3, 16], bytes(192)]),
      'x: no tensor is called "s"; the nearest of 1 are "b"',
    ],
  ])("MXFP4 with %s", async (_, open, message) => {
    const reading = readMxfp4(await open(), "b", "s");
    await expect(reading).rejects.toThrow(CheckpointError);
    await expect(reading).rejects.toThrow(message.replace("x: ", ""));
  });

  test.each<[string, () => ReturnType<typeof pairOf>, string]>([
    [
      "a square too few",
      () => pairOf(["s", "F32", [1, 1], bytes(4)], ["w", "F8_E4M3", [129, 2], bytes(258)]),
      'file: tensor "s": shape must be [2,1], one for each block of w, got [1,1]',
    ],
    [
      "factors of another type",
      () => pairOf(["s", "F8_E8M0", [1, 1], bytes(1)], ["w", "F8_E4M3", [3, 4], bytes(12)]),
      'file: tensor "s": dtype must be one of F32, BF16, F16, got F8_E8M0',
    ],
    [
      "values that are no matrix",
      () => pairOf(["s", "F32", [1], bytes(4)], ["w", "F8_E4M3", [12], bytes(12)]),
      'file: tensor "w": shape must be [out, in], got [12]',
    ],
    [
      "values of another type",
      () => pairOf(["s", "F32", [1, 1], bytes(4)], ["w", "F8_E5M2", [3, 4], bytes(12)]),
      'file: tensor "w": dtype must be F8_E4M3, for s scales it, got F8_E5M2',
    ],
  ])("FP8 with %s", async (_, open, message) => {
    await expect(readFp8(await open(), "w", "s")).rejects.toThrow(new CheckpointError(message));
  });

  test("FP8 without its factors is not read at all, for its values would be wrong", async () => {
    const checkpoint = await checkpointOf(source());
    await expect(checkpoint.readFloat32("w.weight")).rejects.toThrow(
      'golden: tensor "w.weight": dtype must be one of F32, BF16, F16, got F8_E4M3',
    );
  });
});
