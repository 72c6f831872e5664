import { CheckpointError, shown } from "../errors.ts";

/** A JSON object whose fields are not checked. */
export type JsonObject = Record<string, unknown>;

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

const NEWLINE = 0x0a;

/**
 * The objects of a file that holds one, a list of them, or one a line (JSON Lines); a line is decoded when it is reached.
 * @throws CheckpointError for what is no JSON, or no object
 */
export function* jsonObjects(where: string, bytes: Uint8Array): Generator<JsonObject> {
  const firstEnd = bytes.indexOf(NEWLINE);
  const isLines = firstEnd >= 0 && firstEnd < bytes.length - 1 && parsed(bytes.subarray(0, firstEnd)) !== undefined;
  if (!isLines) {
    const value = parsed(bytes);
    if (value === undefined) throw new CheckpointError(`${where}: must be JSON, got other text or the part of a file`);
    for (const item of Array.isArray(value) ? (value as unknown[]) : [value]) yield object(where, item);
    return;
  }
  for (let start = 0, line = 1; start < bytes.length; line++) {
    const newline = bytes.indexOf(NEWLINE, start);
    const end = newline < 0 ? bytes.length : newline;
    const text = bytes.subarray(start, end);
    start = end + 1;
    if (text.every((byte) => byte <= 0x20)) continue;
    const value = parsed(text);
    if (value === undefined) throw new CheckpointError(`${where}: line ${line} must be JSON, got other text`);
    yield object(`${where}: line ${line}`, value);
  }
}

function parsed(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch {
    return undefined;
  }
}

function object(where: string, value: unknown): JsonObject {
  if (!isObject(value)) throw new CheckpointError(`${where}: must be a JSON object, got ${shown(value)}`);
  return value;
}

/**
 * A list of token ids that may be absent.
 * @throws CheckpointError for anything else
 */
export function tokenList(where: string, value: unknown): number[] | null {
  if (value === undefined || value === null) return null;
  if (
    !Array.isArray(value) ||
    !value.every((id) => Number.isInteger(id) && (id as number) >= 0 && (id as number) < 2 ** 31)
  )
    throw new CheckpointError(`${where} must be a list of token ids, got ${shown(value)}`);
  return value as number[];
}

/**
 * The bytes of base64 text.
 * @throws CheckpointError
 */
export function base64(where: string, text: string): Uint8Array {
  try {
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  } catch (cause) {
    throw new CheckpointError(`${where} must be base64, got ${shown(text)}`, { cause });
  }
}
