import { expect } from "vitest";
import { type ByteSource, memorySource } from "../../../lib/checkpoint/bytes.ts";
import { CheckpointError } from "../../../lib/errors.ts";
import type { RoutingTrace } from "../../../lib/trace/record.ts";
import { TraceWriter } from "../../../lib/trace/traceWriter.ts";
import { seeded } from "../../helpers.ts";

/** Routing drawn at random: `lengths` tokens in each sequence, without any of what may be missing. */
export function randomTrace(lengths: number[], nExperts = 5, topK = 2, layers = [0, 2, 3], seed = 1): RoutingTrace {
  const random = seeded(seed);
  const nTokens = lengths.reduce((a, b) => a + b, 0);
  const expertIndices: number[] = [];
  for (let row = 0; row < nTokens * layers.length; row++) {
    const experts = Array.from({ length: nExperts }, (_, e) => e);
    for (let slot = 0; slot < topK; slot++)
      expertIndices.push(experts.splice(Math.floor(random() * experts.length), 1)[0]!);
  }
  return {
    source: { engine: "test", model: "random" },
    nExperts,
    topK,
    layers,
    tokenIds: Int32Array.from({ length: nTokens }, () => Math.floor(random() * 100)),
    pieces: null,
    sequenceOffsets: Int32Array.from([0, ...lengths.map((_, s) => lengths.slice(0, s + 1).reduce((a, b) => a + b))]),
    expertIndices: Uint16Array.from(expertIndices),
    expertWeights: null,
    routerProbs: null,
    rankOrdered: true,
  };
}

/** The same with everything that a trace may hold. */
export function fullTrace(lengths: number[], seed = 1): RoutingTrace {
  const trace = randomTrace(lengths, 5, 2, [0, 2, 3], seed);
  const random = seeded(seed + 1);
  const floats = (n: number): Float32Array => Float32Array.from({ length: n }, random);
  const shown: [bytes: number[], text: string | null, special: boolean][] = [
    [[0x20, 0x61], " a", false],
    [[0xc3], null, false], // the first half of é
    [[0x3c, 0x3e], "<>", true],
    [[], null, false], // an id that has no piece
  ];
  return {
    ...trace,
    source: { engine: "test", model: "random", version: "1.2", encoding: "none" },
    pieces: Array.from(trace.tokenIds, (id) => {
      const [bytes, text, special] = shown[id % shown.length]!;
      return { id, bytes: Uint8Array.from(bytes), text, special };
    }),
    expertWeights: floats(trace.expertIndices.length),
    routerProbs: floats(trace.tokenIds.length * trace.layers.length * trace.nExperts),
    phases: Uint8Array.from(trace.tokenIds, (id) => id % 2),
    domains: lengths.map((_, s) => (s % 2 === 0 ? "code" : "prosa é")),
  };
}

/** The bytes of the file that traces are written to. */
export async function fileOf(...traces: RoutingTrace[]): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  const writer = new TraceWriter(async (bytes) => void pieces.push(bytes));
  for (const trace of traces) await writer.add(trace);
  await writer.end();
  return Buffer.concat(pieces);
}

export const sourceOf = (bytes: Uint8Array): ByteSource => memorySource("x", bytes);

/** The message of the CheckpointError that a promise ends in, which must be one line of sane length. */
export async function failure(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => new Error("nothing was thrown"),
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(CheckpointError);
  const { message } = error as CheckpointError;
  expect(message).not.toMatch(/[\n\r]/);
  expect(message.length).toBeLessThan(400);
  return message;
}
