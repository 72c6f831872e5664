/**
 * Compares a published tokenizer as we read it with Python's tokenizers, on hard strings: ids, text back, and conversations
 * where it has a chat template. `npx tsx bench/tokenizers.ts --python PYTHON [--texts 1500] FOLDER…`, where PYTHON has
 * tokenizers and transformers, and a folder holds tokenizer.json and perhaps tokenizer_config.json.
 */
import { execFileSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { hashUniform } from "../lib/random.ts";
import { fromTokenizerJson } from "../lib/tokenizer/huggingFace.ts";
import type { ChatMessage, Tokenizer } from "../lib/tokenizer/tokenizer.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { python: { type: "string", default: "python3" }, texts: { type: "string", default: "1500" } },
});

/** First and last code points of what the strings are made of; ASCII, six times, is as likely as six of the others. */
const BLOCKS: readonly (readonly [number, number])[] = [
  ...Array.from({ length: 6 }, () => [0x20, 0x7e] as const),
  [0x00, 0x1f], // controls
  [0x80, 0x9f],
  [0x09, 0x0d],
  [0xa0, 0x17f], // Latin
  [0x300, 0x36f], // combining marks
  [0x370, 0x4ff], // Greek, Cyrillic
  [0x590, 0x6ff], // Hebrew, Arabic
  [0x900, 0x97f], // Devanagari
  [0xe00, 0xe7f], // Thai
  [0x1100, 0x11ff], // Jamo
  [0x2000, 0x206f], // white space and punctuation
  [0x2190, 0x22ff], // arrows, mathematics
  [0x3000, 0x30ff], // Kana
  [0x4e00, 0x9fff], // Han
  [0xac00, 0xd7a3], // Hangul
  [0xf900, 0xfaff], // what NFC and NFKC rewrite
  [0xfe00, 0xffef],
  [0x1d400, 0x1d7ff],
  [0x1f300, 0x1f6ff], // pictures
  [0x20000, 0x20fff],
  [0xe0000, 0xe007f], // tags
];

/** What splits and merges of tokenizers are about. */
const BITS = [
  "  ",
  "\n",
  "\n\n",
  "\t",
  "   ",
  "'s",
  "'LL",
  "'Re",
  "123",
  "1234567",
  "...",
  "!?",
  "\r\n",
  " \n ",
  "▁",
  "Ġ",
  "<0x41>",
];

const LONG = [
  "",
  " ",
  "\n",
  "a".repeat(500),
  " ".repeat(70),
  "\n".repeat(30),
  "\ufeff's",
  "a \ufeff\ufeff b",
  "\u0085\u0085x",
];

const CHATS: ChatMessage[][] = [
  [{ role: "user", content: "Which expert is asked?" }],
  [
    { role: "user", content: "12 + 30?\n" },
    { role: "assistant", content: "42" },
    { role: "user", content: "専門家は？ {{ messages }} 👍🏽" },
  ],
  [
    { role: "system", content: " Answer briefly.\n" },
    { role: "user", content: "a" },
  ],
];

/** The text of a number: up to 40 code points of these blocks, and some of the bits. */
function textOf(seed: number): string {
  let at = 0;
  const below = (n: number): number => Math.floor(n * hashUniform(seed, at++));
  const length = 1 + below(40);
  let text = "";
  while (text.length < length) {
    const [first, last] = BLOCKS[below(BLOCKS.length)]!;
    for (let i = below(4); i >= 0; i--) text += String.fromCodePoint(first + below(last - first + 1));
    if (below(5) === 0) text += BITS[below(BITS.length)]!;
  }
  return text;
}

interface Theirs {
  ids: number[][];
  texts: string[];
  /** Ids, or why they refuse; null: there is no template. */
  chats: (number[] | string)[] | null;
}

function ourChat(tokenizer: Tokenizer, messages: ChatMessage[]): number[] | string {
  try {
    return tokenizer.encodeChat!(messages);
  } catch (error) {
    return (error as Error).message;
  }
}

async function jsonOf(path: string): Promise<object | null> {
  const text = await readFile(path, "utf8").catch(() => null);
  return text === null ? null : (JSON.parse(text) as object);
}

for (const folder of positionals) {
  const config = (await jsonOf(join(folder, "tokenizer_config.json"))) ?? {};
  const tokenizer = fromTokenizerJson(await jsonOf(join(folder, "tokenizer.json")), config);
  // A special token that is written out is plain text to us, and the token to them.
  const isPlain = (text: string): boolean => ![...tokenizer.specials.keys()].some((special) => text.includes(special));
  const made = Array.from({ length: Number(values.texts) }, (_, i) => textOf(i + 1));
  const texts = [...LONG, ...made].filter(isPlain);
  const input = JSON.stringify({ folder, texts, chats: CHATS });
  const script = join(import.meta.dirname, "tokenizers_peer.py");
  const output = execFileSync(values.python, [script], { input, encoding: "utf8", maxBuffer: 2 ** 30 });
  const theirs = JSON.parse(output) as Theirs;
  const otherIds = texts.filter((text, i) => tokenizer.encode(text).join() !== theirs.ids[i]!.join());
  const otherTexts = texts.filter((_, i) => tokenizer.decode(theirs.ids[i]!) !== theirs.texts[i]);
  console.log(`${folder}: ${texts.length} texts; other ids: ${otherIds.length}; other text back: ${otherTexts.length}`);
  for (const text of [...otherIds, ...otherTexts].slice(0, 5)) console.log(`  ${JSON.stringify(text)}`);
  for (const [i, chat] of (theirs.chats ?? []).entries()) {
    const ours = ourChat(tokenizer, CHATS[i]!);
    const same = typeof chat === "string" ? typeof ours === "string" : chat.join() === ours.toString();
    console.log(`  conversation ${i + 1}: ${same ? "the same" : `ours ${ours.toString()}, theirs ${chat.toString()}`}`);
  }
}
