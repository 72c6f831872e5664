import type { ByteSource } from "../checkpoint/bytes.ts";
import { CheckpointError, shown } from "../errors.ts";
import { openParquet, type ParquetFile } from "./parquet.ts";
import { PHASES, type RoutingTrace, type TokenPiece, type TraceSource } from "./record.ts";
import { joinTraces, positionsOf } from "./sequences.ts";

/** What holds for a whole trace; a file keeps it as JSON in its metadata. */
type Head = Pick<RoutingTrace, "source" | "nExperts" | "topK" | "layers" | "rankOrdered">;

/** A trace on disk or elsewhere, to be read a part at a time. */
export interface TraceFile extends Head {
  nTokens: number;
  /** The trace in order, part by part, each of whole sequences: [n_tokens] of all parts add up to nTokens. */
  parts(): AsyncGenerator<RoutingTrace>;
}

/**
 * Opens a trace that {@link TraceWriter} wrote; only its footer is read.
 * @throws CheckpointError for a file that is damaged or no trace
 */
export async function openTrace(source: ByteSource): Promise<TraceFile> {
  const file = await openParquet(source);
  const head = headOf(source.name, file);
  return {
    ...head,
    nTokens: file.groups.reduce((sum, rows) => sum + rows, 0) / head.layers.length,
    async *parts() {
      for (const [g, rows] of file.groups.entries())
        yield partOf(`${source.name}: row group ${g}`, head, rows, await file.group(g));
    },
  };
}

/**
 * Reads a whole trace.
 * @throws CheckpointError for a file that is damaged or no trace
 */
export async function readTrace(source: ByteSource): Promise<RoutingTrace> {
  const parts: RoutingTrace[] = [];
  for await (const part of (await openTrace(source)).parts()) parts.push(part);
  return joinTraces(parts);
}

const isCount = (value: unknown, most: number): value is number =>
  Number.isInteger(value) && (value as number) >= 0 && (value as number) <= most;

/** Ids are kept in 16 bits. */
const MAX_EXPERTS = 1 << 16;

function headOf(name: string, { metadata, columns, groups }: ParquetFile): Head {
  const refuse = (what: string, expected: string, got: unknown): never => {
    throw new CheckpointError(`${name}: ${what} must be ${expected}, got ${shown(got)}`);
  };
  const { kind, source, nExperts, topK, layers, rankOrdered } = metadata;
  if (kind !== "trace") refuse("the file", "a trace", kind);
  const { engine, model } = (source ?? {}) as Partial<TraceSource>;
  if (typeof engine !== "string" || typeof model !== "string") refuse("source", "an engine and a model", source);
  if (!isCount(nExperts, MAX_EXPERTS) || nExperts === 0)
    return refuse("nExperts", `a whole number from 1 to ${MAX_EXPERTS}`, nExperts);
  if (!isCount(topK, nExperts) || topK === 0) return refuse("topK", `from 1 to nExperts (${nExperts})`, topK);
  const isRising = (list: unknown[]): boolean =>
    list.every((l, i) => isCount(l, 65535) && (i === 0 || l > (list[i - 1] as number)));
  if (!Array.isArray(layers) || layers.length === 0 || !isRising(layers))
    return refuse("layers", "layer numbers that rise", layers);
  if (typeof rankOrdered !== "boolean") return refuse("rankOrdered", "true or false", rankOrdered);
  for (const column of ["sequence", "position", "layer", "token", ...numbered("e", topK)])
    if (!columns.includes(column)) refuse("columns", `complete with ${shown(column)}`, columns);
  for (const rows of groups)
    if (rows % layers.length !== 0) refuse("a row group", `of whole tokens (${layers.length} rows each)`, rows);
  return { source: source as TraceSource, nExperts, topK, layers: layers as number[], rankOrdered };
}

const numbered = (prefix: string, n: number): string[] => Array.from({ length: n }, (_, i) => `${prefix}${i}`);

/** The values that a column may have. */
const isId = (value: unknown): value is number => isCount(value, 2 ** 31 - 1);
const isTokenId = (value: unknown): value is number => value === -1 || isId(value);
const isText = (value: unknown): value is string => typeof value === "string";
const isBytes = (value: unknown): value is Uint8Array => value instanceof Uint8Array;
const isFlag = (value: unknown): value is boolean => typeof value === "boolean";
const isPhase = (value: unknown): value is (typeof PHASES)[number] => PHASES.some((phase) => phase === value);

function partOf(where: string, head: Head, rows: number, columns: Map<string, ArrayLike<unknown>>): RoutingTrace {
  const { nExperts, topK, layers } = head;
  const nLayers = layers.length;
  const nTokens = rows / nLayers;
  const refuse = (column: string, expected: string, got: unknown): never => {
    throw new CheckpointError(`${where}: ${column} must be ${expected}, got ${shown(got)}`);
  };
  /** A value of each token, from the first of its rows. */
  const ofTokens = <T>(name: string, isRight: (value: unknown) => value is T, expected: string): T[] => {
    const column = columns.get(name)!;
    return Array.from({ length: nTokens }, (_, t) => {
      const value = column[t * nLayers];
      if (!isRight(value)) return refuse(name, expected, value);
      return value;
    });
  };

  const slots = <A extends Uint16Array | Float32Array>(prefix: string, width: number, out: A): A => {
    const isRight = (value: unknown): boolean =>
      prefix === "e" ? isCount(value, nExperts - 1) : typeof value === "number";
    for (const [slot, name] of numbered(prefix, width).entries()) {
      const column = columns.get(name) ?? refuse("columns", `complete with ${name}`, [...columns.keys()]);
      for (let r = 0; r < rows; r++) {
        const value = column[r];
        if (!isRight(value)) refuse(name, prefix === "e" ? `an expert below ${nExperts}` : "a number", value);
        out[r * width + slot] = value as number;
      }
    }
    return out;
  };

  const layerColumn = columns.get("layer")!;
  for (let r = 0; r < rows; r++)
    if (layerColumn[r] !== layers[r % nLayers]) refuse("layer", `${layers[r % nLayers]} in row ${r}`, layerColumn[r]);
  const sequences = ofTokens("sequence", isId, "a whole number");
  const starts = sequences.flatMap((s, t) => (t === 0 || s !== sequences[t - 1] ? [t] : []));
  if (new Set(sequences).size !== starts.length) refuse("sequence", "in one piece", "one in several");
  const positions = Int32Array.from(ofTokens("position", isId, "a whole number from 0 on"));
  const sequenceOffsets = Int32Array.from([...starts, nTokens]);
  const domains = columns.has("domain") ? ofTokens("domain", isText, "text") : null;
  const tokenIds = Int32Array.from(ofTokens("token", isTokenId, "a token id"));
  const trace: RoutingTrace = {
    ...head,
    tokenIds,
    pieces: columns.has("bytes")
      ? piecesOf(tokenIds, ofTokens("bytes", isBytes, "bytes"), ofTokens("special", isFlag, "true or false"))
      : null,
    sequenceOffsets,
    expertIndices: slots("e", topK, new Uint16Array(rows * topK)),
    expertWeights: columns.has("w0") ? slots("w", topK, new Float32Array(rows * topK)) : null,
    routerProbs: columns.has("p0") ? slots("p", nExperts, new Float32Array(rows * nExperts)) : null,
    ...(columns.has("phase") && {
      phases: Uint8Array.from(ofTokens("phase", isPhase, PHASES.join(" or ")), (phase) => PHASES.indexOf(phase)),
    }),
    ...(domains && { domains: starts.map((t) => domains[t]!) }),
  };
  const counted = positionsOf(trace);
  return positions.every((p, t) => p === counted[t]) ? trace : { ...trace, positions };
}

/** Pieces as a tokenizer gives them: an id without bytes has no text, and text is whole characters. */
function piecesOf(ids: Int32Array, bytes: Uint8Array[], special: boolean[]): TokenPiece[] {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  const text = (token: Uint8Array): string | null => {
    try {
      return token.length === 0 ? null : decoder.decode(token);
    } catch {
      return null;
    }
  };
  return bytes.map((token, t) => ({ id: ids[t]!, bytes: token, text: text(token), special: special[t]! }));
}
