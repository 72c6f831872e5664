import { describe, expect, test } from "vitest";
import { ConfigError } from "../../../lib/errors.ts";
import { Batches } from "../../../lib/train/data.ts";

/** Tokens that are their own places. */
const places = (n: number): Uint16Array => Uint16Array.from({ length: n }, (_, i) => i);

/** The rows of some steps' batches, one after the other. */
function rows(batches: Batches, steps: number): number[][] {
  return Array.from({ length: steps }, (_, step) => batches.at(step)).flatMap(({ ids, batch, pos }) =>
    Array.from({ length: batch }, (_, b) => [...ids.subarray(b * (pos + 1), (b + 1) * (pos + 1))]),
  );
}

describe("Batches", () => {
  test("have windows of pos + 1 tokens in a row that overlap by one and leave no token out but a last few", () => {
    // 52 tokens hold 10 windows of 5 + 1: 0…5, 5…10, … 45…50; token 51 is left over.
    const batches = new Batches(places(52), { batch: 5, pos: 5 }, 1);
    expect(batches.nWindows).toBe(10);
    const windows = rows(batches, 2).sort((a, b) => a[0]! - b[0]!);
    expect(windows).toEqual(Array.from({ length: 10 }, (_, w) => [0, 1, 2, 3, 4, 5].map((i) => 5 * w + i)));
  });

  test("pass over every window once an epoch, in an order that differs from epoch to epoch", () => {
    // 7 windows in batches of 2: epochs begin inside a batch.
    const batches = new Batches(places(29), { batch: 2, pos: 4 }, 3);
    const starts = rows(batches, 14).map(([first]) => first! / 4);
    const epochs = Array.from({ length: 4 }, (_, e) => starts.slice(7 * e, 7 * e + 7));
    for (const epoch of epochs) expect([...epoch].sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6]);
    expect(new Set(epochs.map(String)).size).toBe(4);
    expect(epochs[0]).not.toEqual([0, 1, 2, 3, 4, 5, 6]);
  });

  test("depend on the step and the seed alone, not on what was asked before", () => {
    const size = { batch: 3, pos: 4 };
    const [a, b] = [new Batches(places(101), size, 7), new Batches(places(101), size, 7)];
    const inOrder = Array.from({ length: 20 }, (_, step) => a.at(step));
    for (const step of [19, 0, 8, 7, 8]) expect(b.at(step)).toEqual(inOrder[step]);
    expect(rows(new Batches(places(101), size, 8), 8)).not.toEqual(rows(a, 8));
  });

  test("hold ids up to 65535, as they are", () => {
    const tokens = Uint16Array.of(65535, 0, 32768, 65535);
    expect([...new Batches(tokens, { batch: 1, pos: 3 }, 1).at(0).ids]).toEqual([65535, 0, 32768, 65535]);
  });

  test("may be the whole text, to the last token", () => {
    expect(new Batches(places(13), { batch: 3, pos: 4 }, 1).nWindows).toBe(3);
    expect(() => new Batches(places(12), { batch: 3, pos: 4 }, 1)).toThrow(
      new ConfigError("train: the text must have at least 13 tokens for one batch, got 12"),
    );
    expect(() => new Batches(new Uint16Array(), { batch: 1, pos: 1 }, 1)).toThrow(
      new ConfigError("train: the text must have at least 2 tokens for one batch, got 0"),
    );
  });
});
