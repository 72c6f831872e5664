import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CheckpointError } from "../../../lib/errors.ts";
import { readNpy } from "../../../lib/trace/npy.ts";
import { fixture } from "./fixtures.ts";

/** A .npy file with any header. */
function npy(header: string, data: number[] = [], version = 1): Uint8Array {
  const length = header.length + 1;
  const size = version === 1 ? [length & 255, length >> 8] : [length & 255, length >> 8, 0, 0];
  const text = [...new TextEncoder().encode(`${header}\n`)];
  return Uint8Array.from([0x93, ...new TextEncoder().encode("NUMPY"), version, 0, ...size, ...text, ...data]);
}
const header = (descr: string, shape: string, order = "False") =>
  `{'descr': '${descr}', 'fortran_order': ${order}, 'shape': ${shape}, }`;

describe("readNpy", () => {
  test("reads what numpy wrote", () => {
    const { shape, values } = readNpy("x", fixture("vllm/array.npy"));
    expect(shape).toEqual([4, 3, 2]);
    expect(values).toBeInstanceOf(Int32Array);
    expect(values.length).toBe(24);
  });

  test.each([
    ["|u1", "(3,)", [1, 2, 255], [1, 2, 255]],
    ["|b1", "(2,)", [0, 1], [0, 1]],
    ["<i2", "(1, 2)", [1, 0, 255, 255], [1, -1]],
    ["<u2", "()", [255, 255], [65535]],
    ["<i8", "(1,)", [254, 255, 255, 255, 255, 255, 255, 255], [-2]],
    ["<f2", "(1,)", [0, 0x3c], [1]],
    ["<f4", "(1,)", [0, 0, 0xc0, 0x3f], [1.5]],
    ["<f8", "(1,)", [0, 0, 0, 0, 0, 0, 0xf8, 0x3f], [1.5]],
    ["<f4", "(0, 7)", [], []],
  ])("reads %s of shape %s in every version of the format", (descr, shape, data, values) => {
    for (const version of [1, 2, 3])
      expect([...readNpy("x", npy(header(descr, shape), data, version)).values]).toEqual(values);
  });

  test.each([
    [npy(header("<i8", "(1,)"), [0, 0, 0, 0, 1, 0, 0, 0]), "x: values must fit in 32 bits, got 4294967296"],
    [npy(header(">i4", "(1,)"), [0, 0, 0, 1]), 'x: descr must be little-endian numbers, got ">i4"'],
    [npy(header("|O", "(1,)"), [0]), 'x: descr must be little-endian numbers, got "|O"'],
    [npy(header("<c8", "(1,)"), [0]), 'x: descr must be little-endian numbers, got "<c8"'],
    [npy(header("<i4", "(2, 2)", "True"), [0]), /^x: fortran_order must be False .* got "True"$/],
    [npy(header("<i4", "(2,)"), [0]), "x: I32 [2] must have 8 bytes, got 1"],
    [npy(header("|u1", "(9999999999, 9999999999)"), [0]), /^x: shape must be that of an array, got \[9999999999/],
    [npy("{'descr': '<i4'}"), /^x: header must be descr, fortran_order, shape, got /],
    [npy("__import__('os')"), /^x: header must be descr, fortran_order, shape, got /],
    [npy("", [], 4), "x: .npy version must be 1, 2 or 3, got 4"],
    [npy(" ".repeat(5000)), "x: header must be at most 4096 bytes long, got 5001"],
    [npy(header("|u1", "(1,)")).subarray(0, 30), "x: header must be within the file's 30 bytes, got 68"],
    [Uint8Array.of(1, 2, 3), 'x: file must be a .npy file, got "3 bytes that begin otherwise"'],
  ])("refuses file %#", (bytes, message) => {
    expect(() => readNpy("x", bytes)).toThrow(CheckpointError);
    expect(() => readNpy("x", bytes)).toThrow(message);
  });

  test("reads or refuses whatever it is given", () => {
    const good = fixture("vllm/array.npy");
    const change = fc.array(fc.record({ at: fc.nat(good.length - 1), byte: fc.nat(255) }), { maxLength: 3 });
    let read = 0;
    fc.assert(
      fc.property(change, fc.nat(good.length), (changes, end) => {
        const bytes = good.slice(0, end % 4 === 0 ? end : undefined);
        for (const { at, byte } of changes) bytes[at] = byte;
        try {
          const { shape, values } = readNpy("x", bytes);
          expect(values.length).toBe(shape.reduce((a, b) => a * b, 1));
          read++;
        } catch (error) {
          expect(error).toBeInstanceOf(CheckpointError);
          expect((error as Error).message).not.toMatch(/[\n\r]/);
        }
      }),
      { numRuns: 1000 },
    );
    expect(read).toBeGreaterThan(100);
  });
});
