import type { Tensor } from "@tensorflow/tfjs";
import type { Axis, Shape } from "./axes.ts";
import { type ModelConfig, mlpOf } from "./config.ts";
import { listed } from "./errors.ts";

/** What only some blocks have: which those are, and why the others have it not. */
const NEEDS = {
  experts: {
    isMet: (config: ModelConfig, layer: number): boolean => mlpOf(config, layer).kind === "moe",
    blocks: "blocks with experts",
    reason: "dense blocks have no router and no experts",
  },
  shared: {
    isMet: (config: ModelConfig, layer: number): boolean => {
      const mlp = mlpOf(config, layer);
      return mlp.kind === "moe" && mlp.dShared !== undefined;
    },
    blocks: "blocks with a shared expert",
    reason: "all of its experts are chosen ones, or it has none",
  },
  latent: {
    isMet: ({ latent }: ModelConfig): boolean => latent !== undefined,
    blocks: "blocks with latent attention",
    reason: "keys and values are made of the residual stream",
  },
  gate: {
    isMet: (config: ModelConfig, layer: number): boolean => {
      const mlp = mlpOf(config, layer);
      return mlp.kind === "dense" && mlp.ungated !== true;
    },
    blocks: "dense blocks with a gate",
    reason: "without one there is only mlp.hook_pre; the neurons of experts are at mlp.experts.{e}",
  },
  rotation: {
    isMet: ({ ropeBase }: ModelConfig): boolean => ropeBase !== null,
    blocks: "blocks that rotate queries and keys",
    reason: "attention reads attn.hook_q and attn.hook_k as they are",
  },
  learnedPositions: {
    isMet: ({ learnedPositions }: ModelConfig): boolean => learnedPositions === true,
    blocks: "models with a learned vector for each position",
    reason: "queries and keys are rotated instead",
  },
  dense: {
    isMet: (config: ModelConfig, layer: number): boolean => mlpOf(config, layer).kind === "dense",
    blocks: "dense blocks",
    reason: "the neurons of experts are at mlp.experts.{e}",
  },
} as const;

/** What is declared of a hook. */
export interface HookSpec {
  readonly shape: Shape;
  readonly dtype: "float32" | "int32";
  readonly meaning: string;
  /** Absent: every block has it. */
  readonly needs?: keyof typeof NEEDS;
}

const RESIDUAL: Shape = ["batch", "pos", "d_model"];
const QUERY: Shape = ["batch", "pos", "n_heads", "d_head"];
const KEY: Shape = ["batch", "pos", "n_kv_heads", "d_head"];
const PATTERN: Shape = ["batch", "n_heads", "q_pos", "k_pos"];
const ALL_EXPERTS: Shape = ["batch", "pos", "n_experts"];
const CHOSEN: Shape = ["batch", "pos", "top_k"];
const INSIDE: Shape = ["n_routed", "d_ff"];
const SHARED: Shape = ["batch", "pos", "d_shared"];
const VALUE: Shape = ["batch", "pos", "n_kv_heads", "d_value"];
const NEURONS: Shape = ["batch", "pos", "d_ff"];

const real = (shape: Shape, meaning: string): HookSpec => ({ shape, dtype: "float32", meaning });
const routed = (shape: Shape, meaning: string): HookSpec => ({ ...real(shape, meaning), needs: "experts" });
const routedWhole = (shape: Shape, meaning: string): HookSpec => ({ ...routed(shape, meaning), dtype: "int32" });
const dense = (meaning: string, needs: "dense" | "gate" = "dense"): HookSpec => ({
  ...real(NEURONS, `dense block: ${meaning}`),
  needs,
});
const shared = (shape: Shape, meaning: string): HookSpec => ({ ...real(shape, meaning), needs: "shared" });
const rotated = (shape: Shape, meaning: string): HookSpec => ({ ...real(shape, meaning), needs: "rotation" });

/** Every hook of a model, in the order in which it fires: name pattern, shape, type and meaning. */
export const HOOKS = {
  hook_embed: real(RESIDUAL, "token embeddings, scaled where the model scales them"),
  hook_pos_embed: { ...real(RESIDUAL, "learned vector of each position"), needs: "learnedPositions" },
  "blocks.{l}.hook_resid_pre": real(RESIDUAL, "residual stream that enters the block"),
  "blocks.{l}.ln1.hook_scale": real(
    ["batch", "pos", 1],
    "what the first norm divides by: sqrt(variance + eps), or root mean square",
  ),
  "blocks.{l}.ln1.hook_normalized": real(RESIDUAL, "first norm's output, gain included: what attention reads"),
  "blocks.{l}.attn.hook_latent": {
    ...real(["batch", "pos", "d_latent"], "normalised vector that keys and values are made of, in latent attention"),
    needs: "latent",
  },
  "blocks.{l}.attn.hook_q": real(
    QUERY,
    "queries, bias included, normalised or clamped where the model does so, before RoPE",
  ),
  "blocks.{l}.attn.hook_k": real(KEY, "keys, likewise"),
  "blocks.{l}.attn.hook_v": real(VALUE, "values, clamped where the model clamps"),
  "blocks.{l}.attn.hook_rot_q": rotated(QUERY, "queries after RoPE"),
  "blocks.{l}.attn.hook_rot_k": rotated(KEY, "keys after RoPE"),
  "blocks.{l}.attn.hook_attn_scores": real(PATTERN, "scaled scores before the softmax; −Infinity where masked"),
  "blocks.{l}.attn.hook_pattern": real(
    PATTERN,
    "attention probabilities; each row sums to 1, with attention sinks to less",
  ),
  "blocks.{l}.attn.hook_z": real(
    ["batch", "pos", "n_heads", "d_value"],
    "pattern times values, per head, before the output projection",
  ),
  "blocks.{l}.hook_attn_out": real(RESIDUAL, "what attention adds to the residual stream"),
  "blocks.{l}.hook_resid_mid": real(RESIDUAL, "residual stream between attention and MLP"),
  "blocks.{l}.ln2.hook_scale": real(["batch", "pos", 1], "what the second norm divides by"),
  "blocks.{l}.ln2.hook_normalized": real(RESIDUAL, "second norm's output, gain included: what the MLP reads"),
  "blocks.{l}.mlp.hook_router_logits": routed(ALL_EXPERTS, "the router's raw output"),
  "blocks.{l}.mlp.hook_router_probs": routed(
    ALL_EXPERTS,
    "softmax of the router logits over all experts; DeepSeek-V3: the sigmoid of each",
  ),
  "blocks.{l}.mlp.hook_expert_indices": routedWhole(CHOSEN, "chosen experts, best first"),
  "blocks.{l}.mlp.hook_expert_weights": routed(
    CHOSEN,
    'mixing weights ("gate weights" in some papers), exactly as applied',
  ),
  "blocks.{l}.mlp.experts.{e}.hook_token_index": routedWhole(
    ["n_routed"],
    "which row of [batch*pos] each routed row is",
  ),
  "blocks.{l}.mlp.experts.{e}.hook_pre": routed(INSIDE, "gate projection before its activation"),
  "blocks.{l}.mlp.experts.{e}.hook_pre_linear": routed(INSIDE, "up (linear) projection"),
  "blocks.{l}.mlp.experts.{e}.hook_post": routed(INSIDE, "activated gate times up: the expert's neurons"),
  "blocks.{l}.mlp.hook_expert_out": routed(
    ["batch", "pos", "top_k", "d_model"],
    "each chosen expert's output before weighting",
  ),
  "blocks.{l}.mlp.shared.hook_pre": shared(SHARED, "shared expert: gate projection before its activation"),
  "blocks.{l}.mlp.shared.hook_pre_linear": shared(SHARED, "shared expert: up (linear) projection"),
  "blocks.{l}.mlp.shared.hook_post": shared(SHARED, "shared expert: activated gate times up, its neurons"),
  "blocks.{l}.mlp.shared.hook_out": shared(RESIDUAL, "shared expert: what it adds, unweighted, to the routed ones"),
  "blocks.{l}.mlp.hook_pre": dense("gate projection (without a gate: up) before its activation"),
  "blocks.{l}.mlp.hook_pre_linear": dense("up (linear) projection", "gate"),
  "blocks.{l}.mlp.hook_post": dense("activated gate times up (without a gate: activated up): the neurons"),
  "blocks.{l}.hook_mlp_out": real(RESIDUAL, "what the MLP adds to the residual stream"),
  "blocks.{l}.hook_resid_post": real(RESIDUAL, "residual stream that leaves the block"),
  "ln_final.hook_scale": real(["batch", "pos", 1], "what the final norm divides by"),
  "ln_final.hook_normalized": real(RESIDUAL, "final norm's output, gain included: what the unembedding reads"),
  logits: real(["batch", "pos", "d_vocab"], "scores of the next token"),
} as const satisfies Record<string, HookSpec>;

export type HookPattern = keyof typeof HOOKS;

type Fill<P extends string> = P extends `${infer A}{l}${infer B}`
  ? `${A}${number}${Fill<B>}`
  : P extends `${infer A}{e}${infer B}`
    ? `${A}${number}${Fill<B>}`
    : P;

/** The name of one hook of one layer, such as `blocks.3.mlp.hook_router_logits`. */
export type HookName = Fill<HookPattern>;

type AfterBlock<P> = P extends `blocks.{l}.${infer Rest}` ? Fill<Rest> : never;
/** The part of a hook's name after `blocks.{l}.`, such as `mlp.hook_router_logits`. */
export type BlockHook = AfterBlock<HookPattern>;

/** What a hook is told about where it stands. */
export interface HookContext<Name extends string = HookName> {
  name: Name;
  /** Block number, or null outside the blocks. */
  layer: number | null;
}

/**
 * Reads a value as it passes; a returned tensor of the same shape and type replaces it.
 * The value belongs to the run, which may let it go after the call: keep a copy (`value.clone()` under `tf.keep`) rather than
 * the tensor itself.
 */
export type HookFn<Name extends string = HookName> = (value: Tensor, context: HookContext<Name>) => Tensor | void;

/** Hooks by exact name; a list runs in order, each seeing what the one before left. */
export type Hooks<Name extends string = HookName> = {
  readonly [name in Name]?: HookFn<Name> | readonly HookFn<Name>[];
};

/**
 * Builds the name of a block's hook.
 * @example hookName(3, "mlp.hook_router_logits") // "blocks.3.mlp.hook_router_logits"
 */
export function hookName<const H extends BlockHook>(layer: number, hook: H): `blocks.${number}.${H}` {
  return `blocks.${layer}.${hook}`;
}

/** The pattern in {@link HOOKS} that a name is an instance of, or null. */
export function patternOf(name: string): HookPattern | null {
  const pattern = name.replace(/^blocks\.\d+\./, "blocks.{l}.").replace(/\.experts\.\d+\./, ".experts.{e}.");
  return Object.hasOwn(HOOKS, pattern) ? (pattern as HookPattern) : null;
}

function hasHook(pattern: HookPattern, config: ModelConfig, layer: number): boolean {
  const { needs } = HOOKS[pattern];
  return needs === undefined || NEEDS[needs].isMet(config, layer);
}

/** Every hook name of a model, in the order in which the hooks fire. */
export function hookNames(config: ModelConfig): HookName[] {
  const patterns = Object.keys(HOOKS) as HookPattern[];
  const inBlock = patterns.filter((pattern) => pattern.startsWith("blocks."));
  const first = patterns.indexOf(inBlock[0]!);
  const nExperts = config.mlp.kind === "moe" ? config.mlp.nExperts : 0;
  const perExpert = (pattern: string): string[] =>
    pattern.includes("{e}") ? Array.from({ length: nExperts }, (_, e) => pattern.replace("{e}", String(e))) : [pattern];
  const blocks = Array.from({ length: config.nLayers }, (_, l) =>
    inBlock
      .filter((pattern) => hasHook(pattern, config, l))
      .flatMap((pattern) => perExpert(pattern.replace("{l}", String(l)))),
  );
  const before = patterns.slice(0, first).filter((pattern) => hasHook(pattern, config, 0));
  return [...before, ...blocks.flat(), ...patterns.slice(first + inBlock.length)] as HookName[];
}

/** The size of every axis that the configuration fixes, as a block has it: d_ff may differ between blocks. */
export function axisSizes(config: ModelConfig, layer: number): Partial<Record<Axis, number>> {
  const { mlp, latent } = config;
  return {
    d_model: config.dModel,
    n_heads: config.nHeads,
    n_kv_heads: config.nKvHeads,
    d_head: config.dHead,
    d_ff: mlpOf(config, layer).dFf,
    d_value: latent?.dValue ?? config.dHead,
    ...(latent === undefined ? {} : { d_latent: latent.kvRank }),
    ...(mlp.kind === "moe" ? { n_experts: mlp.nExperts, top_k: mlp.topK } : {}),
    ...(mlp.kind === "moe" && mlp.dShared !== undefined ? { d_shared: mlp.dShared } : {}),
    n_layers: config.nLayers,
    d_vocab: config.dVocab,
  };
}

/** Levenshtein distance, for "did you mean". */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++)
      next[j] = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1));
    row = next;
  }
  return row[b.length]!;
}

/** The regular expression of a glob, in which `*` stands for any run of characters. */
function globOf(asked: string): RegExp {
  const pieces = asked.split(/\*+/).map((piece) => piece.replace(/[.+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(`^${pieces.join(".*")}$`);
}

/** A message for a name or glob that matches no hook: what the blocks that it means lack, or the names nearest to it. */
export function unknownHook(asked: string, config: ModelConfig): string {
  const cut = asked.slice(0, 120);
  const glob = globOf(cut);
  const expert = /\.experts\.(\d+)\./.exec(cut)?.[1] ?? "0";
  for (const [pattern, { needs }] of Object.entries<HookSpec>(HOOKS)) {
    if (needs === undefined) continue;
    const layers = Array.from({ length: config.nLayers }, (_, l) => l).filter(
      (l) => !NEEDS[needs].isMet(config, l) && glob.test(pattern.replace("{l}", String(l)).replace("{e}", expert)),
    );
    if (layers.length === 0) continue;
    const { blocks, reason } = NEEDS[needs];
    const number = layers.length === 1 ? `block ${layers[0]}` : `blocks ${listed(layers)}`;
    const where = pattern.includes("{l}") ? `${number} of a ${config.family}` : `a ${config.family}`;
    return `hooks: ${JSON.stringify(cut)} must be asked of ${blocks}, got ${where} (${reason})`;
  }
  return noSuchHook(asked, hookNames(config));
}

/** A message for a name or glob that is none of the hooks, with the names nearest to it. */
export function noSuchHook(asked: string, names: readonly string[]): string {
  const cut = asked.slice(0, 120);
  const near = names
    .map((name) => ({ name, distance: editDistance(cut, name) }))
    .sort((a, b) => a.distance - b.distance)
    .slice(0, 3)
    .map((n) => n.name);
  return `hooks: no hook is called ${JSON.stringify(cut)}; the nearest are ${listed(near)}`;
}

/**
 * Expands names and globs (`*` stands for any run of characters) to hook names.
 * @param asked for example `["blocks.*.mlp.hook_router_logits", "logits"]`
 * @throws RangeError for one that matches nothing, with near names
 */
export function matchHooks(asked: string | readonly string[], config: ModelConfig): Set<HookName> {
  return matchNames(asked, hookNames(config), (glob) => unknownHook(glob, config));
}

/**
 * As {@link matchHooks}, of any hooks.
 * @param unknown the message for a name or glob that matches none of them
 */
export function matchNames<Name extends string>(
  asked: string | readonly string[],
  names: readonly Name[],
  unknown: (glob: string) => string,
): Set<Name> {
  const matched = new Set<Name>();
  for (const glob of typeof asked === "string" ? [asked] : asked) {
    const pattern = globOf(glob);
    const hits = names.filter((name) => pattern.test(name));
    if (hits.length === 0) throw new RangeError(unknown(glob));
    for (const name of hits) matched.add(name);
  }
  return matched;
}
