import * as fc from "fast-check";
import { parquetMetadata, parquetReadObjects } from "hyparquet";
import { ByteWriter, parquetWrite } from "hyparquet-writer";
import { describe, expect, test } from "vitest";
import type { RoutingTrace } from "../../../lib/trace/record.ts";
import { joinTraces } from "../../../lib/trace/sequences.ts";
import { openTrace, readTrace } from "../../../lib/trace/traceReader.ts";
import { TraceWriter } from "../../../lib/trace/traceWriter.ts";
import { failure, fileOf, fullTrace, randomTrace, sourceOf } from "./traces.ts";

describe("a trace in a Parquet file", () => {
  test.each([
    ["everything", fullTrace([4, 1, 7])],
    ["only ids", randomTrace([4, 1, 7])],
    ["300 experts", randomTrace([40], 300, 3, [11])],
    ["positions that do not start at 0", { ...randomTrace([2, 1]), positions: Int32Array.of(5, 9, 0) }],
    ["no token ids and no order", { ...randomTrace([2]), tokenIds: Int32Array.of(-1, -1), rankOrdered: false }],
  ])("comes back as it was: %s", async (_, trace: RoutingTrace) => {
    expect(await readTrace(sourceOf(await fileOf(trace)))).toEqual(trace);
  });

  test("has one row per token and layer with the columns that it promises", async () => {
    const trace = fullTrace([1, 2]);
    const bytes = await fileOf(trace);
    const file = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length) as ArrayBuffer;
    const rows = await parquetReadObjects({ file, utf8: false });
    expect(rows.length).toBe(9);
    // Row 4: the second token (the first of sequence 1), in the second traced layer.
    const expected = {
      sequence: 1,
      position: 0,
      layer: 2,
      token: trace.tokenIds[1],
      domain: "prosa é",
      phase: trace.phases![1] === 0 ? "prefill" : "decode",
      bytes: trace.pieces![1]!.bytes,
      special: trace.pieces![1]!.special,
      e0: trace.expertIndices[8],
      e1: trace.expertIndices[9],
      w0: trace.expertWeights![8],
      w1: trace.expertWeights![9],
      ...Object.fromEntries([0, 1, 2, 3, 4].map((e) => [`p${e}`, trace.routerProbs![20 + e]])),
    };
    expect(rows[4]).toEqual(expected);
    const { schema } = parquetMetadata(file);
    const stored = Object.fromEntries(schema.map(({ name, type, converted_type }) => [name, [type, converted_type]]));
    expect(stored["e0"]).toEqual(["INT32", "UINT_8"]);
    expect(stored["w0"]).toEqual(["FLOAT", undefined]);
    expect(stored["domain"]).toEqual(["BYTE_ARRAY", "UTF8"]);
  });

  test("is written and read in parts of whole sequences, whatever the parts that were added", async () => {
    const lengths = Array.from({ length: 40 }, (_, s) => 3000 + s);
    const trace = randomTrace(lengths, 16, 4, [0, 1]);
    const pieces: number[] = [];
    const writer = new TraceWriter(async (bytes) => void pieces.push(bytes.length));
    await writer.add(trace);
    await writer.end();
    expect(Math.max(...pieces)).toBeLessThan(0.6 * pieces.reduce((a, b) => a + b)); // nothing waits for the end
    const file = await openTrace(sourceOf(await fileOf(trace)));
    expect(file.nTokens).toBe(trace.tokenIds.length);
    const parts: RoutingTrace[] = [];
    for await (const part of file.parts()) parts.push(part);
    expect(parts.length).toBe(2); // 131,072 rows are reached with the 22nd of 3,000 tokens in 2 layers
    expect(parts[0]!.sequenceOffsets.length - 1).toBe(22);
    const joined = joinTraces(parts);
    expect(joined.sequenceOffsets).toEqual(trace.sequenceOffsets);
    expect(joined.expertIndices.every((expert, i) => expert === trace.expertIndices[i])).toBe(true);
  });

  test("comes back whatever its sizes", async () => {
    const sizes = fc.record({
      lengths: fc.array(fc.nat(5), { minLength: 1, maxLength: 4 }).filter((lengths) => lengths.some((n) => n > 0)),
      nExperts: fc.integer({ min: 4, max: 300 }),
      topK: fc.integer({ min: 1, max: 4 }),
      seed: fc.nat(),
    });
    await fc.assert(
      fc.asyncProperty(sizes, async ({ lengths, nExperts, topK, seed }) => {
        const trace = randomTrace(
          lengths.filter((n) => n > 0),
          nExperts,
          topK,
          [1, 5],
          seed,
        );
        expect(await readTrace(sourceOf(await fileOf(trace)))).toEqual(trace);
      }),
      { numRuns: 40 },
    );
  });

  test("cannot be without tokens", async () => {
    await expect(fileOf()).rejects.toThrow("parquet: a file must have at least one row, got none");
  });
});

/** A file with our metadata and these columns, as another writer would make it. */
function foreign(metadata: object | string, columns: Record<string, unknown[]>): Uint8Array {
  const writer = new ByteWriter();
  void parquetWrite({
    writer,
    columnData: Object.entries(columns).map(([name, data]) => ({ name, data })),
    kvMetadata: [{ key: "moescope", value: typeof metadata === "string" ? metadata : JSON.stringify(metadata) }],
  });
  return writer.getBytes().slice();
}

describe("a file that is no good trace", () => {
  const head = {
    kind: "trace",
    source: { engine: "a", model: "b" },
    nExperts: 4,
    topK: 1,
    layers: [0, 1],
    rankOrdered: true,
  };
  const columns = { sequence: [0, 0], position: [0, 0], layer: [0, 1], token: [5, 5], e0: [3, 0] };
  const read = (metadata: object | string, changes: Record<string, unknown[]> = {}) =>
    readTrace(sourceOf(foreign(metadata, { ...columns, ...changes })));

  test("is refused where a good one of the same making is not", async () => {
    expect((await read(head)).expertIndices).toEqual(Uint16Array.of(3, 0));
  });

  test.each([
    [{ ...head, kind: "counts" }, {}, 'x: the file must be a trace, got "counts"'],
    [{ ...head, source: null }, {}, "x: source must be an engine and a model, got null"],
    [{ ...head, nExperts: 70000 }, {}, "x: nExperts must be a whole number from 1 to 65536, got 70000"],
    [{ ...head, topK: 5 }, {}, "x: topK must be from 1 to nExperts (4), got 5"],
    [{ ...head, topK: 2 }, {}, /^x: columns must be complete with "e1", got /],
    [{ ...head, layers: [1, 0] }, {}, "x: layers must be layer numbers that rise, got [1,0]"],
    [{ ...head, layers: [0, 1, 2] }, {}, "x: a row group must be of whole tokens (3 rows each), got 2"],
    [{ ...head, rankOrdered: 1 }, {}, "x: rankOrdered must be true or false, got 1"],
    ["7", {}, 'x: metadata must be a JSON object, got "7"'],
    ["{", {}, 'x: metadata must be a JSON object, got "{"'],
    [head, { layer: [0, 2] }, "x: row group 0: layer must be 1 in row 1, got 2"],
    [head, { e0: [3, 4] }, "x: row group 0: e0 must be an expert below 4, got 4"],
    [head, { e0: [3, null] }, "x: row group 0: e0 must be an expert below 4, got null"],
    [head, { token: [-2, -2] }, "x: row group 0: token must be a token id, got -2"],
    [head, { phase: ["train", "train"] }, 'x: row group 0: phase must be prefill or decode, got "train"'],
    [head, { w0: ["a", "b"] }, 'x: row group 0: w0 must be a number, got "a"'],
    [head, { p0: [0.5, 0.5] }, /^x: row group 0: columns must be complete with p1, got /],
  ])("%j %j", async (metadata, changes: Record<string, unknown[]>, message) => {
    const found = await failure(read(metadata, changes));
    if (typeof message === "string") expect(found).toBe(message);
    else expect(found).toMatch(message);
  });

  test("such as a Parquet file of someone else", async () => {
    const writer = new ByteWriter();
    void parquetWrite({ writer, columnData: [{ name: "a", data: [1] }] });
    expect(await failure(readTrace(sourceOf(writer.getBytes())))).toBe(
      "x: must be written by moescope, got a Parquet file without its metadata",
    );
  });

  test("such as one that was cut short, or of which any byte was changed", { timeout: 120_000 }, async () => {
    const bytes = await fileOf(fullTrace([3, 2]));
    expect(await failure(readTrace(sourceOf(bytes.subarray(0, 5))))).toMatch(/^x: must be a whole Parquet file, got/);
    for (let end = 0; end < bytes.length; end += 13)
      expect(await failure(readTrace(sourceOf(bytes.subarray(0, end))))).toMatch(/^x: must be a whole Parquet file/);
    const change = fc.record({ at: fc.nat(bytes.length - 1), byte: fc.nat(255) });
    await fc.assert(
      fc.asyncProperty(change, async ({ at, byte }) => {
        const broken = bytes.slice();
        broken[at] = byte;
        const outcome = await readTrace(sourceOf(broken)).catch((error: unknown) => failure(Promise.reject(error)));
        // Values without a checksum may change unseen, but what is read is still a trace of that shape.
        if (typeof outcome !== "string") expect(outcome.expertIndices.every((e) => e < outcome.nExperts)).toBe(true);
      }),
      { numRuns: 300 },
    );
  });
});
