import { CheckpointError } from "../errors.ts";
import type { WeightPart, WeightRecipe } from "../families/family.ts";
import type { Checkpoint, Span } from "./checkpoint.ts";
import { converterOf, DTYPE_BITS, TO_FLOAT32, type WriteRows } from "./dtype.ts";
import type { Placing } from "./placing.ts";
import type { FileRange } from "./readAhead.ts";
import { type ScaledSpans, scaledSpans } from "./scaled.ts";

/** What of the weights is in memory at once: a parameter, one expert's matrix, a piece of the unembedding. */
export interface Unit {
  /** Names it among what is kept. */
  key: string;
  /** Side by side, where there are several. */
  parts: readonly WeightPart[];
  /** It lies [out, in] in memory, as an expert's matrix does; else input axis first. */
  outputsFirst?: boolean;
}

/** Numbers of a piece of the unembedding, at most; where there are several, their rows are a multiple of this. */
const PIECE_NUMBERS = 1 << 25;
const PIECE_ROWS = 128;

/** How a part lies in the file, or is decoded from it. */
function sizeOf({ shape, rows, every, scaling, transposed }: WeightPart): { rows: number; columns: number } {
  const isMxfp4 = scaling?.format === "mxfp4";
  const outer = shape.slice(0, isMxfp4 ? -2 : -1);
  const stored = rows === undefined ? outer.reduce((a, b) => a * b, 1) : rows[1] - rows[0];
  const columns = isMxfp4 ? shape.at(-2)! * 2 * shape.at(-1)! : shape.at(-1)!;
  const { first, of } = every ?? { first: 0, of: 1 };
  return transposed ? { rows: Math.ceil((stored - first) / of), columns } : { rows: stored, columns: columns / of };
}

/** Numbers of a unit, in memory. */
export function numbersOf({ parts }: Unit): number {
  return parts.map(sizeOf).reduce((sum, { rows, columns }) => sum + rows * columns, 0);
}

/** The matrix of the vocabulary that the logits come from, a piece at a time; whole where it is small or not plain. */
export function vocabularyPieces(name: string, { parts }: WeightRecipe): Unit[] {
  const part = parts[0]!;
  const { rows, columns } = sizeOf(part);
  const step = Math.max(1, Math.floor(PIECE_NUMBERS / columns / PIECE_ROWS)) * PIECE_ROWS;
  const plain = parts.length === 1 && part.rows === undefined && part.scaling === undefined && part.every === undefined;
  if (!plain || rows <= step) return [{ key: name, parts }];
  return Array.from({ length: Math.ceil(rows / step) }, (_, i) => ({
    key: `${name}.${i}`,
    parts: [{ ...part, rows: [i * step, Math.min(rows, (i + 1) * step)] as const }],
  }));
}

function scaledOf(checkpoint: Checkpoint, { tensor, scaling, rows, every }: WeightPart): ScaledSpans | null {
  return scaling === undefined ? null : scaledSpans(checkpoint, tensor, scaling, rows, every);
}

/** The bytes of a span as other threads find them. @throws CheckpointError where they are in no file */
export function rangeOf({ source, start, end, where }: Span): FileRange {
  if (source.file === undefined) throw new CheckpointError(`${where}: must be in a file on disk to be streamed`);
  return { file: source.file, start, end };
}

/** The ranges that {@link placeUnit} takes, in its order. */
export function rangesOf(checkpoint: Checkpoint, { parts }: Unit): FileRange[] {
  return parts.flatMap((part) => {
    const scaled = scaledOf(checkpoint, part);
    const spans = scaled === null ? [checkpoint.span(part.tensor, part.rows)] : [scaled.factors, scaled.numbers];
    return spans.map(rangeOf);
  });
}

/**
 * Places a unit's parts side by side, turned where they do not lie as the unit does, and raises what the file holds as a
 * distance (all parts alike).
 * @param take gives the bytes of a span, good until it is called again
 * @throws CheckpointError for a type that is not read as float32
 */
export function placeUnit(
  checkpoint: Checkpoint,
  { parts, outputsFirst = false }: Unit,
  placing: Placing,
  take: (span: Span) => Uint8Array,
): void {
  const sizes = parts.map(sizeOf);
  const turns = parts.map(({ transposed }) => transposed !== outputsFirst);
  const widths = sizes.map(({ rows, columns }, i) => (turns[i]! ? rows : columns));
  const stride = widths.reduce((a, b) => a + b);
  placing.begin(numbersOf({ key: "", parts }), Math.max(...sizes.map(({ columns }) => columns)));
  let at = 0;
  for (const [i, part] of parts.entries()) {
    const place = { columns: sizes[i]!.columns, transposed: turns[i]!, at, stride };
    at += widths[i]!;
    placing.put(sizes[i]!.rows, writerOf(checkpoint, part, take), place);
  }
  const [{ plus } = {}] = parts;
  if (plus !== undefined) placing.raise(plus);
}

/** Reads the bytes of a part. @returns writes its rows as numbers, as long as the bytes are good */
function writerOf(checkpoint: Checkpoint, part: WeightPart, take: (span: Span) => Uint8Array): WriteRows {
  const scaled = scaledOf(checkpoint, part);
  if (scaled !== null) return scaled.decode(take(scaled.factors).slice(), take(scaled.numbers));
  const span = checkpoint.span(part.tensor, part.rows);
  const { dtype, where } = span;
  const convert = converterOf(TO_FLOAT32, span);
  const width = DTYPE_BITS[dtype] / 8;
  const bytes = part.every === undefined ? take(span) : everyOutput(take(span), width, part);
  const rowBytes = width * sizeOf(part).columns;
  return (first, count, out, at) =>
    convert(bytes.subarray(first * rowBytes, (first + count) * rowBytes), out, at, where);
}

/** The bytes of every `of`-th output: of every `of`-th row where rows are outputs, else of every `of`-th number. */
function everyOutput(bytes: Uint8Array, width: number, { shape, every, transposed }: WeightPart): Uint8Array {
  const { first, of } = every!;
  const length = transposed ? shape.at(-1)! * width : width;
  const out = new Uint8Array(Math.ceil((bytes.length / length - first) / of) * length);
  for (let to = 0, from = first * length; to < out.length; to += length, from += of * length)
    out.set(bytes.subarray(from, from + length), to);
  return out;
}
