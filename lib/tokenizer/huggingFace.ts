import { Tokenizer as HuggingFaceTokenizer } from "@huggingface/tokenizers";
import { CheckpointError, shown } from "../errors.ts";
import type { TokenPiece } from "../trace/record.ts";
import { bytesOf } from "./byteAlphabet.ts";
import { chatTemplate, checkedMessages } from "./chatTemplate.ts";
import type { ChatMessage, EncodeOptions, Tokenizer } from "./tokenizer.ts";

/** The parts of a `tokenizer.json` that are read here; the package reads the rest. */
interface TokenizerJson {
  added_tokens: { id: number; content: string; special?: boolean }[];
  model: { vocab: object };
  decoder: Decoder | null;
  pre_tokenizer?: PreTokenizer | null;
}

interface PreTokenizer {
  type: string;
  pretokenizers?: (PreTokenizer | null)[];
  /** Of ByteLevel: whether it splits as GPT-2 does (absent: it does), and whether a space is put before a text. */
  use_regex?: boolean;
  add_prefix_space?: boolean;
}

interface Decoder {
  type: string;
  decoders?: Decoder[];
  /** Of Replace. */
  pattern?: { String?: string };
  /** Of Strip: how many characters go at the start. */
  start?: number;
  /** Of Metaspace. */
  prepend_scheme?: string;
}

/** The file's decoders in their order; those of a sequence stand for it. */
function decodersOf({ decoder }: TokenizerJson): Decoder[] {
  return decoder === null || decoder === undefined ? [] : (decoder.decoders ?? [decoder]);
}

/** How GPT-2 splits a text. */
const GPT2_SPLIT = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/**
 * ByteLevel's own split as a step before it: the package takes white space there as JavaScript's expressions do, with
 * U+FEFF and without U+0085, but in a step of its own as Unicode does, and as Python's tokenizers.
 */
function splitApart(step: PreTokenizer | null): PreTokenizer | null {
  if (typeof step !== "object" || step === null) return step; // the package refuses what is no step
  if (Array.isArray(step.pretokenizers)) return { ...step, pretokenizers: step.pretokenizers.map(splitApart) };
  if (step.type !== "ByteLevel" || step.use_regex === false || step.add_prefix_space !== false) return step;
  const split = { type: "Split", pattern: { Regex: GPT2_SPLIT }, behavior: "Isolated", invert: false };
  return { type: "Sequence", pretokenizers: [split, { ...step, use_regex: false }] };
}

/** Whether a space is put before a text when it is encoded, and so taken away when it is decoded. */
function addsSpace(file: TokenizerJson): boolean {
  return decodersOf(file).some(
    ({ type, start, prepend_scheme }) =>
      (type === "Strip" && start === 1) || (type === "Metaspace" && prepend_scheme !== "never"),
  );
}

/** The bytes that a vocabulary entry stands for. */
type Notation = (entry: string) => Uint8Array;

const encoder = new TextEncoder();

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function fail(what: string, expected: string, value: unknown): never {
  throw new CheckpointError(`tokenizer.json: ${what} must be ${expected}, got ${shown(value)}`);
}

function checked(json: unknown): TokenizerJson {
  if (!isRecord(json)) return fail("content", "an object", json);
  const { model, added_tokens: added = [] } = json;
  if (!isRecord(model)) return fail("model", "an object", model);
  const { vocab } = model;
  if (!isRecord(vocab) && !Array.isArray(vocab)) return fail("model.vocab", "an object or a list", vocab);
  for (const [entry, id] of isRecord(vocab) ? Object.entries(vocab) : []) {
    if (!isId(id)) fail(`the id of ${shown(entry)}`, `an integer in 0..${ID_LIMIT - 1}`, id);
  }
  if (!Array.isArray(added)) return fail("added_tokens", "a list", added);
  for (const token of added as unknown[]) {
    const isToken = isRecord(token) && typeof token["content"] === "string" && token["content"] !== "";
    if (!isToken || !isId(token["id"])) fail("an added token", "an object with id and content", token);
  }
  return { ...json, added_tokens: added } as unknown as TokenizerJson;
}

/** More ids than any vocabulary has. */
const ID_LIMIT = 2 ** 24;

function isId(value: unknown): boolean {
  return Number.isInteger(value) && Number(value) >= 0 && Number(value) < ID_LIMIT;
}

/** How the vocabulary writes bytes, told by how the file says it is to be decoded. */
function notationOf(file: TokenizerJson): Notation {
  const decoders = decodersOf(file);
  if (decoders.some(({ type }) => type === "ByteLevel")) return (entry) => bytesOf(entry) ?? encoder.encode(entry);
  if (decoders.some(({ type, pattern }) => type === "Metaspace" || (type === "Replace" && pattern?.String === "▁"))) {
    const hasFallback = decoders.some(({ type }) => type === "ByteFallback");
    return (entry) => {
      const byte = hasFallback ? /^<0x([0-9A-F]{2})>$/.exec(entry)?.[1] : undefined;
      return byte === undefined ? encoder.encode(entry.replaceAll("▁", " ")) : Uint8Array.of(Number.parseInt(byte, 16));
    };
  }
  return fail("decoder", 'ByteLevel, Metaspace or Replace of "▁"', file.decoder ?? null);
}

/** The piece as it is shown: its text only where its bytes are whole characters, and there are any. */
function shownPiece(id: number, bytes: Uint8Array, special: boolean): TokenPiece {
  return { id, bytes, text: bytes.length === 0 ? null : wholeText(bytes), special };
}

function wholeText(bytes: Uint8Array): string | null {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
}

/** What the file's post-processor puts before and after a text. */
function frameOf(tokenizer: HuggingFaceTokenizer): { before: number[]; after: number[] } {
  const bare: number[] = tokenizer.encode("a", { add_special_tokens: false }).ids;
  const framed: number[] = tokenizer.encode("a").ids;
  const start = framed.findIndex((_, at) => bare.every((id, i) => framed[at + i] === id));
  return { before: framed.slice(0, start), after: framed.slice(start + bare.length) };
}

/**
 * A tokenizer from a parsed `tokenizer.json` and, where there is one, the parsed `tokenizer_config.json` beside it.
 * Byte-level vocabularies (GPT-2's form) and those that write a space as "▁", with or without byte fallback, are read. The
 * configuration's chat template makes `encodeChat`, which refuses messages in which the template's marks are written: they
 * would act as marks.
 *
 * @throws CheckpointError where the file is malformed or of another form
 */
export function fromTokenizerJson(json: unknown, config: object = {}): Tokenizer {
  try {
    return tokenizerOf(checked(json), config);
  } catch (error) {
    if (error instanceof CheckpointError) throw error;
    throw new CheckpointError(`tokenizer.json: ${(error as Error).message}`, { cause: error });
  }
}

function tokenizerOf(file: TokenizerJson, config: object): Tokenizer {
  const notation = notationOf(file);
  const dropsSpace = addsSpace(file);
  const build = (added: TokenizerJson["added_tokens"]): HuggingFaceTokenizer => {
    const steps = splitApart(file.pre_tokenizer ?? null);
    const parts = { normalizer: null, post_processor: null, ...file, pre_tokenizer: steps, added_tokens: added };
    return new HuggingFaceTokenizer(parts, config);
  };
  const all = build(file.added_tokens);
  const plain = build(file.added_tokens.filter(({ special }) => special !== true));
  const added = new Map(
    file.added_tokens.map(({ id, content, special }) => [id, { content, special: special === true }]),
  );
  const specials = new Map(
    file.added_tokens.filter(({ special }) => special === true).map(({ content, id }) => [content, id]),
  );
  const { before, after } = frameOf(all);
  let vocabSize = 0;
  for (const id of all.get_vocab().values()) vocabSize = Math.max(vocabSize, id + 1);

  function piece(id: number): TokenPiece {
    if (!isId(id)) throw new RangeError(`tokenizer: an id must be a non-negative integer, got ${shown(id)}`);
    const token = added.get(id);
    const entry = all.id_to_token(id);
    if (token !== undefined) return shownPiece(id, encoder.encode(token.content), token.special);
    return shownPiece(id, entry === undefined ? new Uint8Array() : notation(entry), false);
  }

  const pieces = (ids: Iterable<number>): TokenPiece[] => Array.from(ids, piece);
  const write = chatTemplate(config);
  function markedText(messages: readonly ChatMessage[]): string {
    for (const { content } of checkedMessages(messages)) {
      const mark = [...added.values()].find((token) => token.special && content.includes(token.content));
      if (mark !== undefined)
        throw new RangeError(`chat: content must not hold a mark, got ${shown(mark.content)} in it`);
    }
    return write!(messages);
  }
  return {
    vocabSize,
    specials,
    encode(text: string, { allowSpecial = false, addSpecial = true }: EncodeOptions = {}): number[] {
      if (typeof text !== "string") throw new TypeError(`tokenizer: text must be a string, got ${shown(text)}`);
      const { ids } = (allowSpecial ? all : plain).encode(text, { add_special_tokens: false });
      return addSpecial ? [...before, ...ids, ...after] : ids;
    },
    decode(ids: Iterable<number>): string {
      const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
      const parts = pieces(ids).map(({ bytes }) => decoder.decode(bytes, { stream: true }));
      const text = parts.join("") + decoder.decode();
      return dropsSpace ? text.replace(/^ /, "") : text;
    },
    pieces,
    encodeChat:
      write === null ? null : (messages) => all.encode(markedText(messages), { add_special_tokens: false }).ids,
  };
}
