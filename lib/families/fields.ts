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
    if (typeof value !== "number") throw this.error(name, "a number");
    return value;
  }

  /** A number, or null where the file says null; absent: the fallback. */
  numberOrNull(name: string, fallback: number | null): number | null {
    return this.#json[name] === null ? null : this.#json[name] === undefined ? fallback : this.number(name);
  }

  /** True or false; absent: the fallback. */
  flag(name: string, fallback: boolean): boolean {
    const value = this.#json[name] ?? fallback;
    if (typeof value !== "boolean") throw this.error(name, "true or false");
    return value;
  }

  /** What a word stands for; absent: what the first one does. */
  choice<T>(name: string, meanings: Readonly<Record<string, T>>): T {
    const words = Object.keys(meanings);
    const value = this.#json[name] ?? words[0];
    const word = words.find((known) => known === value);
    if (word === undefined) throw this.error(name, `one of ${listed(words.map(shown))}`);
    return meanings[word] as T;
  }

  /** A list of numbers; absent or null: an empty one. */
  numbers(name: string): number[] {
    const value = this.#json[name] ?? [];
    if (!Array.isArray(value) || value.some((one) => typeof one !== "number"))
      throw this.error(name, "a list of numbers");
    return value as number[];
  }

  /** The first of the names that the file has, else the first. */
  nameOf(...names: [string, ...string[]]): string {
    return names.find((name) => Object.hasOwn(this.#json, name)) ?? names[0];
  }

  /** A text; absent or null: null. */
  textOrNull(name: string): string | null {
    const value = this.#json[name] ?? null;
    if (value !== null && typeof value !== "string") throw this.error(name, "a text");
    return value;
  }

  /** A list of words, each one of those known; absent or null: null. */
  words(name: string, known: readonly string[]): readonly string[] | null {
    const value = this.#json[name] ?? null;
    if (value === null) return null;
    if (!Array.isArray(value) || !value.every((word) => known.includes(word as string)))
      throw this.error(name, `a list of ${listed(known.map(shown))}`);
    return value as string[];
  }

  /** An object of further fields; absent: an empty one. */
  object(name: string): Fields {
    const value = this.#json[name] ?? {};
    if (typeof value !== "object" || Array.isArray(value)) throw this.error(name, "an object");
    return new Fields(`${this.#where} ${name}`, value as Record<string, unknown>);
  }

  /** Refuses a value that the family's forward pass does not implement; absent is taken as the first one allowed. */
  only(name: string, allowed: readonly unknown[]): void {
    const value = JSON.stringify(this.#json[name] ?? allowed[0]);
    if (!allowed.some((one) => JSON.stringify(one) === value)) throw this.error(name, listed(allowed.map(shown)));
  }

  /** What to throw for a field that does not fit. */
  error(name: string, expected: string): ConfigError {
    return new ConfigError(`${this.#where}: ${name} must be ${expected}, got ${shown(this.#json[name])}`);
  }
}
