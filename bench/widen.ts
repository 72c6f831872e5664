/**
 * Times how bfloat16, MXFP4 and FP8 become float32, and how a matrix is turned to input axis first, against what memory allows:
 * `npx tsx bench/widen.ts [--runs 8]`, on one of DBRX's expert matrices. Cases are interleaved and the best of each is
 * reported; a copy of as many float32 is what memory allows. A bfloat16 has 2 bytes, an FP8 1, an MXFP4 a half.
 */
import { parseArgs } from "node:util";
import * as tf from "@tensorflow/tfjs";
import { useBackend } from "../lib/backend.ts";
import { memorySource } from "../lib/checkpoint/bytes.ts";
import { openCheckpoint } from "../lib/checkpoint/checkpoint.ts";
import { TO_FLOAT32, type WriteRows } from "../lib/checkpoint/dtype.ts";
import { Placing } from "../lib/checkpoint/placing.ts";
import { type Scaling, scaledSpans } from "../lib/checkpoint/scaled.ts";
import { timed } from "./measure.ts";

const { values } = parseArgs({ options: { runs: { type: "string", default: "8" } } });
const [ROWS, COLUMNS] = [10752, 6144];

await useBackend();
const bytes = new Uint8Array(new Uint16Array(ROWS * COLUMNS).fill(0x3f81).buffer);
const out = new Float32Array(ROWS * COLUMNS);
const other = new Float32Array(ROWS * COLUMNS).fill(1);
const placing = new Placing();
const place = (write: WriteRows, transposed: boolean): void => {
  placing.begin(out.length, COLUMNS);
  placing.put(ROWS, write, { columns: COLUMNS, transposed, at: 0, stride: transposed ? ROWS : COLUMNS });
};
const ofBF16: WriteRows = (first, count, to, at) =>
  TO_FLOAT32.BF16!(bytes.subarray(2 * first * COLUMNS, 2 * (first + count) * COLUMNS), to, at, "");

const random = (i: number): number => Math.imul(i, 0x9e3779b1) >>> 24;
const codes = Uint8Array.from({ length: ROWS * COLUMNS }, (_, i) => random(i));
const factors = new Float32Array((ROWS * COLUMNS) / 128 ** 2).fill(0.5);
const table = Float32Array.from({ length: 256 }, (_, i) => i / 16);

/** Two numbers as halves of a 32-bit word, without vector instructions. */
function inPairs(): void {
  const pairs = new Int32Array(bytes.buffer);
  const bits = new Int32Array(out.buffer);
  for (let i = 0; i < pairs.length; i++) {
    const pair = pairs[i]!;
    bits[2 * i] = pair << 16;
    bits[2 * i + 1] = pair & 0xffff0000;
  }
}

/** FP8 by a table, number by number; one factor for each 128 as squares have. */
function byTable(): void {
  for (let i = 0; i < out.length; ) {
    const factor = factors[Math.floor(i / COLUMNS / 128) * (COLUMNS / 128) + Math.floor((i % COLUMNS) / 128)]!;
    for (const end = i + 128; i < end; i++) out[i] = table[codes[i]!]! * factor;
  }
}

/** Decodes random numbers of few bits with factors near 1, from memory. */
async function decoding(format: Scaling["format"]): Promise<WriteRows> {
  const mxfp4 = format === "mxfp4";
  const shape = mxfp4 ? [ROWS, COLUMNS / 32, 16] : [ROWS, COLUMNS];
  const scales = mxfp4 ? [ROWS, COLUMNS / 32] : [ROWS / 128, COLUMNS / 128];
  const stored = codes.subarray(
    0,
    shape.reduce((a, b) => a * b),
  );
  const scaleBytes = mxfp4 ? new Uint8Array((ROWS * COLUMNS) / 32).fill(126) : new Uint8Array(factors.buffer);
  const entry = (dtype: string, of: number[], start: number, length: number) => {
    return { dtype, shape: of, data_offsets: [start, start + length] };
  };
  const json = JSON.stringify({
    s: entry(mxfp4 ? "U8" : "F32", scales, 0, scaleBytes.length),
    w: entry(mxfp4 ? "U8" : "F8_E4M3", shape, scaleBytes.length, stored.length),
  });
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  const file = memorySource(format, Buffer.concat([length, Buffer.from(json), scaleBytes, stored]));
  const checkpoint = await openCheckpoint(format, new Map([[format, file]]));
  const spans = scaledSpans(checkpoint, "w", { format, scales: "s" });
  return spans.decode(scaleBytes, stored);
}

const [mxfp4, fp8] = [await decoding("mxfp4"), await decoding("fp8")];
const cases: Record<string, () => void> = {
  "copy of float32": () => out.set(other),
  "widened, two at a time in JavaScript": inPairs,
  "widened into any array": () => TO_FLOAT32.BF16!(bytes, out, 0, ""),
  "widened in place": () => place(ofBF16, false),
  "widened in pairs, turned by the backend": () => {
    inPairs();
    tf.tidy(() => tf.tensor2d(out, [ROWS, COLUMNS]).transpose());
  },
  "widened and turned in place": () => place(ofBF16, true),
  "MXFP4 into any array": () => mxfp4(0, ROWS, out, 0),
  "MXFP4 in place": () => place(mxfp4, false),
  "MXFP4, turned in place": () => place(mxfp4, true),
  "FP8 by a table, in JavaScript": byTable,
  "FP8 into any array": () => fp8(0, ROWS, out, 0),
  "FP8 in place": () => place(fp8, false),
  "FP8, turned in place": () => place(fp8, true),
};
const best = new Map<string, number>();
for (let run = 0; run < Number(values.runs); run++)
  for (const [name, body] of Object.entries(cases))
    best.set(name, Math.min(best.get(name) ?? Number.POSITIVE_INFINITY, timed(body)));
for (const [name, seconds] of best)
  console.log(
    `${name.padEnd(42)} ${(1000 * seconds).toFixed(0)} ms, ${(out.length / seconds / 1e9).toFixed(2)} billion numbers a second`,
  );
