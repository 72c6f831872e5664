import * as tf from "@tensorflow/tfjs";
import { type ModelConfig, mlpOf } from "./config.ts";
import type { Projection } from "./dense.ts";
import type { MlpWeights } from "./mlp.ts";

/** Gain and, where the norm has one, bias, [d_model]. */
export interface NormWeights {
  w: tf.Tensor1D;
  b: tf.Tensor1D | null;
}

/** The weights of one block. */
export interface BlockWeights {
  ln1: NormWeights;
  qNorm: tf.Tensor1D | null;
  kNorm: tf.Tensor1D | null;
  /** [d_model, (n_heads + 2·n_kv_heads)·d_head]: queries, keys, values, each head-major */
  wQkv: tf.Tensor2D;
  /** [(n_heads + 2·n_kv_heads)·d_head]; null: none */
  bQkv: tf.Tensor1D | null;
  /** [n_heads·d_head, d_model] */
  wO: tf.Tensor2D;
  /** [d_model]; null: none */
  bO: tf.Tensor1D | null;
  ln1Post: tf.Tensor1D | null;
  ln2: NormWeights;
  ln2Post: tf.Tensor1D | null;
  mlp: MlpWeights;
}

/** The weights of a model. A product asks for its weight when it comes to it, and inside a tidy of its own. */
export interface Weights {
  /** Embeddings of tokens: ids, int32 [rows] → [rows, d_model] */
  embed(ids: tf.Tensor1D): tf.Tensor2D;
  /** [n_ctx, d_model]; null: positions are not learned */
  positions: tf.Tensor2D | null;
  blocks: readonly BlockWeights[];
  lnFinal: NormWeights;
  /** Residual stream, [rows, d_model] → scores of every token, [rows, d_vocab] */
  unembed(x: tf.Tensor2D): tf.Tensor2D;
  /** [d_vocab, d_model] */
  embedding: tf.Tensor2D;
  /** [d_model, d_vocab]; null: the embedding, turned */
  unembedding: tf.Tensor2D | null;
}

/** How weights that are not in memory do what does not take a whole parameter. */
export type Streaming = Pick<Weights, "embed" | "unembed"> & {
  /** Told which experts of a block have tokens, before their products. */
  expectExperts(layer: number, busy: readonly number[]): void;
};

/**
 * The weights that the forward pass reads, by role.
 * @param params one tensor (or variable) for each name of `paramShapes(config)`; matrices are asked for when they are
 * used. The stacks of experts may be missing, and then experts run one by one
 * @param expert one expert's matrix out of a stack, [n_experts, …]; called when experts run one by one
 * @param streaming for weights that are not in memory
 */
export function assembleWeights(
  config: ModelConfig,
  params: Pick<ReadonlyMap<string, tf.Tensor>, "get" | "has">,
  expert: (name: string, e: number) => tf.Tensor2D,
  streaming?: Streaming,
): Weights {
  const param = <T extends tf.Tensor>(name: string): T => params.get(name) as T;
  const maybe = <T extends tf.Tensor>(name: string): T | null => (params.get(name) as T | undefined) ?? null;
  const norm = (at: string): NormWeights => ({ w: param(`${at}.w`), b: maybe(`${at}.b`) });
  const block = (l: number): BlockWeights => {
    const optional = (part: string): tf.Tensor1D | null => maybe(`blocks.${l}.${part}`);
    return {
      ln1: norm(`blocks.${l}.ln1`),
      qNorm: optional("attn.q_norm.w"),
      kNorm: optional("attn.k_norm.w"),
      get wQkv() {
        return param<tf.Tensor2D>(`blocks.${l}.attn.W_QKV`);
      },
      bQkv: optional("attn.b_QKV"),
      get wO() {
        return param<tf.Tensor2D>(`blocks.${l}.attn.W_O`);
      },
      bO: optional("attn.b_O"),
      ln1Post: optional("ln1_post.w"),
      ln2Post: optional("ln2_post.w"),
      ln2: norm(`blocks.${l}.ln2`),
      mlp: mlpWeights(l),
    };
  };
  const mlpWeights = (l: number): MlpWeights => {
    const mlp = mlpOf(config, l);
    const { activation, dFf } = mlp;
    const [gate, up, down] = ["W_gate", "W_up", "W_down"].map((part) => `blocks.${l}.mlp.${part}`) as [
      string,
      string,
      string,
    ];
    const three = <T extends tf.Tensor>(get: (name: string) => T): { gate: T; up: T; down: T } => ({
      get gate() {
        return get(gate);
      },
      get up() {
        return get(up);
      },
      get down() {
        return get(down);
      },
    });
    if (mlp.kind === "dense") {
      const projection = (name: string): Projection => ({
        get w() {
          return param<tf.Tensor2D>(name);
        },
        b: maybe(name.replace(".W_", ".b_")),
      });
      const gated = mlp.ungated === true ? null : projection(gate);
      return { kind: "dense", activation, gate: gated, up: projection(up), down: projection(down) };
    }
    return {
      kind: "moe",
      config: mlp,
      router: param(`blocks.${l}.mlp.W_router`),
      experts: {
        activation,
        dFf,
        stacked: params.has(gate) ? three<tf.Tensor3D>(param) : null,
        one: (e) => three((name) => expert(name, e)),
        expect: (busy) => streaming?.expectExperts(l, busy),
      },
    };
  };
  const weights: Weights = {
    embed: streaming?.embed ?? ((ids) => tf.gather(weights.embedding, ids)),
    get positions() {
      return maybe<tf.Tensor2D>("embed.W_pos");
    },
    blocks: Array.from({ length: config.nLayers }, (_, l) => block(l)),
    lnFinal: norm("ln_final"),
    unembed:
      streaming?.unembed ??
      ((x) => {
        const { unembedding } = weights;
        return tf.matMul(x, unembedding ?? weights.embedding, false, unembedding === null);
      }),
    get embedding() {
      return param<tf.Tensor2D>("embed.W_E");
    },
    get unembedding() {
      return maybe<tf.Tensor2D>("unembed.W_U");
    },
  };
  return weights;
}
