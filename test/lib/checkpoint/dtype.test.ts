import { describe, expect, test } from "vitest";
import { DTYPE_BITS, TO_FLOAT32, TO_INT32, toBF16 } from "../../../lib/checkpoint/dtype.ts";
import { checksum, golden } from "./files.ts";

const EVERY_HALF = new Uint8Array(Uint16Array.from({ length: 1 << 16 }, (_, i) => (i + 0x8000) & 0xffff).buffer);

const readInt = (bytes: ArrayBuffer, dtype: keyof typeof TO_INT32): number => {
  const out = new Int32Array(1);
  TO_INT32[dtype]?.(new Uint8Array(bytes), out, 0, 'a.safetensors: tensor "ids"');
  return out[0]!;
};

const tooLarge = (value: string) => `a.safetensors: tensor "ids": values must fit in 32 bits, got ${value}`;

describe("reading floats", () => {
  test.each(["f16", "bf16"] as const)("every %s value is the one that PyTorch reads", (name) => {
    const out = new Float32Array(1 << 16);
    (name === "f16" ? TO_FLOAT32.F16 : TO_FLOAT32.BF16)?.(EVERY_HALF, out, 0, "");
    expect(checksum(out)).toBe(golden.checksums[name]);
    // NaN: exponent all ones, a fraction that is not zero.
    expect(out.filter((x) => Number.isNaN(x)).length).toBe(2 * (name === "f16" ? 1023 : 127));
  });

  test("values go where they are asked to and nowhere else, from bytes at any address", () => {
    const bytes = Uint8Array.from([9, 0x80, 0x3f, 0x00, 0xc0, 0x40, 0x40, 9]).subarray(1, 7); // bf16 1, -2, 3
    const out = new Float32Array(8).fill(7).subarray(1);
    TO_FLOAT32.BF16?.(bytes, out, 2, "");
    expect([...out]).toEqual([7, 7, 1, -2, 3, 7, 7]);
    TO_FLOAT32.F16?.(Uint8Array.from([9, 0x00, 0x3c]).subarray(1), out, 0, "");
    TO_FLOAT32.F32?.(Uint8Array.from([9, 0, 0, 0x20, 0x41]).subarray(1), out, 6, "");
    expect([...out]).toEqual([1, 7, 1, -2, 3, 7, 10]);
  });

  test("only types that float32 holds exactly are read as float32", () => {
    expect(Object.keys(TO_FLOAT32)).toEqual(["F32", "BF16", "F16"]);
  });
});

describe("reading whole numbers", () => {
  test("a value that 32 bits do not hold is an error, not another value", () => {
    expect(readInt(BigInt64Array.of(-(2n ** 31n)).buffer, "I64")).toBe(-(2 ** 31));
    expect(readInt(BigUint64Array.of(2n ** 31n - 1n).buffer, "U64")).toBe(2 ** 31 - 1);
    expect(() => readInt(BigInt64Array.of(-(2n ** 31n) - 1n).buffer, "I64")).toThrow(tooLarge("-2147483649"));
    expect(() => readInt(BigUint64Array.of(2n ** 64n - 1n).buffer, "U64")).toThrow(tooLarge("18446744073709551615"));
    expect(() => readInt(Uint32Array.of(2 ** 31).buffer, "U32")).toThrow(tooLarge("2147483648"));
  });
});

describe("rounding to bfloat16", () => {
  test("float32 is rounded as PyTorch rounds it", () => {
    const values = new Float32Array(Int32Array.from(golden.rounding.float32).buffer);
    expect([...toBF16(values)]).toEqual(golden.rounding.bfloat16);
  });

  test("every NaN stays a NaN, whatever its bits", () => {
    const nans = new Float32Array(Uint32Array.of(0x7f800001, 0xff800001, 0x7fc00000, 0xffffffff).buffer);
    const out = new Float32Array(4);
    TO_FLOAT32.BF16?.(new Uint8Array(toBF16(nans).buffer), out, 0, "");
    expect([...out]).toEqual([NaN, NaN, NaN, NaN]);
  });

  test("every bfloat16 value survives the way to float32 and back", () => {
    const values = new Float32Array(1 << 16);
    TO_FLOAT32.BF16?.(EVERY_HALF, values, 0, "");
    const back = toBF16(values);
    const changed = [...new Uint16Array(EVERY_HALF.buffer)].filter((half, i) => half !== back[i]);
    expect(changed.every((half) => Number.isNaN(values[(half + 0x8000) & 0xffff]))).toBe(true);
    expect(changed.length).toBe(2 * 63); // signalling NaNs, which become quiet ones
  });
});

test("the format's types are whole bytes but for the packed 4- and 6-bit floats", () => {
  const packed = Object.entries(DTYPE_BITS).filter(([, bits]) => bits % 8 !== 0);
  expect(packed).toEqual([
    ["F4", 4],
    ["F6_E2M3", 6],
    ["F6_E3M2", 6],
  ]);
});
