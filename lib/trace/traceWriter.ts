import type { ByteSink } from "../checkpoint/bytes.ts";
import { type Column, ParquetStream } from "./parquet.ts";
import { PHASES, type RoutingTrace } from "./record.ts";
import { joinTraces, positionsOf, sequenceOfTokens, sequencesOf } from "./sequences.ts";

/** A row group holds whole sequences: as many as it takes to reach this number of rows (token and layer). */
const GROUP_ROWS = 1 << 17;

/**
 * Writes a trace as Parquet, part by part: one row per token and layer, in the trace's order, with the columns
 * - `sequence`, `position`, `layer`, `token`; `domain`, `phase` where known; `bytes` and `special` where there are pieces
 * - `e0` … `e{k-1}`: the chosen experts; `w0` … `w{k-1}`: their weights; `p0` … `p{E-1}`: router probabilities
 *
 * @example
 * const writer = new TraceWriter(sink);
 * await writer.add(trace); // of whole sequences
 * await writer.end();
 */
export class TraceWriter {
  readonly #sink: ByteSink;
  #stream: ParquetStream | null = null;
  #waiting: RoutingTrace[] = [];
  #rows = 0;
  #sequences = 0;

  constructor(sink: ByteSink) {
    this.#sink = sink;
  }

  /**
   * Appends sequences.
   * @throws ShapeError where they were not recorded as those before them
   */
  async add(part: RoutingTrace): Promise<void> {
    for (let s = 0; s + 1 < part.sequenceOffsets.length; s++) {
      this.#waiting.push(sequencesOf(part, s, s + 1));
      this.#rows += (part.sequenceOffsets[s + 1]! - part.sequenceOffsets[s]!) * part.layers.length;
      if (this.#rows >= GROUP_ROWS) await this.#flush();
    }
  }

  /** Writes what is left and the footer. @throws RangeError for a trace without tokens */
  async end(): Promise<void> {
    await this.#flush();
    await (this.#stream ?? new ParquetStream(this.#sink, {})).end();
  }

  async #flush(): Promise<void> {
    if (this.#rows === 0) return;
    const trace = joinTraces(this.#waiting);
    const { source, nExperts, topK, layers, rankOrdered } = trace;
    this.#stream ??= new ParquetStream(this.#sink, { kind: "trace", source, nExperts, topK, layers, rankOrdered });
    await this.#stream.group(columnsOf(trace, this.#sequences));
    this.#sequences += this.#waiting.length;
    this.#waiting = [];
    this.#rows = 0;
  }
}

function columnsOf(trace: RoutingTrace, firstSequence: number): Column[] {
  const { layers, nExperts, topK, tokenIds, sequenceOffsets, pieces, phases, domains } = trace;
  const nLayers = layers.length;
  const rows = tokenIds.length * nLayers;
  const sequences = sequenceOfTokens(sequenceOffsets);
  const positions = positionsOf(trace);
  const integers = (name: string, value: (token: number, layer: number) => number, type: Column["type"] = "int32") => {
    const data = new Int32Array(rows);
    for (let t = 0, r = 0; t < tokenIds.length; t++) for (let l = 0; l < nLayers; l++, r++) data[r] = value(t, l);
    return { name, type, data } satisfies Column;
  };
  const ofTokens = <T>(value: (token: number) => T): T[] =>
    Array.from({ length: rows }, (_, r) => value(Math.floor(r / nLayers)));
  const floats = (prefix: string, values: Float32Array | null, width: number): Column[] =>
    values === null
      ? []
      : Array.from({ length: width }, (_, slot) => {
          const data = new Float32Array(rows);
          for (let r = 0; r < rows; r++) data[r] = values[r * width + slot]!;
          return { name: `${prefix}${slot}`, type: "float32", data };
        });
  const expertType = nExperts <= 256 ? "uint8" : "uint16";
  return [
    integers("sequence", (t) => firstSequence + sequences[t]!),
    integers("position", (t) => positions[t]!),
    integers("layer", (_, l) => layers[l]!, "uint16"),
    integers("token", (t) => tokenIds[t]!),
    ...(domains ? [{ name: "domain", type: "text", data: ofTokens((t) => domains[sequences[t]!]!) } as const] : []),
    ...(phases ? [{ name: "phase", type: "text", data: ofTokens((t): string => PHASES[phases[t]!]!) } as const] : []),
    ...(pieces === null
      ? []
      : [
          { name: "bytes", type: "bytes", data: ofTokens((t) => pieces[t]!.bytes) } as const,
          { name: "special", type: "boolean", data: ofTokens((t) => pieces[t]!.special) } as const,
        ]),
    ...Array.from({ length: topK }, (_, slot) =>
      integers(`e${slot}`, (t, l) => trace.expertIndices[(t * nLayers + l) * topK + slot]!, expertType),
    ),
    ...floats("w", trace.expertWeights, topK),
    ...floats("p", trace.routerProbs, nExperts),
  ];
}
