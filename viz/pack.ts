import type { Packed } from "./contract.ts";

/** Packs whole numbers from 0 to 65535. */
export function packWhole(values: ArrayLike<number>): Packed {
  const wide = Uint16Array.from(values);
  if (wide.some((value) => value > 255)) return { type: "u2", low: 0, step: 1, data: base64(wide) };
  return { type: "u1", low: 0, step: 1, data: base64(Uint8Array.from(wide)) };
}

/**
 * Packs reals in 16 bits each: an error of at most range / 131,068, below the digits that tooltips show. NaN stays NaN.
 * @throws RangeError for an infinity
 */
export function packReal(values: ArrayLike<number>): Packed {
  let [low, high] = [Infinity, -Infinity];
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (Math.abs(value) === Infinity) throw new RangeError(`figure: every value must be finite or NaN, got ${value}`);
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (low > high) low = high = 0;
  const step = (high - low) / 65534 || 1;
  const codes = Uint16Array.from(values, (value) => (Number.isNaN(value) ? 65535 : Math.round((value - low) / step)));
  return { type: "q2", low, step, data: base64(codes) };
}

function base64(values: Uint8Array | Uint16Array): string {
  return Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString("base64");
}
