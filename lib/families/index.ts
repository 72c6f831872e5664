import { checkConfig, type ModelConfig } from "../config.ts";
import { ConfigError, shown } from "../errors.ts";
import { dbrx } from "./dbrx.ts";
import type { Family } from "./family.ts";
import { granitemoe } from "./granitemoe.ts";
import { grok1 } from "./grok1.ts";
import { mixtral } from "./mixtral.ts";
import { olmoe } from "./olmoe.ts";
import { qwen3moe } from "./qwen3moe.ts";

/** Every model family that can be opened. */
export const FAMILIES: readonly Family[] = [dbrx, mixtral, grok1, olmoe, qwen3moe, granitemoe];

/**
 * The family that a configuration belongs to.
 * @param json a parsed config.json, or a name as `ModelConfig.family` holds it
 * @throws ConfigError listing what is known
 */
export function familyOf(json: Record<string, unknown> | string): Family {
  const type = typeof json === "string" ? json : json["model_type"];
  const family = FAMILIES.find((f) => f.name === type || f.modelTypes.some((known) => known === type));
  if (family === undefined) {
    const known = FAMILIES.flatMap((f) => f.modelTypes).join(", ");
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
