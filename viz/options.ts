import { listed, shown } from "../lib/errors.ts";
import { count } from "./format.ts";

/**
 * A whole number in [low, high], or the default where the option is absent.
 * @throws RangeError naming the option, its bounds and the value given
 */
export function maybeWhole(
  where: string,
  what: string,
  value: unknown,
  low: number,
  high: number,
  otherwise: number,
): number {
  if (value === undefined) return otherwise;
  if (!Number.isInteger(value) || (value as number) < low || (value as number) > high)
    throw new RangeError(`${where}: ${what} must be a whole number from ${low} to ${high}, got ${shown(value)}`);
  return value as number;
}

/**
 * A positive finite number, or null where the option is absent.
 * @throws RangeError naming the option and the value given
 */
export function maybePositive(where: string, what: string, value: unknown): number | null {
  if (value === undefined) return null;
  if (typeof value !== "number" || !Number.isFinite(value) || value <= 0)
    throw new RangeError(`${where}: ${what} must be a positive number, got ${shown(value)}`);
  return value;
}

/**
 * A share from 0 to 1, or null where the option is absent.
 * @throws RangeError naming the option and the value given
 */
export function maybeShare(where: string, what: string, value: unknown): number | null {
  if (value === undefined) return null;
  if (typeof value !== "number" || !(value >= 0 && value <= 1))
    throw new RangeError(`${where}: ${what} must be a number from 0 to 1, got ${shown(value)}`);
  return value;
}

/**
 * A choice between true and false; false where absent.
 * @throws RangeError naming the option and the value given
 */
export function maybeFlag(where: string, what: string, value: unknown): boolean {
  if (value === undefined) return false;
  if (typeof value !== "boolean") throw new RangeError(`${where}: ${what} must be true or false, got ${shown(value)}`);
  return value;
}

/**
 * One of some words, or the default where the option is absent.
 * @throws RangeError naming the option, the words and the value given
 */
export function maybeOneOf<Word extends string>(
  where: string,
  what: string,
  value: unknown,
  words: readonly Word[],
  otherwise: Word,
): Word {
  if (value === undefined) return otherwise;
  if (!words.includes(value as Word))
    throw new RangeError(`${where}: ${what} must be one of ${listed(words)}, got ${shown(value)}`);
  return value as Word;
}

/** Part of a text, in token positions: `end` is the first token that is left out. */
export interface WindowOptions {
  /** First token shown; 0 where absent. */
  start?: number;
  /** First token no longer shown; as many as the view can hold where absent. */
  end?: number;
}

/**
 * The window of a text that a view draws. Without `end`, a long text is cut where the budget ends, and the view says so;
 * an explicit `end` beyond the budget is refused.
 * @param most tokens that the view can hold
 * @param larger what makes room for more, or null where nothing does
 * @throws RangeError naming the option that narrows the window
 */
export function maybeWindow(
  where: string,
  options: WindowOptions,
  nTokens: number,
  most: number,
  larger: string | null = null,
): [number, number] {
  if (nTokens === 0) throw new RangeError(`${where}: the text must hold at least one token, got none`);
  const start = maybeWhole(where, "start", options.start, 0, nTokens - 1, 0);
  const end = maybeWhole(where, "end", options.end, start + 1, nTokens, Math.min(nTokens, start + most));
  if (end - start > most)
    throw new RangeError(
      `${where}: end must be at most start + ${most} here (${start + most}), got ${end}; ${larger === null ? "" : `${larger}, or `}show the rest in further figures`,
    );
  return [start, end];
}

/** How a window is stated: `60 tokens`, or `tokens 0–511 of 2,048 (next: start: 512)`, which says how to move it. */
export function windowText(start: number, end: number, nTokens: number): string {
  if (start === 0 && end === nTokens) return nTokens === 1 ? "1 token" : `${count(nTokens)} tokens`;
  const next = end < nTokens ? ` (next: start: ${end})` : "";
  return `tokens ${count(start)}–${count(end - 1)} of ${count(nTokens)}${next}`;
}

/**
 * Refuses numbers that no picture can show.
 * @throws RangeError naming the first NaN or infinity and its place
 */
export function checkFinite(where: string, what: string, values: Float32Array): void {
  const at = values.findIndex((value) => !Number.isFinite(value));
  if (at >= 0) throw new RangeError(`${where}: ${what} must be finite, got ${values[at]} at ${at} of the window`);
}

/**
 * Refuses chosen experts that the model does not have.
 * @throws RangeError naming the first
 */
export function checkExperts(where: string, indices: Uint16Array, nExperts: number): void {
  const wrong = indices.find((expert) => expert >= nExperts);
  if (wrong !== undefined) throw new RangeError(`${where}: expert must be below nExperts (${nExperts}), got ${wrong}`);
}
