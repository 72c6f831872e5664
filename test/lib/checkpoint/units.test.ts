import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";
import { useBackend } from "../../../lib/backend.ts";
import { memorySource } from "../../../lib/checkpoint/bytes.ts";
import type { Checkpoint } from "../../../lib/checkpoint/checkpoint.ts";
import { openFolder } from "../../../lib/checkpoint/node.ts";
import { Placing } from "../../../lib/checkpoint/placing.ts";
import { ReadAhead } from "../../../lib/checkpoint/readAhead.ts";
import { readFp8, readMxfp4 } from "../../../lib/checkpoint/scaled.ts";
import { numbersOf, placeUnit, rangeOf, rangesOf, vocabularyPieces } from "../../../lib/checkpoint/units.ts";
import { encodeSafetensors } from "../../../lib/checkpoint/write.ts";
import { CheckpointError } from "../../../lib/errors.ts";
import type { WeightPart } from "../../../lib/families/family.ts";
import { checkpointOf } from "./files.ts";

describe("pieces of the vocabulary", () => {
  const whole = (rows: number, columns: number): WeightPart => ({
    tensor: "w",
    shape: [rows, columns],
    transposed: true,
  });
  const cut = (part: WeightPart) => vocabularyPieces("w", { join: "none", parts: [part] });

  test("of DBRX's size hold at most 2^25 numbers, and together every row once", () => {
    const pieces = cut(whole(100352, 6144));
    const rows = pieces.map(({ parts }) => parts[0]!.rows!);
    expect(rows.map(([start]) => start)).toEqual([0, ...rows.slice(0, -1).map(([, end]) => end)]);
    expect(rows.at(-1)![1]).toBe(100352);
    for (const piece of pieces) expect(numbersOf(piece)).toBeLessThanOrEqual(2 ** 25);
    expect(rows[0]![1]).toBe(5376); // 42 times 128; one time more would be beyond
    expect(new Set(pieces.map(({ key }) => key)).size).toBe(19);
  });

  test("are one where it is small", () => {
    expect(cut(whole(50304, 512))).toEqual([{ key: "w", parts: [whole(50304, 512)] }]);
  });
});

describe("numbers of few bits", () => {
  const path = fileURLToPath(new URL("../../golden/scaled.safetensors", import.meta.url));
  let checkpoint: Checkpoint;
  beforeAll(async () => {
    await useBackend();
    checkpoint = await openFolder(path);
    return () => checkpoint.close();
  });

  /** A part as it is placed, with the bytes read ahead. */
  async function placed(part: WeightPart, outputsFirst = false): Promise<number[]> {
    const unit = { key: "", parts: [part], outputsFirst };
    const readAhead = new ReadAhead(1 << 20);
    readAhead.expect(rangesOf(checkpoint, unit));
    const placing = new Placing();
    placeUnit(checkpoint, unit, placing, (span) => readAhead.take(rangeOf(span)) as Uint8Array);
    await readAhead.close();
    const tensor = placing.lend([numbersOf(unit)]);
    const values = [...tensor.dataSync()];
    tensor.dispose();
    return values;
  }

  /** [rows, columns] as [columns, rows] */
  const turned = (values: Float32Array, columns: number): number[] => {
    const rows = values.length / columns;
    return Array.from(values, (_, i) => values[(i % rows) * columns + Math.floor(i / rows)]!);
  };

  test.each([
    [[0, 4], undefined],
    [[4, 8], { first: 1, of: 2 }],
  ] as const)("of MXFP4 rows %j, every %j, are placed as they are read elsewhere", async (rows, every) => {
    const scaling = { format: "mxfp4", scales: "experts_scales" } as const;
    const { shape } = checkpoint.tensor("experts_blocks");
    const part = { tensor: "experts_blocks", shape, rows, transposed: true, scaling, ...(every && { every }) };
    const values = await readMxfp4(checkpoint, "experts_blocks", "experts_scales", rows, every);
    expect(await placed(part)).toEqual(turned(values, 96));
    expect(await placed(part, true)).toEqual([...values]);
  });

  test("of FP8 are placed as they are read elsewhere", async () => {
    const [tensor, scales] = ["w.weight", "w.weight_scale_inv"];
    const { shape } = checkpoint.tensor(tensor);
    const part: WeightPart = { tensor, shape, transposed: true, scaling: { format: "fp8", scales } };
    const values = await readFp8(checkpoint, tensor, scales);
    expect(await placed(part)).toEqual(turned(values, shape[1]!));
    expect(await placed(part, true)).toEqual([...values]);
  });
});

test("what is in no file on disk cannot be read by another thread", async () => {
  const data = Float32Array.of(1, 2);
  const file = Buffer.concat([...encodeSafetensors([{ name: "w", shape: [2], dtype: "F32", data }])]);
  const checkpoint = await checkpointOf(memorySource("memory", file));
  expect(() => rangesOf(checkpoint, { key: "w", parts: [{ tensor: "w", shape: [2], transposed: false }] })).toThrow(
    new CheckpointError('memory: tensor "w": must be in a file on disk to be streamed'),
  );
});
