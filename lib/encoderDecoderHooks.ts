import type { Axis, Shape } from "./axes.ts";
import { type EncoderDecoderConfig, layersOf, STACKS, type Stack } from "./encoderDecoderConfig.ts";
import { HOOKS, type HookPattern, type HookSpec, noSuchHook } from "./hooks.ts";

const real = (shape: Shape, meaning: string): HookSpec => ({ shape, dtype: "float32", meaning });

/** What an encoder-decoder has beyond the hooks of a decoder; where each fires: after which other. */
export const CROSS_HOOKS = {
  hook_position_bias: real(
    ["n_heads", "q_pos", "k_pos"],
    "what the relative position adds to the self-attention scores of every block of the stack",
  ),
  "blocks.{l}.hook_resid_cross": real(
    ["batch", "pos", "d_model"],
    "residual stream between self-attention and cross-attention",
  ),
  "blocks.{l}.ln_cross.hook_scale": real(["batch", "pos", 1], "what the norm before cross-attention divides by"),
  "blocks.{l}.ln_cross.hook_normalized": real(
    ["batch", "pos", "d_model"],
    "that norm's output, gain included: what the queries of cross-attention are made of",
  ),
  "blocks.{l}.cross.hook_q": real(["batch", "pos", "n_heads", "d_head"], "queries of the decoder's text"),
  "blocks.{l}.cross.hook_k": real(["batch", "k_pos", "n_kv_heads", "d_head"], "keys of the encoder's text"),
  "blocks.{l}.cross.hook_v": real(["batch", "k_pos", "n_kv_heads", "d_head"], "values of the encoder's text"),
  "blocks.{l}.cross.hook_attn_scores": real(["batch", "n_heads", "q_pos", "k_pos"], "scores before the softmax"),
  "blocks.{l}.cross.hook_pattern": real(
    ["batch", "n_heads", "q_pos", "k_pos"],
    "attention probabilities from the decoder's text (q_pos) to the encoder's (k_pos)",
  ),
  "blocks.{l}.cross.hook_z": real(["batch", "pos", "n_heads", "d_head"], "pattern times values, per head"),
  "blocks.{l}.hook_cross_out": real(["batch", "pos", "d_model"], "what cross-attention adds to the residual stream"),
} as const satisfies Record<string, HookSpec>;

type CrossPattern = keyof typeof CROSS_HOOKS;
/** Without experts, RoPE and learned positions, and logits only once. */
type SharedPattern = Exclude<
  HookPattern,
  | `${string}.mlp.hook_router${string}`
  | `${string}expert${string}`
  | `${string}.hook_rot_${string}`
  | `${string}.mlp.shared.${string}`
  | `${string}.hook_latent`
  | "hook_pos_embed"
  | "logits"
>;

const ABSENT = /\.mlp\.(hook_router|hook_expert|experts|shared)|\.hook_(rot_|latent)|^hook_pos_embed$|^logits$/;

type Numbered<P extends string> = P extends `${infer A}{l}${infer B}` ? `${A}${number}${B}` : P;
type AfterBlock<P> = P extends `blocks.{l}.${infer Rest}` ? Rest : never;

/** The name of a hook of an encoder-decoder, such as `decoder.blocks.3.cross.hook_pattern`. */
export type EncoderDecoderHook =
  | `encoder.${Numbered<SharedPattern> | "hook_position_bias"}`
  | `decoder.${Numbered<SharedPattern | CrossPattern>}`
  | "logits";

/** The part of a name after `encoder.` or `decoder.` outside blocks, and after `encoder.blocks.{l}.` inside. */
export type StackHook = Numbered<Exclude<SharedPattern | CrossPattern, `blocks.${string}`>>;
export type StackBlockHook = AfterBlock<SharedPattern | CrossPattern>;

/** The patterns of one stack, in the order in which they fire, each with what is declared of it. */
function stackPatterns(stack: Stack): [pattern: string, spec: HookSpec][] {
  const [[bias, biasSpec], ...cross] = Object.entries<HookSpec>(CROSS_HOOKS) as [
    [string, HookSpec],
    ...[string, HookSpec][],
  ];
  return Object.entries<HookSpec>(HOOKS)
    .filter(([pattern]) => !ABSENT.test(pattern))
    .flatMap((entry): [string, HookSpec][] => {
      if (entry[0] === "hook_embed") return [entry, [bias, biasSpec]];
      return entry[0] === "blocks.{l}.hook_attn_out" && stack === "decoder" ? [entry, ...cross] : [entry];
    });
}

/** Every hook of an encoder-decoder: name pattern, shape, type and meaning, in the order in which they fire. */
export const ENCODER_DECODER_HOOKS: Readonly<Record<string, HookSpec>> = Object.fromEntries([
  ...STACKS.flatMap((stack) =>
    stackPatterns(stack).map(([pattern, spec]): [string, HookSpec] => [`${stack}.${pattern}`, spec]),
  ),
  ["logits", HOOKS.logits],
]);

/** Every hook name of a model, in the order in which the hooks fire. */
export function encoderDecoderHookNames(config: EncoderDecoderConfig): EncoderDecoderHook[] {
  const ofStack = (stack: Stack): string[] => {
    const patterns = stackPatterns(stack).map(([pattern]) => pattern);
    const inBlock = patterns.filter((pattern) => pattern.startsWith("blocks."));
    const first = patterns.indexOf(inBlock[0]!);
    const blocks = Array.from({ length: layersOf(config, stack) }, (_, l) =>
      inBlock.map((pattern) => pattern.replace("{l}", String(l))),
    );
    const all = [...patterns.slice(0, first), ...blocks.flat(), ...patterns.slice(first + inBlock.length)];
    return all.map((name) => `${stack}.${name}`);
  };
  return [...STACKS.flatMap(ofStack), "logits"] as EncoderDecoderHook[];
}

/** Tokens of a run: sequences, and how long each of them is in the encoder and in the decoder. */
export interface RunSizes {
  batch: number;
  sourcePos: number;
  targetPos: number;
}

/** What a run has to know of its hooks: see `HookTable`. */
export function encoderDecoderTable(
  config: EncoderDecoderConfig,
  { batch, sourcePos, targetPos }: RunSizes,
): {
  names: () => EncoderDecoderHook[];
  unknown: (name: string) => string;
  at: (name: EncoderDecoderHook) => HookSpec & { layer: number | null; sizes: Partial<Record<Axis, number>> };
} {
  const { dModel, nHeads, dHead, dFf, dVocab } = config;
  const fixed = {
    d_model: dModel,
    n_heads: nHeads,
    n_kv_heads: nHeads,
    d_head: dHead,
    d_value: dHead,
    d_ff: dFf,
    d_vocab: dVocab,
  };
  const names = (): EncoderDecoderHook[] => encoderDecoderHookNames(config);
  return {
    names,
    unknown: (name) => noSuchHook(name, names()),
    at: (name) => {
      const block = /^(?:en|de)coder\.blocks\.(\d+)\./.exec(name);
      const pos = name.startsWith("encoder.") ? sourcePos : targetPos;
      const keys = name.includes(".cross.") ? sourcePos : pos;
      return {
        ...ENCODER_DECODER_HOOKS[name.replace(/\.blocks\.\d+\./, ".blocks.{l}.")]!,
        layer: block === null ? null : Number(block[1]),
        sizes: { ...fixed, batch, pos, q_pos: pos, k_pos: keys },
      };
    },
  };
}
