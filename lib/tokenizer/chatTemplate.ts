import { Template } from "@huggingface/jinja";
import { CheckpointError, shown } from "../errors.ts";
import type { ChatMessage } from "./tokenizer.ts";

/** The tokens that a template may name, as tokenizer_config.json has them: a text, or an object with `content`. */
const NAMED_TOKENS = ["bos_token", "eos_token", "unk_token", "pad_token"];

/**
 * Messages that are a conversation.
 * @throws RangeError where there is none; TypeError where one has no known role or no text
 */
export function checkedMessages(messages: readonly ChatMessage[]): readonly ChatMessage[] {
  if (messages.length === 0) throw new RangeError("chat: messages must be one or more, got none");
  for (const { role, content } of messages) {
    if (!["system", "user", "assistant"].includes(role)) {
      throw new TypeError(`chat: role must be system, user or assistant, got ${shown(role)}`);
    }
    if (typeof content !== "string") throw new TypeError(`chat: content must be a string, got ${shown(content)}`);
  }
  return messages;
}

/**
 * A model's own way of writing a conversation, from a parsed tokenizer_config.json: its `chat_template`, or the one that is
 * named "default" where there are several.
 * @returns the text of a checked conversation up to where the assistant speaks; null where the configuration has no template
 * @throws CheckpointError where the template cannot be read, or refuses the conversation (some want turns that alternate)
 * @see https://huggingface.co/docs/transformers/main/en/chat_templating
 */
export function chatTemplate(config: object): ((messages: readonly ChatMessage[]) => string) | null {
  const source = templateOf((config as { chat_template?: unknown }).chat_template);
  if (source === null) return null;
  const template = attempt("must be a Jinja template", () => new Template(source));
  const named = Object.entries(config).flatMap(([name, value]) => {
    const content: unknown = (value as { content?: unknown } | null)?.content ?? value;
    return NAMED_TOKENS.includes(name) && typeof content === "string" ? [[name, content] as const] : [];
  });
  const tokens = Object.fromEntries(named);
  return (messages) =>
    attempt("must accept the messages", () => template.render({ ...tokens, messages, add_generation_prompt: true }));
}

function templateOf(value: unknown): string | null {
  if (value === undefined || value === null) return null;
  const list = Array.isArray(value) ? (value as { name?: unknown; template?: unknown }[]) : null;
  const source = list === null ? value : list.find((entry) => entry?.name === "default")?.template;
  if (typeof source !== "string")
    throw new CheckpointError(`chat_template: must be a text, or a list with one named "default", got ${shown(value)}`);
  return source;
}

function attempt<T>(expected: string, f: () => T): T {
  try {
    return f();
  } catch (error) {
    throw new CheckpointError(`chat_template: ${expected}, got "${(error as Error).message}"`, { cause: error });
  }
}
