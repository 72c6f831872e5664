import { describe, expect, test } from "vitest";
import { memorySource } from "../../../lib/checkpoint/bytes.ts";
import type { ExpertCounts } from "../../../lib/trace/counts.ts";
import { readCounts, writeCounts } from "../../../lib/trace/countsFile.ts";
import { ParquetStream } from "../../../lib/trace/parquet.ts";
import { failure, fileOf, randomTrace } from "./traces.ts";

const COUNTS: ExpertCounts = {
  source: { engine: "test", model: "m", encoding: "none" },
  nExperts: 3,
  topK: 2,
  layers: [1, 4],
  counts: Float64Array.from([3, 2, 1, 0, 0, 2 ** 40]),
};

const read = (bytes: Uint8Array) => readCounts(memorySource("x", bytes));
async function written(write: (sink: (bytes: Uint8Array) => Promise<void>) => Promise<void>): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  await write(async (bytes) => void pieces.push(bytes));
  return Buffer.concat(pieces);
}

describe("a file of counts", () => {
  test.each([COUNTS, { ...COUNTS, topK: null }])("is read as it was written (%#)", async (counts) => {
    expect(await read(await written((sink) => writeCounts(sink, counts)))).toEqual(counts);
  });

  test.each([
    [{ kind: "trace" }, /^x: the file must be counts, got "trace"$/],
    [{ nExperts: 0 }, /^x: nExperts must be a whole number from 1 on, got 0$/],
    [{ nExperts: 4 }, /^x: rows must be 8 in one group, got \[6\]$/],
    [{ topK: 5 }, /^x: topK must be from 1 to nExperts \(3\), or null, got 5$/],
    [{ layers: [4, 1] }, /^x: layers must be layer numbers that rise, got \[4,1\]$/],
    [{ source: "m" }, /^x: source must be an engine and a model, got "m"$/],
  ])("is refused with metadata %o", async (change, message) => {
    const { counts, ...head } = COUNTS;
    const bytes = await written(async (sink) => {
      const stream = new ParquetStream(sink, { kind: "counts", ...head, ...change });
      await stream.group([{ name: "count", type: "float64", data: counts }]);
      await stream.end();
    });
    expect(await failure(read(bytes))).toMatch(message);
  });

  test("is refused when it is cut short, a trace, or has counts that are none", async () => {
    const bytes = await written((sink) => writeCounts(sink, COUNTS));
    expect(await failure(read(bytes.subarray(0, -20)))).toMatch(/^x: must be a whole Parquet file/);
    expect(await failure(read(await fileOf(randomTrace([3]))))).toMatch(/must be counts, got "trace"$/);
    const counts = COUNTS.counts.with(2, -1);
    expect(await failure(read(await written((sink) => writeCounts(sink, { ...COUNTS, counts }))))).toBe(
      "x: count must be a number of at least 0, got -1",
    );
  });
});
