import { describe, expect, test } from "vitest";
import { canDot, dotsOn, LANES, padded } from "../../../lib/decode/dots.ts";
import { relativeError, seeded } from "../../helpers.ts";

describe.each([true, false])("dots on a memory that threads share: %s", (shared) => {
  test.each([
    // rows, width, stride
    [1, 16, 16],
    [3, 32, 32],
    [7, 48, 80],
    [130, 256, 256],
  ])(
    "of %i rows of %i numbers, %i apart, are what a plain loop gives, and nothing else is written",
    (rows, width, stride) => {
      const random = seeded(rows);
      const { memory, dots } = dotsOn(4 * (rows * stride + width + rows + 2), shared);
      const all = new Float32Array(memory.buffer).map(() => random() - 0.5);
      new Float32Array(memory.buffer).set(all);
      const [out, x, w] = [rows * stride + width + 1, rows * stride, 0];
      dots(4 * out, 4 * x, 4 * w, rows, 4 * width, 4 * stride);
      const expected = Float32Array.from({ length: rows }, (_, r) =>
        all.subarray(x, x + width).reduce((sum, value, i) => sum + value * all[w + r * stride + i]!, 0),
      );
      const after = new Float32Array(memory.buffer);
      expect(relativeError(after.subarray(out, out + rows), expected)).toBeLessThan(1e-6);
      after.set(all.subarray(out, out + rows), out);
      expect(after).toEqual(new Float32Array(after).fill(0).map((_, i) => all[i]!));
    },
  );
});

test("dots carry what is not a number and what is infinite through", () => {
  const { memory, dots } = dotsOn(1024, false);
  const numbers = new Float32Array(memory.buffer);
  numbers.fill(1, 0, LANES); // x
  numbers.fill(1, LANES, 3 * LANES); // two rows
  numbers[LANES + 5] = Number.NaN;
  numbers[2 * LANES + 5] = Number.POSITIVE_INFINITY;
  dots(4 * 3 * LANES, 0, 4 * LANES, 2, 4 * LANES, 4 * LANES);
  expect([...numbers.subarray(3 * LANES, 3 * LANES + 2)]).toEqual([Number.NaN, Number.POSITIVE_INFINITY]);
});

test("a memory that threads share grows under views that stay valid", () => {
  const { memory } = dotsOn(1, true);
  const view = new Float32Array(memory.buffer, 0, 4);
  memory.grow(2);
  new Float32Array(memory.buffer)[3] = 7;
  expect(view[3]).toBe(7);
  expect(memory.buffer.byteLength).toBe(3 << 16);
});

test("this machine can run them", () => {
  expect(canDot()).toBe(true);
});

test("a row is padded to whole turns of the loop", () => {
  expect([0, 1, 15, 16, 17, 256].map(padded)).toEqual([0, 16, 16, 16, 32, 256]);
});
