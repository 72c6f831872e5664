import type { Packed } from "./contract.ts";

/** Reads what `packWhole` or `packReal` wrote, in the browser or in Node. */
export function unpack({ type, low, step, data }: Packed): Float64Array {
  const bytes = Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
  const codes = type === "u1" ? bytes : new Uint16Array(bytes.buffer);
  return Float64Array.from(codes, (code) => (type === "q2" && code === 65535 ? Number.NaN : low + step * code));
}
