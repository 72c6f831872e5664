export const PLACES = ["ones", "tens", "hundreds", "thousands", "ten thousands", "hundred thousands", "millions"];

/** The decimal digits of a whole number, ones first. */
export function digitsOf(value: number): number[] {
  return String(value).split("").toReversed().map(Number);
}

/** Two numbers under each other, as for column arithmetic. */
export function columns(top: number, sign: string, bottom: number): string[] {
  const width = Math.max(String(top).length, String(bottom).length);
  return [`  ${String(top).padStart(width)}`, `${sign} ${String(bottom).padStart(width)}`];
}

export function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}

/** A fraction in lowest terms, written as a whole number where it is one. */
export function fraction(numerator: number, denominator: number): string {
  const divisor = greatestCommonDivisor(numerator, denominator);
  return denominator === divisor ? `${numerator / divisor}` : `${numerator / divisor}/${denominator / divisor}`;
}

/** `+ 3` or `- 3`, for a term that follows another. */
export function signed(value: number): string {
  return value < 0 ? `- ${-value}` : `+ ${value}`;
}

/** `3x`, but `x` for 1 and `-x` for -1. */
export function term(coefficient: number, name: string): string {
  if (coefficient === 1) return name;
  return coefficient === -1 ? `-${name}` : `${coefficient}${name}`;
}
