// oxlint-disable-next-line no-restricted-imports -- the file form of a trace is where traces meet Parquet
import { type FileMetaData, parquetMetadataAsync, parquetRead } from "hyparquet";
// oxlint-disable-next-line no-restricted-imports -- likewise
import { ByteWriter, ParquetWriter } from "hyparquet-writer";
import type { ByteSink, ByteSource } from "../checkpoint/bytes.ts";
import { CheckpointError, shown } from "../errors.ts";

/** How each of our column types is stored; no value may be missing. */
const TYPES = {
  uint8: { type: "INT32", converted_type: "UINT_8" },
  uint16: { type: "INT32", converted_type: "UINT_16" },
  int32: { type: "INT32" },
  float32: { type: "FLOAT" },
  float64: { type: "DOUBLE" },
  boolean: { type: "BOOLEAN" },
  text: { type: "BYTE_ARRAY", converted_type: "UTF8" },
  bytes: { type: "BYTE_ARRAY" },
} as const;

/** The values of one column in one row group. */
export interface Column {
  name: string;
  type: keyof typeof TYPES;
  data: Int32Array | Float32Array | Float64Array | boolean[] | string[] | Uint8Array[];
}

/** The key of our entry in a file's metadata. */
const KEY = "moescope";

/** Writes a Parquet file as a stream: only one row group is in memory. */
export class ParquetStream {
  readonly #bytes: ByteWriter;
  readonly #metadata: object;
  #writer: ParquetWriter | null = null;

  /** @param metadata what the file's readers need to know beside the columns; kept as JSON */
  constructor(sink: ByteSink, metadata: object) {
    const bytes = new ByteWriter();
    const flush = async (): Promise<void> => {
      const written = bytes.getBytes().slice();
      bytes.index = 0;
      await sink(written);
    };
    this.#bytes = Object.assign(bytes, { flush, finish: flush });
    this.#metadata = metadata;
  }

  /** Writes a row group; each has the same columns. */
  async group(columns: readonly Column[]): Promise<void> {
    this.#writer ??= new ParquetWriter({
      writer: this.#bytes,
      schema: [
        { name: "root", num_children: columns.length },
        ...columns.map(({ name, type }) => ({ name, repetition_type: "REQUIRED" as const, ...TYPES[type] })),
      ],
      kvMetadata: [{ key: KEY, value: JSON.stringify(this.#metadata) }],
      createdBy: "moescope",
    });
    const columnData = columns.map(({ name, data }) => ({ name, data }));
    await this.#writer.write({ columnData, rowGroupSize: columns[0]!.data.length });
  }

  /** Writes the file's footer. @throws RangeError where there was no row group */
  async end(): Promise<void> {
    if (this.#writer === null) throw new RangeError("parquet: a file must have at least one row, got none");
    await this.#writer.finish();
  }
}

/** A Parquet file of ours that is open for reading. */
export interface ParquetFile {
  /** What the writer noted, as parsed JSON; not checked. */
  metadata: Record<string, unknown>;
  columns: string[];
  /** Rows of each row group. */
  groups: number[];
  /** The values of a row group, by column. */
  group(index: number): Promise<Map<string, ArrayLike<unknown>>>;
}

/** Row groups are decoded whole; ours are far smaller. */
const MAX_GROUP_ROWS = 1 << 26;

/**
 * Opens a Parquet file that moescope wrote; only its footer is read.
 * @throws CheckpointError for a file that is damaged or not one of ours
 */
export async function openParquet(source: ByteSource): Promise<ParquetFile> {
  const { name, byteLength } = source;
  const refuse = (cause: unknown): never => {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new CheckpointError(`${name}: must be a whole Parquet file, got ${shown(reason)}`, { cause });
  };
  if (byteLength < 12) refuse(`${byteLength} bytes`);
  const file = {
    byteLength,
    // Copied, since what is read may be a view of more.
    slice: async (start: number, end = byteLength) => new Uint8Array(await source.read(start, end)).buffer,
  };
  let footer: FileMetaData;
  try {
    footer = await parquetMetadataAsync(file);
  } catch (cause) {
    return refuse(cause);
  }
  const metadata = metadataOf(name, footer);
  const groups = footer.row_groups.map(({ num_rows }) => Number(num_rows));
  for (const rows of groups)
    if (!(rows > 0 && rows <= MAX_GROUP_ROWS))
      throw new CheckpointError(`${name}: a row group must have from 1 to ${MAX_GROUP_ROWS} rows, got ${rows}`);
  const starts = groups.map((_, g) => groups.slice(0, g).reduce((sum, rows) => sum + rows, 0));
  const columns = footer.schema.slice(1).map((element) => element.name);
  return {
    metadata,
    columns,
    groups,
    async group(index) {
      const rowStart = starts[index]!;
      const rows = groups[index]!;
      const chunks = new Map(columns.map((column) => [column, [] as ArrayLike<unknown>[]]));
      let failed = false;
      // Where the plan of a damaged file fails half made, hyparquet forgets the reads that it has begun, and what they find
      // would be an error that nobody handles: they come a turn later, and then not at all.
      const slice = async (start: number, end?: number): Promise<ArrayBuffer> => {
        const bytes = await file.slice(start, end);
        await new Promise((resolve) => setImmediate(resolve));
        return failed ? new Promise(() => {}) : bytes;
      };
      try {
        await parquetRead({
          file: { byteLength, slice },
          metadata: footer,
          rowStart,
          rowEnd: rowStart + rows,
          utf8: false, // texts are marked as such; bytes stay bytes
          onChunk: ({ columnName, columnData }) => chunks.get(columnName)?.push(columnData),
        });
      } catch (cause) {
        failed = true;
        return refuse(cause);
      }
      return new Map(columns.map((column) => [column, joined(name, column, chunks.get(column)!, rows)]));
    },
  };
}

function metadataOf(name: string, footer: FileMetaData): Record<string, unknown> {
  const text = footer.key_value_metadata?.find(({ key }) => key === KEY)?.value;
  if (text === undefined)
    throw new CheckpointError(`${name}: must be written by moescope, got a Parquet file without its metadata`);
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null) return value as Record<string, unknown>;
  } catch {} // refused below
  throw new CheckpointError(`${name}: metadata must be a JSON object, got ${shown(text)}`);
}

function joined(name: string, column: string, chunks: ArrayLike<unknown>[], rows: number): ArrayLike<unknown> {
  const all = chunks.length === 1 ? chunks[0]! : chunks.flatMap((chunk) => Array.from(chunk));
  if (all.length !== rows)
    throw new CheckpointError(`${name}: column ${shown(column)} must have ${rows} values, got ${all.length}`);
  return all;
}
