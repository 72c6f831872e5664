import { describe, expect, test } from "vitest";
import { FP8_TURN, growTo, kernels, kernelsOf, PIECE_BYTES, TURN } from "../../../lib/checkpoint/kernels.ts";
import { seeded } from "../../helpers.ts";

const AT = PIECE_BYTES;

describe("widening", () => {
  test.each([1, 31, 32, 33, 1000])("%i bfloat16 become the float32 whose upper halves they are", (count) => {
    const { memory, widen } = kernels(AT + 4 * (count + TURN));
    const random = seeded(count);
    const halves = Uint16Array.from({ length: count }, () => Math.floor(random() * 65536));
    new Uint16Array(memory.buffer).set(halves);
    widen(AT, 0, count);
    const bits = new Uint32Array(memory.buffer, AT, count);
    expect([...bits]).toEqual([...halves].map((half) => half * 65536));
  });
});

describe("widening FP8", () => {
  // Micikevicius et al. 2022, table 1: bias 7, subnormals at exponent 0, NaN where all seven bits are set.
  const e4m3 = (code: number): number => {
    const [exponent, fraction] = [(code >> 3) & 15, code & 7];
    if ((code & 127) === 127) return Number.NaN;
    return (code < 128 ? 1 : -1) * (exponent === 0 ? fraction * 2 ** -9 : (1 + fraction / 8) * 2 ** (exponent - 7));
  };
  test.each([1, -1, 0.1, 1.9e-38, -3e-42, 0, 7.7e37, Number.POSITIVE_INFINITY, Number.NaN])(
    "every code times %d is their product, rounded once",
    (factor) => {
      const { memory, widenFp8 } = kernels(AT + 4 * 300);
      const codes = Array.from({ length: 255 }, (_, i) => 255 - i);
      new Uint8Array(memory.buffer, 1).set(codes);
      new Float32Array(memory.buffer, 300, 1).set([factor]);
      widenFp8(AT, 1, 300, codes.length); // bytes need no alignment, and numbers up to the turn's end are written
      const written = new Float32Array(memory.buffer, AT, 300);
      expect([...written.subarray(0, 255)]).toEqual(codes.map((code) => Math.fround(e4m3(code) * Math.fround(factor))));
      expect([...written.subarray(Math.ceil(255 / FP8_TURN) * FP8_TURN)]).toEqual(Array<number>(44).fill(0));
    },
  );
});

describe("transposing", () => {
  test.each([
    [4, 4],
    [8, 12],
    [64, 4],
    [4, 64],
    [20, 36],
  ])("[%i, %i] between rows of others puts every number in its place and writes nothing else", (rows, columns) => {
    const [xStride, outStride] = [columns + 3, rows + 5];
    const { memory, transpose } = kernels(4 * (rows * xStride + columns * outStride));
    const x = new Float32Array(memory.buffer, 0, rows * xStride).map((_, i) => i + 1);
    new Float32Array(memory.buffer).set(x);
    transpose(x.byteLength, 0, rows, columns, 4 * outStride, 4 * xStride);
    const out = new Float32Array(memory.buffer, x.byteLength, columns * outStride);
    const expected = new Float32Array(columns * outStride);
    for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++) expected[c * outStride + r] = x[r * xStride + c]!;
    expect(out).toEqual(expected);
  });
});

test("a memory that has grown is still known by its arrays", () => {
  const own = kernels(1);
  expect(kernelsOf(new Float32Array(own.memory.buffer))).toBe(own);
  growTo(own, 200_000);
  expect(own.memory.buffer.byteLength).toBe(4 << 16);
  expect(kernelsOf(new Float32Array(own.memory.buffer))).toBe(own);
  expect(kernelsOf(new Float32Array(4))).toBeUndefined();
});
