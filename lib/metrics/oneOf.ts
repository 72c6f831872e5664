import { shown } from "../errors.ts";

/**
 * Checks a named option, for callers that no compiler checks.
 * @throws RangeError naming what there is
 */
export function oneOf(where: string, what: string, value: string, allowed: readonly string[]): void {
  if (allowed.includes(value)) return;
  throw new RangeError(`${where}: ${what} must be one of ${allowed.map(shown).join(", ")}, got ${shown(value)}`);
}
