import { readFileSync } from "node:fs";
import { type ByteSource, memorySource } from "../../../lib/checkpoint/bytes.ts";
import type { Checkpoint } from "../../../lib/checkpoint/checkpoint.ts";
import { openCheckpoint } from "../../../lib/checkpoint/checkpoint.ts";

/** The bytes of a safetensors file with any text as its header, right or wrong. */
export function fileOf(header: string | object, data: Uint8Array | number = 0, length?: bigint): Uint8Array {
  const json = new TextEncoder().encode(typeof header === "string" ? header : JSON.stringify(header));
  const prefix = new DataView(new ArrayBuffer(8));
  prefix.setBigUint64(0, length ?? BigInt(json.length), true);
  return Uint8Array.from([
    ...new Uint8Array(prefix.buffer),
    ...json,
    ...(typeof data === "number" ? new Uint8Array(data) : data),
  ]);
}

/** A source that keeps which ranges were asked of it. */
export function countingSource<S extends ByteSource>(source: S): S & { reads: [start: number, end: number][] } {
  const reads: [number, number][] = [];
  return {
    ...source,
    reads,
    read: (start, end) => {
      reads.push([start, end]);
      return source.read(start, end);
    },
  };
}

export async function checkpointOf(source: ByteSource): Promise<Checkpoint> {
  return openCheckpoint(source.name, new Map([["x.safetensors", source]]));
}

const GOLDEN = new URL("../../golden/", import.meta.url);

/** The file that PyTorch wrote (test/golden/make_safetensors.py), and what PyTorch says its values are. */
export const goldenPath = new URL("safetensors.safetensors", GOLDEN);
export const goldenSource = (): ByteSource => memorySource("golden", readFileSync(goldenPath));
export const golden = JSON.parse(readFileSync(new URL("safetensors.json", GOLDEN), "utf8")) as {
  shapes: Record<string, number[]>;
  bits: Record<string, number[]>;
  integers: Record<string, number[]>;
  checksums: { f16: number; bf16: number };
  rounding: { float32: number[]; bfloat16: number[] };
};

/** The bits of float32 values, so that NaN and −0 compare as they are. */
export function bitsOf(values: Float32Array): number[] {
  return [...new Int32Array(values.buffer, values.byteOffset, values.length)];
}

/** FNV-1a over float32 bits, NaN as 0: the sum that the golden scripts make. */
export function checksum(values: Float32Array): number {
  let hash = 0x811c9dc5;
  for (const [i, bits] of bitsOf(values).entries()) {
    hash = Math.imul(hash ^ (Number.isNaN(values[i]) ? 0 : bits), 0x01000193);
  }
  return hash >>> 0;
}
