/**
 * Trains the tokenizer on a corpus: `npx tsx scripts/tokenizer.ts [pieces [folder]]` (4096 and `.cache/corpus` unless told).
 * Reads `train` in the folder, writes `tokenizer.json` there, and reports bytes per token on held-out text.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fromTokenizerJson } from "../lib/tokenizer/huggingFace.ts";
import { trainBpe } from "../lib/train/bpe.ts";
import { type Document, KINDS } from "./corpus/document.ts";

const CORPUS = process.argv[3] ?? join(import.meta.dirname, "../.cache/corpus");
const kinds = KINDS.filter((kind) => existsSync(join(CORPUS, "train", `${kind}.jsonl`)));

function texts(part: "train" | "heldout", kind: string): string[] {
  const lines = readFileSync(join(CORPUS, part, `${kind}.jsonl`), "utf8")
    .trimEnd()
    .split("\n");
  return lines.map((line) => (JSON.parse(line) as Document).text);
}

const started = performance.now();
const json = trainBpe(
  kinds.flatMap((kind) => texts("train", kind)),
  {
    vocabSize: Number(process.argv[2] ?? 4096),
    onProgress: (merges, of) => process.stderr.write(`\r${merges} of ${of} merges`),
  },
);
writeFileSync(join(CORPUS, "tokenizer.json"), `${JSON.stringify(json, null, 1)}\n`);
console.log(
  `\n${Object.keys(json.model.vocab).length} pieces in ${((performance.now() - started) / 1000).toFixed(1)} s`,
);

const tokenizer = fromTokenizerJson(json);
for (const kind of kinds) {
  const held = texts("heldout", kind);
  const tokens = held.reduce((total, text) => total + tokenizer.encode(text).length, 0);
  const bytes = held.reduce((total, text) => total + Buffer.byteLength(text), 0);
  console.log(kind.padEnd(12), `${(bytes / tokens).toFixed(2)} bytes per token`);
}
