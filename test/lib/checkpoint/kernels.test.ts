import { describe, expect, test } from "vitest";
import { growTo, kernels, kernelsOf, PIECE_BYTES, TURN } from "../../../lib/checkpoint/kernels.ts";
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
