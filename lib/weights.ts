import * as tf from "@tensorflow/tfjs";
import { type ModelConfig, type MoeConfig, mlpOf } from "./config.ts";
import type { DenseWeights, Projection } from "./dense.ts";
import type { MlpWeights } from "./mlp.ts";

/** Gain and, where the norm has one, bias, [d_model]. */
export interface NormWeights {
  w: tf.Tensor1D;
  b: tf.Tensor1D | null;
}

/** One projection to queries, keys and values. */
export interface QkvWeights {
  kind: "plain";
  /** [d_model, (n_heads + 2·n_kv_heads)·d_head]: queries, keys, values, each head-major */
  w: tf.Tensor2D;
  /** [(n_heads + 2·n_kv_heads)·d_head]; null: none */
  b: tf.Tensor1D | null;
  qNorm: tf.Tensor1D | null;
  kNorm: tf.Tensor1D | null;
}

/** Queries, keys and values by way of narrow vectors. */
export interface LatentWeights {
  kind: "latent";
  /** Null: queries are made of what attention reads. */
  qDown: { w: tf.Tensor2D; norm: tf.Tensor1D } | null;
  /** [d_model or the queries' narrow width, n_heads·d_head] */
  qUp: tf.Tensor2D;
  /** [d_model, d_latent + rotated dimensions] */
  kvDown: tf.Tensor2D;
  kvNorm: tf.Tensor1D;
  /** [d_latent, n_heads·(unrotated dimensions + d_value)] */
  kvUp: tf.Tensor2D;
}

/** The weights of one block. */
export interface BlockWeights {
  ln1: NormWeights;
  /** What queries, keys and values are made with. */
  qkv: QkvWeights | LatentWeights;
  /** A score of each head beside its keys', [n_heads]; null: none */
  sinks: tf.Tensor1D | null;
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
      qkv: config.latent === undefined ? plainQkv(`blocks.${l}.attn`) : latentQkv(`blocks.${l}.attn`),
      sinks: optional("attn.sinks"),
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
  const plainQkv = (at: string): QkvWeights => ({
    kind: "plain",
    get w() {
      return param<tf.Tensor2D>(`${at}.W_QKV`);
    },
    b: maybe(`${at}.b_QKV`),
    qNorm: maybe(`${at}.q_norm.w`),
    kNorm: maybe(`${at}.k_norm.w`),
  });
  const latentQkv = (at: string): LatentWeights => {
    const direct = config.latent?.qRank === null;
    const qDown = {
      get w() {
        return param<tf.Tensor2D>(`${at}.W_Q_down`);
      },
      norm: param<tf.Tensor1D>(`${at}.q_latent_norm.w`),
    };
    return {
      kind: "latent",
      qDown: direct ? null : qDown,
      get qUp() {
        return param<tf.Tensor2D>(direct ? `${at}.W_Q` : `${at}.W_Q_up`);
      },
      get kvDown() {
        return param<tf.Tensor2D>(`${at}.W_KV_down`);
      },
      kvNorm: param(`${at}.kv_latent_norm.w`),
      get kvUp() {
        return param<tf.Tensor2D>(`${at}.W_KV_up`);
      },
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
    const projection = (name: string): Projection => ({
      get w() {
        return param<tf.Tensor2D>(name);
      },
      b: maybe(name.replace(".W_", ".b_")),
    });
    const bias = (name: string): tf.Tensor2D => param(name.replace(".W_", ".b_"));
    const sharedWeights = ({ dShared }: MoeConfig, at: string): DenseWeights | null => {
      if (dShared === undefined) return null;
      const [gated, linear, back] = ["W_gate", "W_up", "W_down"].map((part) => projection(`${at}.${part}`));
      return { kind: "dense", activation, gate: gated!, up: linear!, down: back! };
    };
    if (mlp.kind === "dense") {
      const gated = mlp.ungated === true ? null : projection(gate);
      return { kind: "dense", activation, gate: gated, up: projection(up), down: projection(down) };
    }
    return {
      kind: "moe",
      config: mlp,
      router: param(`blocks.${l}.mlp.W_router`),
      routerBias: maybe(`blocks.${l}.mlp.b_router`),
      choiceBias: maybe(`blocks.${l}.mlp.b_choice`),
      shared: sharedWeights(mlp, `blocks.${l}.mlp.shared`),
      experts: {
        activation,
        dFf,
        gluLimit: mlp.gluLimit,
        biases: mlp.bias === true ? { gate: bias(gate), up: bias(up), down: bias(down) } : undefined,
        stacked: streaming === undefined && params.has(gate) ? three<tf.Tensor3D>(param) : null,
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
