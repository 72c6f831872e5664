import { describe, expect, test } from "vitest";
import { type ByteSource, memorySource } from "../../../lib/checkpoint/bytes.ts";
import { openCheckpoint } from "../../../lib/checkpoint/checkpoint.ts";
import { CheckpointError } from "../../../lib/errors.ts";
import { bitsOf, checkpointOf, countingSource, fileOf, golden, goldenSource } from "./files.ts";

const u8 = (shape: number[], start: number, end: number) => ({ dtype: "U8", shape, data_offsets: [start, end] });
const fileAt = (name: string, header: object, data: Uint8Array | number) => memorySource(name, fileOf(header, data));

/** A file of one tensor "w" whose bytes are the header's and then, from nowhere, a repeating pattern. */
function endlessSource(dtype: string, shape: number[], bytes: number): ByteSource & { dataStart: number } {
  const head = fileOf({ w: { dtype, shape, data_offsets: [0, bytes] } });
  const read = async (start: number, end: number): Promise<Uint8Array> =>
    Uint8Array.from({ length: end - start }, (_, i) => head[start + i] ?? patternAt(start + i - head.length));
  return { name: "endless", byteLength: head.length + bytes, dataStart: head.length, read, close: async () => {} };
}
/** Element n as bfloat16 is 0x40 in its high byte, and n modulo 251 in its low one. */
const patternAt = (byte: number) => (byte % 2 === 1 ? 0x40 : (byte / 2) % 251);
/** 2 + n/64, for numbers from 2 to 4 lie 1/64 apart in bfloat16; from 4 to 8, 1/32. */
const valueOf = (n: number) => (n % 251 < 128 ? 2 + (n % 251) / 64 : 4 + ((n % 251) - 128) / 32);

describe("a file that PyTorch wrote", () => {
  test("is read bit for bit: F32, BF16 and F16 with signed zeros, infinities, NaN and subnormals", async () => {
    const checkpoint = await checkpointOf(goldenSource());
    for (const [name, bits] of Object.entries(golden.bits))
      expect([name, bitsOf(await checkpoint.readFloat32(name))]).toEqual([name, bits]);
  });

  test("gives its whole numbers, I64 among them, as int32", async () => {
    const checkpoint = await checkpointOf(goldenSource());
    for (const [name, values] of Object.entries(golden.integers))
      expect([name, [...(await checkpoint.readInt32(name))]]).toEqual([name, values]);
    await expect(checkpoint.readInt32("int64.large")).rejects.toThrow(
      new CheckpointError('golden: tensor "int64.large": values must fit in 32 bits, got 2147483648'),
    );
  });

  test("gives rows as they stand in the whole", async () => {
    const checkpoint = await checkpointOf(goldenSource());
    const whole = golden.bits["experts.w1"]!;
    for (let expert = 0; expert < 4; expert++) {
      const rows = await checkpoint.readFloat32("experts.w1", [expert * 3, (expert + 1) * 3]);
      expect(bitsOf(rows)).toEqual(whole.slice(expert * 15, (expert + 1) * 15));
    }
    expect([...(await checkpoint.readInt32("int64", [1, 2]))]).toEqual(golden.integers["int64"]!.slice(3));
  });

  test("is summed up in its info and metadata", async () => {
    const source = goldenSource();
    const { info, metadata } = await checkpointOf(source);
    expect(metadata).toEqual({ format: "pt", note: "naïve ✓" });
    expect(info).toEqual({
      files: 1,
      tensors: 14,
      bytes: source.byteLength,
      dtypes: { F32: 3, BF16: 2, F16: 2, I64: 2, I32: 1, I16: 1, I8: 1, U8: 1, BOOL: 1 },
    });
  });
});

describe("reading", () => {
  test("fetches the bytes of the rows asked for, once, in pieces of 4 MiB", async () => {
    const shape = [16 * 1000, 3001]; // 16 experts, 96 MB
    const source = countingSource(endlessSource("BF16", shape, 16 * 1000 * 3001 * 2));
    const { dataStart } = source;
    const checkpoint = await checkpointOf(source);
    source.reads.length = 0;
    const expert = await checkpoint.readFloat32("w", [3000, 4000]);
    const start = dataStart + 3000 * 3001 * 2;
    const end = start + 1000 * 3001 * 2;
    expect(source.reads).toEqual([
      [start, start + 4194304],
      [start + 4194304, end],
    ]);
    expect(expert.length).toBe(3001000);
    expect(expert.findIndex((value, i) => value !== valueOf(3000 * 3001 + i))).toBe(-1);
  });

  test("of no rows and of empty tensors fetches nothing", async () => {
    const source = countingSource(goldenSource());
    const checkpoint = await checkpointOf(source);
    source.reads.length = 0;
    expect(await checkpoint.readFloat32("experts.w1", [12, 12])).toEqual(new Float32Array(0));
    expect(await checkpoint.readFloat32("empty", [0, 0])).toEqual(new Float32Array(0));
    expect(await checkpoint.readFloat32("empty")).toEqual(new Float32Array(0));
    expect(source.reads).toEqual([]);
  });

  test.each([[[-1, 3]], [[0, 13]], [[4, 3]], [[0.5, 1]], [[Number.NaN, 1]]] as const)(
    "rows %j of 12 is a RangeError",
    async (rows) => {
      const checkpoint = await checkpointOf(goldenSource());
      await expect(checkpoint.readFloat32("experts.w1", rows)).rejects.toThrow(
        new RangeError(`golden: tensor "experts.w1": rows must be a range within [0, 12], got [${rows.join(", ")}]`),
      );
    },
  );

  test("a scalar has no rows", async () => {
    const checkpoint = await checkpointOf(goldenSource());
    await expect(checkpoint.readFloat32("scalar", [0, 1])).rejects.toThrow(
      'tensor "scalar": rows must be a range within [0, 0], got [0, 1]',
    );
  });

  test("floats as whole numbers, or the other way round, or a type of neither kind is an error that says what can be", async () => {
    const checkpoint = await checkpointOf(goldenSource());
    await expect(checkpoint.readFloat32("int64")).rejects.toThrow(
      new CheckpointError('golden: tensor "int64": dtype must be one of F32, BF16, F16, got I64'),
    );
    await expect(checkpoint.readInt32("scalar")).rejects.toThrow(
      'golden: tensor "scalar": dtype must be one of BOOL, U8, I8, U16, I16, U32, I32, U64, I64, got F32',
    );
    const packed = await checkpointOf(fileAt("x", { q: { dtype: "F8_E4M3", shape: [2], data_offsets: [0, 2] } }, 2));
    expect(packed.info.dtypes).toEqual({ F8_E4M3: 1 });
    await expect(packed.readFloat32("q")).rejects.toThrow(
      'x: tensor "q": dtype must be one of F32, BF16, F16, got F8_E4M3',
    );
  });

  test("a tensor that memory cannot hold is an error, while its rows are read", async () => {
    const checkpoint = await checkpointOf(endlessSource("BF16", [2 ** 40, 3], 2 ** 41 * 3));
    await expect(checkpoint.readFloat32("w")).rejects.toThrow(
      new CheckpointError(
        'endless: tensor "w": 3298534883328 values must be read in parts, for memory cannot hold them',
      ),
    );
    const row = 2 ** 40 - 1;
    expect([...(await checkpoint.readFloat32("w", [row, row + 1]))]).toEqual(
      [0, 1, 2].map((i) => valueOf(3 * row + i)),
    );
  });

  test("an unknown name is answered with the names most like it", async () => {
    const checkpoint = await checkpointOf(goldenSource());
    await expect(checkpoint.readFloat32("experts.w1.weight")).rejects.toThrow(
      /^golden: no tensor is called "experts\.w1\.weight"; the nearest of 14 are "experts\.w1", "half\.weight", "/,
    );
    await expect(checkpoint.readInt32("__proto__")).rejects.toThrow('golden: no tensor is called "__proto__"; ');
    const empty = await checkpointOf(memorySource("empty", fileOf("{}")));
    expect(() => empty.tensor("a")).toThrow(new CheckpointError('empty: no tensor is called "a"; it has none at all'));
  });

  test.each([
    ["U32", "disk: gone"],
    ["I64", 'endless: tensor "w": values must fit in 32 bits'], // the first chunk fails before the second is awaited
  ])("a failing read of %s fails the call, and is never left to fail unheard", async (dtype, message) => {
    const source = endlessSource(dtype, [3 * 2 ** 20], 3 * 2 ** 20 * (dtype === "U32" ? 4 : 8));
    let reads = 0;
    const failing = {
      ...source,
      read: (start: number, end: number) =>
        ++reads > 3 ? Promise.reject(new CheckpointError("disk: gone")) : source.read(start, end),
    };
    await expect((await checkpointOf(failing)).readInt32("w")).rejects.toThrow(message);
    expect(reads).toBe(4); // header length, header, two chunks
  });
});

describe("many files", () => {
  const first = fileAt("dir/1", { a: u8([2], 0, 2), b: u8([1], 2, 3) }, Uint8Array.of(1, 2, 3));
  const second = fileAt("dir/2", { c: u8([2], 0, 2) }, Uint8Array.of(4, 5));
  const files = new Map([
    ["1.safetensors", first],
    ["2.safetensors", second],
  ]);
  const opened = (index: Record<string, string>) =>
    openCheckpoint("dir", files, new Map(Object.entries(index).map(([name, file]) => [name, `${file}.safetensors`])));

  test("are read as one", async () => {
    const checkpoint = await opened({ a: "1", b: "1", c: "2" });
    expect([...checkpoint.tensors.keys()]).toEqual(["a", "b", "c"]);
    expect([...(await checkpoint.readInt32("c"))]).toEqual([4, 5]);
    expect([...(await checkpoint.readInt32("b"))]).toEqual([3]);
    expect(checkpoint.info).toEqual({
      files: 2,
      tensors: 3,
      bytes: first.byteLength + second.byteLength,
      dtypes: { U8: 3 },
    });
  });

  test("must be what their index says", async () => {
    await expect(opened({ a: "1", b: "1", c: "2", d: "2" })).rejects.toThrow(
      new CheckpointError('dir: tensor "d" must be in 2.safetensors by the index, got a file without it'),
    );
    await expect(opened({ a: "1", c: "2" })).rejects.toThrow(
      new CheckpointError('dir/1: tensor "b": must be in the file that the index names, got "none"'),
    );
    await expect(opened({ a: "1", b: "2", c: "2" })).rejects.toThrow(
      new CheckpointError('dir/1: tensor "b": must be in the file that the index names, got "2.safetensors"'),
    );
  });

  test("must not hold the same tensor", async () => {
    const twice = new Map([...files, ["3.safetensors", fileAt("dir/3", { a: u8([1], 0, 1) }, 1)]]);
    await expect(openCheckpoint("dir", twice)).rejects.toThrow(
      new CheckpointError('dir/3: tensor "a": must be in one file, got it in dir/1 too'),
    );
  });

  test("are all closed", async () => {
    const closed: string[] = [];
    const closing = [...files].map(([name, source]): [string, ByteSource] => [
      name,
      { ...source, close: async () => void closed.push(name) },
    ]);
    await (await openCheckpoint("dir", new Map(closing))).close();
    expect(closed).toEqual(["1.safetensors", "2.safetensors"]);
  });
});
