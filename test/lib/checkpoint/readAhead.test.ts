import { closeSync, openSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { type FileRange, ReadAhead } from "../../../lib/checkpoint/readAhead.ts";

const BYTES = Uint8Array.from({ length: 1000 }, (_, i) => i % 251);

describe("reading ahead", () => {
  let file: number;
  let readAhead: ReadAhead;
  beforeAll(async () => {
    const dir = await mkdtemp(join(tmpdir(), "moescope-"));
    writeFileSync(join(dir, "bytes"), BYTES);
    file = openSync(join(dir, "bytes"), "r");
    return async () => {
      closeSync(file);
      await rm(dir, { recursive: true });
    };
  });
  afterEach(() => readAhead.close());

  const range = (start: number, end: number): FileRange => ({ file, start, end });
  const expectTaken = (start: number, end: number): void =>
    expect(readAhead.take(range(start, end))).toEqual(BYTES.subarray(start, end));

  test("gives what was expected, in its order, going round in a memory for two or three of them", () => {
    readAhead = new ReadAhead(256);
    const starts = [0, 700, 100, 350, 500, 101, 3, 900, 640];
    readAhead.expect(starts.map((start) => range(start, start + 70 + (start % 30))));
    for (const start of starts) expectTaken(start, start + 70 + (start % 30));
    const total = starts.reduce((sum, start) => sum + 70 + (start % 30), 0);
    expect(readAhead.bytesRead).toBe(total); // nothing twice
  });

  test("gives what was not expected, and what was expected after it", () => {
    readAhead = new ReadAhead(256);
    readAhead.expect([range(0, 100), range(100, 200), range(200, 300), range(300, 400)]);
    expectTaken(200, 300); // two were passed over
    expectTaken(7, 107); // nobody spoke of it
    expectTaken(300, 400);
    expectTaken(5, 5);
  });

  test("expecting anew forgets what was expected before", () => {
    readAhead = new ReadAhead(512);
    readAhead.expect([range(0, 100), range(100, 200)]);
    expectTaken(0, 100);
    readAhead.expect([range(600, 700), range(800, 900)]);
    expectTaken(600, 700);
    expectTaken(800, 900);
  });

  test("says that a file ended, or what the system said, and goes on", () => {
    readAhead = new ReadAhead(256);
    expect(readAhead.take(range(990, 1010))).toBeNull();
    expect(readAhead.take({ file: 1 << 20, start: 0, end: 4 })).toBeLessThan(0);
    expect(readAhead.take({ file: 0.5, start: 0, end: 4 })).toBe(-5); // no number of a file at all
    expectTaken(990, 1000);
  });

  test("a range that is longer than the memory, or none, is refused", () => {
    readAhead = new ReadAhead(64);
    expect(() => readAhead.take(range(0, 65))).toThrow(
      new RangeError("ReadAhead: a range must be at most 64 bytes long, got 65"),
    );
    expect(() => readAhead.take(range(8, 4))).toThrow(
      new RangeError("ReadAhead: a range must begin from 0 on and end later, got [8, 4]"),
    );
    expectTaken(0, 64);
  });
});
