import { readFileSync } from "node:fs";
import { expect } from "vitest";
import type { Imported } from "../../../lib/trace/imported.ts";
import type { RoutingTrace } from "../../../lib/trace/record.ts";

const GOLDEN = new URL("../../golden/trace/", import.meta.url);

/** What the Python script that wrote a recording says it holds. */
export interface Held {
  layers: number[];
  sequenceOffsets: number[];
  tokenIds: number[];
  positions: number[];
  phases: number[] | null;
  expertIndices: number[];
}

/** A file of test/golden/trace, as a view of bytes that starts anywhere, as files in memory may. */
export function fixture(path: string): Uint8Array {
  const bytes = readFileSync(new URL(path, GOLDEN));
  const memory = new Uint8Array(bytes.length + 3);
  memory.set(bytes, 3);
  return memory.subarray(3);
}

export function expected(path: string): unknown {
  return JSON.parse(new TextDecoder().decode(fixture(path)));
}

/** The trace that was imported, which must be one. */
export function traceIn(imported: Imported): RoutingTrace {
  if (imported.kind !== "trace") throw new Error("counts, not a trace");
  return imported.trace;
}

/** Expects a trace to hold what was written, and to fit together. */
export function expectHeld(trace: RoutingTrace, held: Held): void {
  expect(trace.layers).toEqual(held.layers);
  expect([...trace.sequenceOffsets]).toEqual(held.sequenceOffsets);
  expect([...trace.tokenIds]).toEqual(held.tokenIds);
  expect([...trace.positions!]).toEqual(held.positions);
  expect(trace.phases === undefined ? null : [...trace.phases]).toEqual(held.phases);
  expect([...trace.expertIndices]).toEqual(held.expertIndices);
}

/** A JSON text of a fixture with one part replaced. */
export function edited(path: string, part: string | RegExp, by: string): Uint8Array {
  const text = new TextDecoder().decode(fixture(path));
  const changed = text.replace(part, () => by);
  expect(changed).not.toBe(text);
  return new TextEncoder().encode(changed);
}
