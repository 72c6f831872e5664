import type { Packed } from "./contract.ts";

/** Reads what `packWhole`, `packReal` or `packCoarse` wrote, in the browser or in Node. */
export function unpack({ type, low, step, length, data }: Packed): Float64Array {
  const bytes = bytesOf(data);
  const numbers = new Float64Array(length);
  if (type === "u4") for (let i = 0; i < length; i++) numbers[i] = (bytes[i >> 1]! >> (4 * (i & 1))) & 15;
  else {
    const codes = type === "u1" || type === "q1" ? bytes : new Uint16Array(bytes.buffer);
    const nan = type === "q1" ? 255 : type === "q2" ? 65535 : -1;
    for (let i = 0; i < length; i++) numbers[i] = codes[i] === nan ? Number.NaN : low + step * codes[i]!;
  }
  return numbers;
}

/** The bytes that base64 stands for. A loop: iterating over a long string takes ten times as long. */
export function bytesOf(base64: string): Uint8Array {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}
