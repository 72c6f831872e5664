import { checkedMessages } from "./chatTemplate.ts";
import { fromTokenizerJson } from "./huggingFace.ts";
import { type TiktokenEncoding, tiktokenJson } from "./tiktoken.ts";
import type { ChatMessage, Tokenizer } from "./tokenizer.ts";

/** DBRX's control tokens. The ids between cl100k's last piece (100255) and these have no piece. */
const SPECIALS: ReadonlyMap<string, number> = new Map([
  ["<|endoftext|>", 100257],
  ["<|pad|>", 100277],
  ["<|im_start|>", 100278],
  ["<|im_end|>", 100279],
]);

/** What stands between the marks of a turn. */
function turn({ role, content }: ChatMessage): string {
  return `${role}\n${role === "system" ? content.trim() : content}`;
}

/**
 * A conversation in ChatML, up to where the assistant speaks. DBRX Instruct was used with a default system message
 * where there is none; it is not added here. To encode a conversation use the tokenizer's `encodeChat`, which keeps
 * marks written in a message from acting as marks.
 *
 * @throws RangeError where there is no message; TypeError where a message is not one
 */
export function chatPrompt(messages: readonly ChatMessage[]): string {
  const turns = checkedMessages(messages).map((message) => `<|im_start|>${turn(message)}<|im_end|>`);
  return [...turns, "<|im_start|>assistant\n"].join("\n");
}

let shared: Promise<Tokenizer> | undefined;

/** DBRX's tokenizer: tiktoken's cl100k with ChatML's marks. It is made once and shared. */
export function dbrxTokenizer(): Promise<Tokenizer> {
  shared ??= build();
  return shared;
}

async function build(): Promise<Tokenizer> {
  // The module's value is the encoding itself; its declaration wraps it once more.
  const { default: cl100k } = (await import("tiktoken/encoders/cl100k_base")) as unknown as {
    default: TiktokenEncoding;
  };
  const tokenizer = fromTokenizerJson(tiktokenJson(cl100k, SPECIALS));
  const [start, end] = [SPECIALS.get("<|im_start|>")!, SPECIALS.get("<|im_end|>")!];
  const newline = tokenizer.encode("\n");
  return {
    ...tokenizer,
    encodeChat: (messages) => [
      ...checkedMessages(messages).flatMap((message) => [start, ...tokenizer.encode(turn(message)), end, ...newline]),
      start,
      ...tokenizer.encode("assistant\n"),
    ],
  };
}
