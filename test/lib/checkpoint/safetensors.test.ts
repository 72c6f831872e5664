import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type ByteSource, memorySource } from "../../../lib/checkpoint/bytes.ts";
import { DTYPE_BITS } from "../../../lib/checkpoint/dtype.ts";
import { MAX_HEADER_BYTES, MAX_TENSORS, readHeader, readIndex } from "../../../lib/checkpoint/safetensors.ts";
import { CheckpointError } from "../../../lib/errors.ts";
import { countingSource, fileOf, golden, goldenSource } from "./files.ts";

const header = (...args: Parameters<typeof fileOf>) => readHeader(memorySource("x.safetensors", fileOf(...args)));
const entry = (shape: unknown, from: unknown, to: unknown, dtype: unknown = "F32") => ({
  dtype,
  shape,
  data_offsets: [from, to],
});

/** The byte of a file that is byte n of its values. */
const byteAt = (n: number, file: object) => 8 + JSON.stringify(file).length + n;

const index = (text: string) => readIndex(memorySource("index.json", new TextEncoder().encode(text)));

/** The message of the CheckpointError that a promise ends in, and which must be one line of sane length. */
async function failure(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => new Error("nothing was thrown"),
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(CheckpointError);
  const { message } = error as CheckpointError;
  expect(message).not.toMatch(/[\n\r]/);
  expect(message.length).toBeLessThan(500);
  return message;
}

/**
 * Asserts that a header is read, and then obeys its own laws, or is refused, and that no more is read than there is.
 * Returns how many tensors it has.
 */
async function holds(bytes: Uint8Array): Promise<number> {
  let read = 0;
  const source = countingSource(memorySource("x.safetensors", bytes));
  try {
    const { tensors } = await readHeader(source);
    let next: number | undefined;
    for (const { dtype, shape, start, end } of tensors.values()) {
      expect(start).toBe(next ?? start);
      expect(8 * (end - start)).toBe(shape.reduce((a, b) => a * b, 1) * DTYPE_BITS[dtype]);
      next = end;
    }
    expect(next ?? bytes.length).toBe(bytes.length);
    read = tensors.size;
  } catch (error) {
    await failure(Promise.reject(error));
  }
  expect(source.reads.length).toBeLessThanOrEqual(2);
  for (const [start, end] of source.reads) expect(0 <= start && start <= end && end <= bytes.length).toBe(true);
  return read;
}

describe("a good header", () => {
  test("names, types, shapes and bytes are those of a file that PyTorch wrote", async () => {
    const source = countingSource(goldenSource());
    const { tensors, metadata } = await readHeader(source);
    expect(Object.fromEntries([...tensors].map(([name, { shape }]) => [name, shape]))).toEqual(golden.shapes);
    expect(tensors.get("experts.w1")?.dtype).toBe("BF16");
    expect(metadata).toEqual({ format: "pt", note: "naïve ✓" });
    const dataStart = 8 + new DataView(Uint8Array.from(await source.read(0, 8)).buffer).getUint32(0, true);
    expect([...tensors.values()][0]?.start).toBe(dataStart);
    expect([...tensors.values()].at(-1)?.end).toBe(source.byteLength);
    expect(source.reads.slice(0, 2)).toEqual([
      [0, 8],
      [8, dataStart],
    ]);
  });

  test("no tensor at all, a scalar, an empty tensor, packed 4-bit values and spaces after the object are fine", async () => {
    expect((await header("{}  ")).tensors.size).toBe(0);
    const file = {
      scalar: entry([], 0, 4),
      nothing: entry([0, 7], 0, 0),
      packed: entry([3, 2], 4, 7, "F4"),
    };
    const { tensors } = await header(file, 7);
    const dataStart = 8 + JSON.stringify(file).length;
    expect(tensors.get("packed")).toEqual({
      name: "packed",
      dtype: "F4",
      shape: [3, 2],
      start: dataStart + 4,
      end: dataStart + 7,
    });
  });

  test("a tensor called __proto__ or constructor is a tensor like any other", async () => {
    const { tensors, metadata } = await header(
      '{"__metadata__":{"__proto__":"m"},"__proto__":{"dtype":"I8","shape":[1],"data_offsets":[0,1]},' +
        '"constructor":{"dtype":"I8","shape":[2],"data_offsets":[1,3]}}',
      3,
    );
    expect([...tensors.keys()]).toEqual(["__proto__", "constructor"]);
    expect(Object.entries(metadata)).toEqual([["__proto__", "m"]]);
    expect(Object.hasOwn(Object.prototype, "dtype")).toBe(false);
  });
});

describe("a bad file", () => {
  const long = `{"a":{"dtype":${"[".repeat(200_000)}${"]".repeat(200_000)}}}`;
  const cases: [title: string, file: Uint8Array, message: string][] = [
    ["is empty", new Uint8Array(0), "file must have at least 8 bytes, got 0"],
    ["ends in the header's length", new Uint8Array(7), "file must have at least 8 bytes, got 7"],
    ["ends in the header", fileOf("{}", 0, 100n), "header must end within the file's 10 bytes, got an end at 108"],
    [
      "has a header past all reason",
      fileOf("{}", 0, 2n ** 64n - 1n),
      "header must be at most 33554432 bytes long, got 18446744073709551615",
    ],
    [
      "is a Git LFS pointer",
      new TextEncoder().encode("version https://git-lfs.github.com/spec/v1\n"),
      "file must hold tensors, got a Git LFS pointer (fetch it with git lfs pull)",
    ],
    ["has an empty header", fileOf(""), "header must be a JSON object, got text that is not JSON"],
    ["has no JSON", fileOf("{'a': 1}"), "header must be a JSON object, got text that is not JSON"],
    ["begins with a byte order mark", fileOf("\ufeff{}"), "header must be a JSON object, got text that is not JSON"],
    ["is not UTF-8", fileOf("{}").fill(0xff, 8), "header must be a JSON object, got bytes that are not UTF-8"],
    [
      "opens millions of objects",
      fileOf(`{"a":[${"{},".repeat(3_000_000)}{}]}`),
      "header must describe at most 262144 tensors, got more",
    ],
    ["holds an array", fileOf("[]"), "header must be a JSON object, got []"],
    ["holds null", fileOf("null"), "header must be a JSON object, got null"],
    [
      "names a tensor twice",
      fileOf('{"a":{"dtype":"I8","shape":[1],"data_offsets":[0,1]},"\\u0061":{}}', 1),
      "header must give each name once, got 2 names of which 1 differ",
    ],
    [
      "has metadata that is no text",
      fileOf({ __metadata__: { n: 1 } }),
      "__metadata__ must be an object of texts, got an object",
    ],
    ["has metadata that is null", fileOf({ __metadata__: null }), "__metadata__ must be an object of texts, got null"],
    [
      "has a tensor that is a number",
      fileOf({ a: 3 }),
      'tensor "a": must be an object of dtype, shape and data_offsets, got 3',
    ],
    [
      "has an unknown dtype",
      fileOf({ a: entry([1], 0, 4, "Q4_K") }, 4),
      `tensor "a": dtype must be one of ${Object.keys(DTYPE_BITS).join(", ")}, got "Q4_K"`,
    ],
    [
      "has a dtype that objects inherit",
      fileOf({ a: entry([1], 0, 4, "toString") }, 4),
      `tensor "a": dtype must be one of ${Object.keys(DTYPE_BITS).join(", ")}, got "toString"`,
    ],
    [
      "nests without end",
      fileOf(long),
      `tensor "a": dtype must be one of ${Object.keys(DTYPE_BITS).join(", ")}, got a nested array`,
    ],
    [
      "has a negative size",
      fileOf({ a: entry([2, -1], 0, 4) }, 4),
      'tensor "a": shape must be up to 64 whole numbers from 0 on, got [2,-1]',
    ],
    [
      "has half a row",
      fileOf({ a: entry([0.5], 0, 2) }, 2),
      'tensor "a": shape must be up to 64 whole numbers from 0 on, got [0.5]',
    ],
    [
      "has a size beyond a double",
      fileOf('{"a":{"dtype":"U8","shape":[9007199254740993],"data_offsets":[0,1]}}', 1),
      'tensor "a": shape must be up to 64 whole numbers from 0 on, got [9007199254740992]',
    ],
    [
      "has no shape",
      fileOf({ a: { dtype: "F32", data_offsets: [0, 4] } }, 4),
      'tensor "a": shape must be up to 64 whole numbers from 0 on, got undefined',
    ],
    [
      "has a product beyond a double",
      fileOf({ a: entry([2 ** 50, 2 ** 50], 0, 4) }, 4),
      'tensor "a": data_offsets must span 5.070602400912918e+30 bytes for F32 [1125899906842624,1125899906842624], got [0,4]',
    ],
    [
      "has a product that overflows to no number",
      fileOf({ a: entry([...Array.from({ length: 30 }, () => 2 ** 50), 0], 0, 0) }),
      'tensor "a": data_offsets must span NaN bytes',
    ],
    [
      "has three offsets",
      fileOf({ a: { ...entry([1], 0, 4), data_offsets: [0, 2, 4] } }, 4),
      'tensor "a": data_offsets must be two whole numbers from 0 on, got [0,2,4]',
    ],
    [
      "has offsets as texts",
      fileOf({ a: entry([1], "0", "4") }, 4),
      'tensor "a": data_offsets must be two whole numbers from 0 on, got ["0","4"]',
    ],
    [
      "has offsets that run backwards",
      fileOf({ a: entry([1], 4, 0) }, 4),
      'tensor "a": data_offsets must span 4 bytes for F32 [1], got [4,0]',
    ],
    [
      "has bytes that do not fit the shape",
      fileOf({ a: entry([3], 0, 8) }, 8),
      'tensor "a": data_offsets must span 12 bytes for F32 [3], got [0,8]',
    ],
    [
      "has half a byte",
      fileOf({ a: entry([3], 0, 2, "F4") }, 2),
      'tensor "a": data_offsets must span 1.5 bytes for F4 [3], got [0,2]',
    ],
  ];
  test.each(cases)("that %s is refused in one line", async (_, file, message) => {
    expect(await failure(readHeader(memorySource("x.safetensors", file)))).toContain(`x.safetensors: ${message}`);
  });

  test("is told by where its tensors lie: overlapping, apart, cut off or followed by something", async () => {
    const overlapping = { a: entry([2], 0, 8), b: entry([2], 4, 12) };
    expect(await failure(header(overlapping, 12))).toBe(
      `x.safetensors: tensor "b": must start at byte ${byteAt(8, overlapping)}, where tensor "a" ends, got ${byteAt(4, overlapping)}`,
    );
    const apart = { a: entry([1], 4, 8) };
    expect(await failure(header(apart, 8))).toBe(
      `x.safetensors: tensor "a": must start at byte ${byteAt(0, apart)}, where the header ends, got ${byteAt(4, apart)}`,
    );
    const cut = { a: entry([2], 0, 8) };
    expect(await failure(header(cut, 7))).toBe(
      `x.safetensors: tensor "a": must end within the file's ${byteAt(7, cut)} bytes, got an end at ${byteAt(8, cut)}`,
    );
    expect(await failure(header(cut, 9))).toBe(
      `x.safetensors: file must be ${byteAt(8, cut)} bytes long by its header, got ${byteAt(9, cut)}`,
    );
  });

  test("with a name of many lines is still refused in one", async () => {
    const name = `a\nb\r${"c".repeat(1000)}`;
    expect(await failure(header({ [name]: 1 }))).toMatch(
      /^x\.safetensors: tensor "a\\nb\\rc{60,80}…: must be an object/,
    );
  });

  test("with more tensors than any model has is refused", async () => {
    const entries = Array.from({ length: MAX_TENSORS + 1 }, (_, i) => `"${i}":0`);
    const text = new TextEncoder().encode(`{${entries.join(",")}}`);
    const file = new Uint8Array(8 + text.length);
    new DataView(file.buffer).setUint32(0, text.length, true);
    file.set(text, 8);
    expect(await failure(readHeader(memorySource("x.safetensors", file)))).toBe(
      "x.safetensors: header must describe at most 262144 tensors, got more",
    );
  });

  test("as large as it likes is not read where its header is too long", async () => {
    const prefix = fileOf("", 0, BigInt(MAX_HEADER_BYTES + 1));
    const source = countingSource({ ...memorySource("x.safetensors", prefix), byteLength: 2 ** 50 });
    expect(await failure(readHeader(source))).toBe(
      "x.safetensors: header must be at most 33554432 bytes long, got 33554433",
    );
    expect(source.reads).toEqual([[0, 8]]);
  });
});

describe("an index", () => {
  test("says which file holds each tensor", async () => {
    const map = await index(
      '{"metadata":{"total_size":9},"weight_map":{"a":"m-1.safetensors","__proto__":"m-2.safetensors"}}',
    );
    expect([...map]).toEqual([
      ["a", "m-1.safetensors"],
      ["__proto__", "m-2.safetensors"],
    ]);
  });

  test.each([
    ["../m.safetensors"],
    ["/etc/m.safetensors"],
    ["a/m.safetensors"],
    ["a\\m.safetensors"],
    ["c:m.safetensors"],
    ["a\nm.safetensors"],
    ["m\u0000.safetensors"],
    [".safetensors"],
    ["pytorch_model.bin"],
    [""],
    [7],
  ])("may name plain files of its folder only, so not %j", async (file) => {
    expect(await failure(index(JSON.stringify({ weight_map: { a: file } })))).toBe(
      `index.json: tensor "a": file must be a plain name ending in .safetensors, got ${JSON.stringify(file)}`,
    );
  });

  test("that is malformed is refused", async () => {
    expect(await failure(index("{"))).toBe("index.json: index must be a JSON object, got text that is not JSON");
    expect(await failure(index("{}"))).toBe(
      "index.json: weight_map must be an object of tensor and file, got undefined",
    );
    expect(await failure(index('{"weight_map":[]}'))).toBe(
      "index.json: weight_map must be an object of tensor and file, got []",
    );
    expect(await failure(index('{"weight_map":{}}'))).toBe("index.json: weight_map must name some tensors, got none");
    const huge = countingSource({ ...memorySource("index.json", new Uint8Array(0)), byteLength: 2 ** 40 });
    expect(await failure(readIndex(huge))).toBe(
      "index.json: index must be at most 33554432 bytes long, got 1099511627776",
    );
    expect(huge.reads).toEqual([]);
  });
});

describe("whatever the bytes", () => {
  test("random bytes are read or refused", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 64 }), async (bytes) => void (await holds(bytes))),
      { seed: 1, numRuns: 500 },
    );
  });

  test("any JSON as a header is read or refused", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.json({ maxDepth: 4 }),
        fc.nat(16),
        async (json, data) => void (await holds(fileOf(json, data))),
      ),
      { seed: 2, numRuns: 500 },
    );
  });

  test("headers of nearly right tensors are read or refused", async () => {
    const name = fc.oneof(fc.string({ maxLength: 3 }), fc.constantFrom("__proto__", "__metadata__", "constructor"));
    const dtype = fc.constantFrom("U8", "F16", "F4", "F64");
    const tensor = fc.tuple(name, dtype, fc.array(fc.nat(4), { maxLength: 3 }));
    const odd = fc.constantFrom(-1, 0.5, 1, 2 ** 53, 1e308, null, "4", "F16", [], [4], [0, 2, 4], {});
    const damage = fc.record({ field: fc.constantFrom("dtype", "shape", "data_offsets"), value: odd, cut: fc.nat(3) });
    let read = 0;
    const property = fc.asyncProperty(
      fc.array(tensor, { maxLength: 3 }),
      fc.option(damage, { freq: 1 }),
      async (tensors, wrong) => {
        let end = 0;
        const entries = tensors.map(([key, type, shape]) => {
          const start = end;
          end += Math.ceil((shape.reduce((a, b) => a * b, 1) * DTYPE_BITS[type]) / 8);
          return [key, entry(shape, start, end, type)] as const;
        });
        if (wrong !== null) Object.assign(entries[0]?.[1] ?? {}, { [wrong.field]: wrong.value });
        const json = entries.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`).join(",");
        const file = fileOf(`{${json}}`, Math.max(0, end - (wrong?.cut ?? 0)));
        read += await holds(file);
      },
    );
    await fc.assert(property, { seed: 3, numRuns: 2000 });
    expect(read).toBeGreaterThan(500); // right files are among them
  });

  test("a good file with bytes changed, cut off or added is read or refused", async () => {
    const good = new Uint8Array(await goldenSource().read(0, goldenSource().byteLength));
    const change = fc.tuple(fc.nat(good.length - 1), fc.nat(255));
    await fc.assert(
      fc.asyncProperty(fc.array(change, { maxLength: 4 }), fc.nat(good.length + 8), async (changes, length) => {
        const bytes = new Uint8Array(good);
        for (const [at, value] of changes) bytes[at] = value;
        await holds(bytes);
        const other = new Uint8Array(length);
        other.set(bytes.subarray(0, length));
        await holds(other);
      }),
      { seed: 4, numRuns: 1000 },
    );
  });

  test("any JSON as an index is read or refused", async () => {
    const file = fc.oneof(fc.constant("m.safetensors"), fc.string(), fc.nat(3));
    const map = fc.oneof(fc.dictionary(fc.string(), file), fc.jsonValue());
    await fc.assert(
      fc.asyncProperty(map, async (weightMap) => {
        const bytes = new TextEncoder().encode(JSON.stringify({ weight_map: weightMap }));
        const source: ByteSource = memorySource("index.json", bytes);
        try {
          for (const shard of (await readIndex(source)).values()) expect(shard).toMatch(/^[^/\\]+\.safetensors$/);
        } catch (error) {
          await failure(Promise.reject(error));
        }
      }),
      { seed: 5, numRuns: 500 },
    );
  });
});
