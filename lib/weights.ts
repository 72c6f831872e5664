import type * as tf from "@tensorflow/tfjs";
import { type ModelConfig, mlpOf } from "./config.ts";
import type { MlpWeights } from "./mlp.ts";

/** The weights of one block. */
export interface BlockWeights {
  ln1: tf.Tensor1D;
  qNorm: tf.Tensor1D | null;
  kNorm: tf.Tensor1D | null;
  /** [d_model, (n_heads + 2·n_kv_heads)·d_head]: queries, keys, values, each head-major */
  wQkv: tf.Tensor2D;
  /** [n_heads·d_head, d_model] */
  wO: tf.Tensor2D;
  ln1Post: tf.Tensor1D | null;
  ln2: tf.Tensor1D;
  ln2Post: tf.Tensor1D | null;
  mlp: MlpWeights;
}

/** The weights of a model. */
export interface Weights {
  /** [d_vocab, d_model] */
  embed: tf.Tensor2D;
  blocks: readonly BlockWeights[];
  lnFinal: tf.Tensor1D;
  /** [d_model, d_vocab]; null: the embedding, turned */
  unembed: tf.Tensor2D | null;
}

/**
 * The weights that the forward pass reads, by role.
 * @param params one tensor (or variable) for each name of `paramShapes(config)`; the stacks of experts may be missing,
 * and then experts run one by one
 * @param expert one expert's matrix out of a stack, [n_experts, …]; called when experts run one by one
 */
export function assembleWeights(
  config: ModelConfig,
  params: ReadonlyMap<string, tf.Tensor>,
  expert: (name: string, e: number) => tf.Tensor2D,
): Weights {
  const param = <T extends tf.Tensor>(name: string): T => params.get(name) as T;
  const block = (l: number): BlockWeights => {
    const optional = (part: string): tf.Tensor1D | null =>
      (params.get(`blocks.${l}.${part}`) as tf.Tensor1D | undefined) ?? null;
    return {
      ln1: param(`blocks.${l}.ln1.w`),
      qNorm: optional("attn.q_norm.w"),
      kNorm: optional("attn.k_norm.w"),
      wQkv: param(`blocks.${l}.attn.W_QKV`),
      wO: param(`blocks.${l}.attn.W_O`),
      ln1Post: optional("ln1_post.w"),
      ln2Post: optional("ln2_post.w"),
      ln2: param(`blocks.${l}.ln2.w`),
      mlp: mlpWeights(l),
    };
  };
  const mlpWeights = (l: number): MlpWeights => {
    const mlp = mlpOf(config, l);
    const { activation } = mlp;
    const [gate, up, down] = ["W_gate", "W_up", "W_down"].map((part) => `blocks.${l}.mlp.${part}`) as [
      string,
      string,
      string,
    ];
    if (mlp.kind === "dense") return { kind: "dense", activation, gate: param(gate), up: param(up), down: param(down) };
    return {
      kind: "moe",
      config: mlp,
      router: param(`blocks.${l}.mlp.W_router`),
      experts: {
        activation,
        stacked: params.has(gate) ? { gate: param(gate), up: param(up), down: param(down) } : null,
        one: (e) => ({ gate: expert(gate, e), up: expert(up, e), down: expert(down, e) }),
      },
    };
  };
  return {
    embed: param("embed.W_E"),
    blocks: Array.from({ length: config.nLayers }, (_, l) => block(l)),
    lnFinal: param("ln_final.w"),
    unembed: (params.get("unembed.W_U") as tf.Tensor2D | undefined) ?? null,
  };
}
