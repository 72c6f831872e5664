import { checkConfig, type ModelConfig } from "../config.ts";
import { checkEncoderDecoderConfig, type EncoderDecoderConfig } from "../encoderDecoderConfig.ts";
import { ConfigError, listed, shown } from "../errors.ts";
import { dbrx } from "./dbrx.ts";
import { deepseek3 } from "./deepseek3.ts";
import type { Family } from "./family.ts";
import { gemma } from "./gemma.ts";
import { gpt2 } from "./gpt2.ts";
import { gptoss } from "./gptoss.ts";
import { granitemoe } from "./granitemoe.ts";
import { grok1 } from "./grok1.ts";
import { llama } from "./llama.ts";
import { mixtral } from "./mixtral.ts";
import { mt5 } from "./mt5.ts";
import { olmoe } from "./olmoe.ts";
import { qwen3moe } from "./qwen3moe.ts";

/** Every model family that can be opened. */
export const FAMILIES: readonly Family[] = [
  dbrx,
  mixtral,
  grok1,
  olmoe,
  qwen3moe,
  granitemoe,
  llama,
  gemma,
  gpt2,
  gptoss,
  deepseek3,
];

/**
 * The family that a configuration belongs to.
 * @param json a parsed config.json, or a name as `ModelConfig.family` holds it
 * @throws ConfigError listing what is known
 */
export function familyOf(json: Record<string, unknown> | string): Family {
  const type = typeof json === "string" ? json : json["model_type"];
  const family = FAMILIES.find((f) => f.name === type || f.modelTypes.some((known) => known === type));
  if (family === undefined) {
    if (isEncoderDecoder({ model_type: type }))
      throw new ConfigError(
        `config.json: model_type must be a decoder's here, got ${shown(type)}, an encoder-decoder: open it with loadEncoderDecoder`,
      );
    const known = [...FAMILIES, mt5].flatMap((f) => f.modelTypes).join(", ");
    const also =
      typeof json === "string" || json["architectures"] === undefined ? "" : ` (${shown(json["architectures"])})`;
    throw new ConfigError(`config.json: model_type must be one of ${known}, got ${shown(type)}${also}`);
  }
  return family;
}

/**
 * The configuration of a model in the field's terms.
 * @param json a parsed config.json
 * @throws ConfigError
 */
export function parseConfig(json: unknown): ModelConfig {
  if (typeof json !== "object" || json === null || Array.isArray(json))
    throw new ConfigError(`config.json: must be an object, got ${shown(json)}`);
  const fields = json as Record<string, unknown>;
  return checkConfig(familyOf(fields).config(fields));
}

/** Whether a parsed config.json is that of an encoder-decoder. */
export function isEncoderDecoder(json: unknown): boolean {
  return (
    typeof json === "object" &&
    json !== null &&
    mt5.modelTypes.some((type) => type === (json as { model_type?: unknown }).model_type)
  );
}

/**
 * The configuration of an encoder-decoder in the field's terms.
 * @param json a parsed config.json
 * @throws ConfigError
 */
export function parseEncoderDecoder(json: unknown): EncoderDecoderConfig {
  if (!isEncoderDecoder(json))
    throw new ConfigError(
      `config.json: model_type must be ${listed(mt5.modelTypes)}, an encoder-decoder, got ${shown((json as { model_type?: unknown } | null)?.model_type)}`,
    );
  return checkEncoderDecoderConfig(mt5.config(json as Record<string, unknown>));
}
