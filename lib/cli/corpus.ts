import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { readText } from "../checkpoint/folder.ts";
import { CheckpointError, ConfigError, shown } from "../errors.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";

const END_OF_TEXT = "<|endoftext|>";

/**
 * The documents of each kind of text in a folder: `KIND.jsonl` has one a line under `text`; kinds are sorted by name.
 * @throws CheckpointError naming file and line
 */
export async function readTexts(folder: string): Promise<Map<string, string[]>> {
  const files = (await readdir(folder).catch(() => [])).filter((file) => file.endsWith(".jsonl")).sort();
  if (files.length === 0) throw new CheckpointError(`${folder}: must hold KIND.jsonl files, got none`);
  const texts = new Map<string, string[]>();
  for (const file of files) {
    const path = join(folder, file);
    const lines = (await readText(path)).trimEnd().split("\n");
    texts.set(
      file.slice(0, -".jsonl".length),
      lines.map((line, i) => documentOf(line, `${path}: line ${i + 1}`)),
    );
  }
  return texts;
}

/** The text of a line, which is not empty. */
function documentOf(line: string, where: string): string {
  let text: unknown;
  try {
    text = (JSON.parse(line) as { text?: unknown } | null)?.text;
  } catch {
    // said below
  }
  if (typeof text === "string" && text !== "") return text;
  throw new CheckpointError(`${where} must be like {"text": "…"}, got ${shown(line)}`);
}

/**
 * Documents one after the other, an end-of-text token after each.
 * @throws ConfigError where the tokenizer has no such token
 */
export function tokensOf(documents: readonly string[], tokenizer: Tokenizer): Uint16Array {
  const end = tokenizer.specials.get(END_OF_TEXT);
  if (end === undefined) throw new ConfigError(`tokenizer.json: must have the special token ${END_OF_TEXT}, got none`);
  return Uint16Array.from(documents.flatMap((text) => [...tokenizer.encode(text), end]));
}
