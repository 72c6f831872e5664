import type { Packed } from "./contract.ts";

/** Packs whole numbers from 0 to 65535, in as few bits as the largest needs. */
export function packWhole(values: ArrayLike<number>): Packed {
  const wide = Uint16Array.from(values);
  const largest = wide.reduce((most, value) => Math.max(most, value), 0);
  const whole = { low: 0, step: 1, length: wide.length };
  if (largest > 255) return { type: "u2", ...whole, data: base64(wide) };
  if (largest > 15) return { type: "u1", ...whole, data: base64(Uint8Array.from(wide)) };
  const pairs = Uint8Array.from({ length: Math.ceil(wide.length / 2) }, (_, i) => {
    return wide[2 * i]! | ((wide[2 * i + 1] ?? 0) << 4);
  });
  return { type: "u4", ...whole, data: base64(pairs) };
}

/**
 * Packs reals in 16 bits each: an error of at most range / 131,068, below the digits that tooltips show. NaN stays NaN.
 * @throws RangeError for an infinity
 */
export function packReal(values: ArrayLike<number>): Packed {
  return quantized(values, "q2", 65535);
}

/**
 * Packs reals in 8 bits each: an error of at most range / 508. NaN stays NaN.
 * @throws RangeError for an infinity
 */
export function packCoarse(values: ArrayLike<number>): Packed {
  return quantized(values, "q1", 255);
}

/** @param nan the code that stands for NaN, and the largest there is */
function quantized(values: ArrayLike<number>, type: "q1" | "q2", nan: number): Packed {
  let [low, high] = [Infinity, -Infinity];
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (Math.abs(value) === Infinity) throw new RangeError(`figure: every value must be finite or NaN, got ${value}`);
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (low > high) low = high = 0;
  const step = (high - low) / (nan - 1);
  const codes = type === "q1" ? new Uint8Array(values.length) : new Uint16Array(values.length);
  for (let i = 0; i < values.length; i++)
    codes[i] = Number.isNaN(values[i]) ? nan : step > 0 ? Math.round((values[i]! - low) / step) : 0;
  return { type, low, step, length: values.length, data: base64(codes) };
}

function base64(values: Uint8Array | Uint16Array): string {
  return Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString("base64");
}
