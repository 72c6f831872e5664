import { ShapeError } from "../errors.ts";
import type { RoutingTrace } from "./record.ts";

/** The sequence that each token is in: [n_tokens]. */
export function sequenceOfTokens(sequenceOffsets: Int32Array): Int32Array {
  const sequences = new Int32Array(sequenceOffsets.at(-1)!);
  for (let s = 0; s + 1 < sequenceOffsets.length; s++) sequences.fill(s, sequenceOffsets[s], sequenceOffsets[s + 1]);
  return sequences;
}

/** The position of each token in what the model read: [n_tokens]. */
export function positionsOf({ positions, sequenceOffsets }: RoutingTrace): Int32Array {
  if (positions !== undefined) return positions;
  return sequenceOfTokens(sequenceOffsets).map((s, t) => t - sequenceOffsets[s]!);
}

/**
 * Some of a trace's sequences, `from` up to, not including, `to`. Arrays are shared with the trace.
 * @example sequencesOf(trace, 0, 1) // the first sequence
 */
export function sequencesOf(trace: RoutingTrace, from: number, to: number): RoutingTrace {
  const { nExperts, topK, layers, sequenceOffsets, pieces, expertWeights, routerProbs } = trace;
  const [start, end] = [sequenceOffsets[from]!, sequenceOffsets[to]!];
  const part = <A extends { subarray(start: number, end: number): A }>(values: A, perToken: number): A =>
    values.subarray(start * perToken, end * perToken);
  return {
    ...trace,
    tokenIds: part(trace.tokenIds, 1),
    pieces: pieces === null ? null : pieces.slice(start, end),
    sequenceOffsets: sequenceOffsets.slice(from, to + 1).map((offset) => offset - start),
    expertIndices: part(trace.expertIndices, layers.length * topK),
    expertWeights: expertWeights === null ? null : part(expertWeights, layers.length * topK),
    routerProbs: routerProbs === null ? null : part(routerProbs, layers.length * nExperts),
    ...(trace.positions && { positions: part(trace.positions, 1) }),
    ...(trace.phases && { phases: part(trace.phases, 1) }),
    ...(trace.domains && { domains: trace.domains.slice(from, to) }),
  };
}

const presence = (what: unknown): string => (what === null || what === undefined ? "absent" : "present");

/** What traces must agree in to be one: whose they are, their sizes, and what was recorded of each token. */
function outline(trace: RoutingTrace): Record<string, unknown> {
  const { source, nExperts, topK, layers, rankOrdered, pieces, expertWeights, routerProbs } = trace;
  return {
    engine: source.engine,
    model: source.model,
    nExperts,
    topK,
    layers,
    rankOrdered,
    pieces: presence(pieces),
    expertWeights: presence(expertWeights),
    routerProbs: presence(routerProbs),
    phases: presence(trace.phases),
    domains: presence(trace.domains),
  };
}

function concat<A extends Int32Array | Uint16Array | Float32Array | Uint8Array>(arrays: A[]): A {
  const length = arrays.reduce((sum, array) => sum + array.length, 0);
  const all = new (arrays[0]!.constructor as new (length: number) => A)(length);
  let at = 0;
  for (const array of arrays) {
    all.set(array, at);
    at += array.length;
  }
  return all;
}

/**
 * One trace of the sequences of several, in their order.
 * @throws ShapeError naming what two of them differ in; RangeError for none
 */
export function joinTraces(traces: readonly RoutingTrace[]): RoutingTrace {
  const [first] = traces;
  if (first === undefined) throw new RangeError("joinTraces: traces must be at least one, got none");
  if (traces.length === 1) return first;
  const expected = outline(first);
  for (const trace of traces)
    for (const [what, value] of Object.entries(outline(trace))) {
      const [got, wanted] = [JSON.stringify(value), JSON.stringify(expected[what])];
      if (got !== wanted)
        throw new ShapeError(`joinTraces: ${what} must be the same in all traces (${wanted}), got ${got}`);
    }
  const skips = traces.some((trace) => trace.positions !== undefined);
  const offsets = [0];
  for (const { sequenceOffsets } of traces) {
    const base = offsets.at(-1)!;
    for (const offset of sequenceOffsets.subarray(1)) offsets.push(base + offset);
  }
  return {
    ...first,
    tokenIds: concat(traces.map((trace) => trace.tokenIds)),
    pieces: first.pieces === null ? null : traces.flatMap((trace) => trace.pieces!),
    sequenceOffsets: Int32Array.from(offsets),
    expertIndices: concat(traces.map((trace) => trace.expertIndices)),
    expertWeights: first.expertWeights === null ? null : concat(traces.map((trace) => trace.expertWeights!)),
    routerProbs: first.routerProbs === null ? null : concat(traces.map((trace) => trace.routerProbs!)),
    ...(skips && { positions: concat(traces.map(positionsOf)) }),
    ...(first.phases && { phases: concat(traces.map((trace) => trace.phases!)) }),
    ...(first.domains && { domains: traces.flatMap((trace) => trace.domains!) }),
  };
}
