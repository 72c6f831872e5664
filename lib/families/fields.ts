import { ConfigError, listed, shown } from "../errors.ts";

/** Reads fields of a parsed config.json, saying what is wrong with one that does not fit. */
export class Fields {
  readonly #where: string;
  readonly #json: Record<string, unknown>;

  constructor(where: string, json: Record<string, unknown>) {
    this.#where = where;
    this.#json = json;
  }

  /** A number; without a fallback the field must be there. */
  number(name: string, fallback?: number): number {
    const value = this.#json[name] ?? fallback;
    if (typeof value !== "number") throw this.#error(name, "a number", this.#json[name]);
    return value;
  }

  /** A number, or null where the file says null; absent: the fallback. */
  numberOrNull(name: string, fallback: number | null): number | null {
    return this.#json[name] === null ? null : this.#json[name] === undefined ? fallback : this.number(name);
  }

  /** An object of further fields; absent: an empty one. */
  object(name: string): Fields {
    const value = this.#json[name] ?? {};
    if (typeof value !== "object" || Array.isArray(value)) throw this.#error(name, "an object", value);
    return new Fields(`${this.#where} ${name}`, value as Record<string, unknown>);
  }

  /** Refuses a value that the family's forward pass does not implement; absent is taken as the first one allowed. */
  only(name: string, allowed: readonly unknown[]): void {
    const value = this.#json[name] ?? allowed[0];
    if (!allowed.includes(value)) throw this.#error(name, listed(allowed.map(shown)), value);
  }

  #error(name: string, expected: string, value: unknown): ConfigError {
    return new ConfigError(`${this.#where}: ${name} must be ${expected}, got ${shown(value)}`);
  }
}
