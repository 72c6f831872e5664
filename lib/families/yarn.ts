import type { YarnConfig } from "../config.ts";
import type { Fields } from "./fields.ts";

/** The words of files of transformers 5, and of older ones. */
const PARTS = ["rope_parameters", "rope_scaling"] as const;

/**
 * What a config.json says of YaRN; undefined where RoPE is not stretched.
 * @throws ConfigError
 */
export function yarnConfig(top: Fields, nCtx: number): YarnConfig | undefined {
  const rope = PARTS.map((name) => top.object(name)).find((part) =>
    ["rope_type", "type"].some((name) => part.textOrNull(name) === "yarn"),
  );
  if (rope === undefined) return undefined;
  rope.only("attention_factor", [null]);
  const originalCtx = rope.number("original_max_position_embeddings");
  return {
    factor: rope.numberOrNull("factor", null) ?? nCtx / originalCtx,
    originalCtx,
    betaFast: rope.number("beta_fast", 32),
    betaSlow: rope.number("beta_slow", 1),
    truncate: rope.flag("truncate", true),
    mscale: rope.numberOrNull("mscale", null) || null, // 0 says that there is none
    mscaleAllDim: rope.numberOrNull("mscale_all_dim", null) || null,
  };
}

/** The field that {@link yarnConfig} reads back. */
export function yarnJson(yarn: YarnConfig | undefined): Record<string, unknown> {
  if (yarn === undefined) return {};
  const { factor, originalCtx, betaFast, betaSlow, truncate, mscale, mscaleAllDim } = yarn;
  return {
    rope_scaling: {
      rope_type: "yarn",
      factor,
      original_max_position_embeddings: originalCtx,
      beta_fast: betaFast,
      beta_slow: betaSlow,
      truncate,
      ...(mscale === null ? {} : { mscale }),
      ...(mscaleAllDim === null ? {} : { mscale_all_dim: mscaleAllDim }),
    },
  };
}
