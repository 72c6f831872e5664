import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, test } from "vitest";
import { type BackendName, useBackend } from "../../../lib/backend.ts";
import { TO_FLOAT32, toBF16 } from "../../../lib/checkpoint/dtype.ts";
import { type Place, Placing } from "../../../lib/checkpoint/placing.ts";

/** Whole numbers that bfloat16 holds: 0 to 255, again and again. */
const numbers = (rows: number, columns: number): Float32Array =>
  Float32Array.from({ length: rows * columns }, (_, i) => i % 256);

/** Puts a matrix in its place, out of bytes of a type. */
function put(placing: Placing, values: Float32Array, dtype: "F32" | "BF16", place: Place): void {
  const bytes = new Uint8Array(dtype === "F32" ? values.buffer : toBF16(values).buffer);
  const row = (bytes.length / values.length) * place.columns;
  placing.put(
    values.length / place.columns,
    (first, count, out, at) => TO_FLOAT32[dtype]!(bytes.subarray(first * row, (first + count) * row), out, at, ""),
    place,
  );
}

describe.each<BackendName>(["tensorflow", "wasm", "cpu"])("placing on %s", (backend) => {
  beforeAll(async () => {
    await useBackend(backend);
  });

  // Sizes that are no multiples of four, one that is cut into bands, a row, a column.
  test.each([
    [4, 8],
    [5, 7],
    [600, 515],
    [1, 9],
    [9, 1],
  ])("[%i, %i] turned is what the backend's own transpose gives", (rows, columns) => {
    const values = numbers(rows, columns);
    const placing = new Placing();
    placing.begin(rows * columns, columns);
    put(placing, values, "BF16", { columns, transposed: true, at: 0, stride: rows });
    tf.tidy(() => {
      const expected = tf.tensor2d(values, [rows, columns]).transpose();
      expect(placing.lend([columns, rows]).sub(expected).abs().max().dataSync()[0]).toBe(0);
    });
  });

  test("matrices stand side by side, turned or not, whatever their type", () => {
    const placing = new Placing();
    placing.begin(3 * 7, 3);
    const [left, right] = [numbers(2, 3), numbers(3, 5)];
    put(placing, left, "F32", { columns: 3, transposed: true, at: 0, stride: 7 });
    put(placing, right, "BF16", { columns: 5, transposed: false, at: 2, stride: 7 });
    const placed = placing.copy([3, 7]);
    expect(placed.arraySync()).toEqual([
      [0, 3, 0, 1, 2, 3, 4],
      [1, 4, 5, 6, 7, 8, 9],
      [2, 5, 10, 11, 12, 13, 14],
    ]);
    placed.dispose();
  });

  test("what was copied or lent keeps its numbers when others are placed, unless it was disposed", () => {
    const placing = new Placing();
    const place = (first: number): void => {
      placing.begin(32, 32);
      const values = Float32Array.from({ length: 32 }, (_, i) => first + i);
      put(placing, values, "BF16", { columns: 32, transposed: false, at: 0, stride: 32 });
    };
    place(0);
    const copied = placing.copy([32]);
    place(32);
    const lent = placing.lend([32]);
    lent.square().dispose(); // tensorflow takes numbers over when they are first used
    place(64);
    const again = placing.lend([32]);
    again.square().dispose();
    expect([copied, lent, again].map((tensor) => tensor.dataSync()[5])).toEqual([5, 37, 69]);
    tf.dispose([copied, lent, again]);
  });
});
