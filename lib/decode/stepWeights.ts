import * as tf from "@tensorflow/tfjs";
import { type DenseConfig, type ModelConfig, type MoeConfig, mlpOf } from "../config.ts";
import type { Matrix, Products } from "./products.ts";

/** A gated linear unit: gate and up below each other, [2·d_ff, d_model], and down, [d_model, d_ff]. */
interface StepUnit {
  gateUp: Matrix;
  down: Matrix;
}

export interface StepDense extends StepUnit {
  kind: "dense";
  config: DenseConfig;
}

export interface StepMoe {
  kind: "moe";
  config: MoeConfig;
  /** [n_experts, d_model] */
  router: Matrix;
  experts: StepUnit[];
}

/** The weights of one block, each matrix as the outputs' rows. */
export interface StepBlock {
  ln1: Float32Array;
  qNorm: Float32Array | null;
  kNorm: Float32Array | null;
  /** [(n_heads + 2·n_kv_heads)·d_head, d_model] */
  wQkv: Matrix;
  /** [d_model, n_heads·d_head] */
  wO: Matrix;
  ln1Post: Float32Array | null;
  ln2: Float32Array;
  mlp: StepMoe | StepDense;
  ln2Post: Float32Array | null;
}

/** The weights of a model, copied to where a step reads them. */
export interface StepWeights {
  /** [d_vocab, d_model] */
  embed: Matrix;
  blocks: StepBlock[];
  lnFinal: Float32Array;
  /** [d_vocab, d_model] */
  unembed: Matrix;
}

/**
 * Copies a model's parameters into the products' memory.
 * @param params one tensor for each name of `paramShapes(config)`
 */
export function stepWeights(
  config: ModelConfig,
  params: ReadonlyMap<string, tf.Tensor>,
  products: Products,
): StepWeights {
  const values = (name: string): Float32Array => params.get(name)!.dataSync<"float32">();
  const vector = (name: string): Float32Array | null => (params.has(name) ? values(name).slice() : null);
  const turned = (name: string): Matrix => {
    const param = params.get(name) as tf.Tensor2D;
    const matrix = products.matrix(param.shape[1], param.shape[0]);
    writeTurned(param, matrix, 0);
    return matrix;
  };
  const block = (l: number): StepBlock => {
    const at = `blocks.${l}`;
    return {
      ln1: vector(`${at}.ln1.w`)!,
      qNorm: vector(`${at}.attn.q_norm.w`),
      kNorm: vector(`${at}.attn.k_norm.w`),
      wQkv: turned(`${at}.attn.W_QKV`),
      wO: turned(`${at}.attn.W_O`),
      ln1Post: vector(`${at}.ln1_post.w`),
      ln2: vector(`${at}.ln2.w`)!,
      mlp: mlp(`${at}.mlp`, l),
      ln2Post: vector(`${at}.ln2_post.w`),
    };
  };
  const unit = (dFf: number): StepUnit => ({
    gateUp: products.matrix(2 * dFf, config.dModel),
    down: products.matrix(config.dModel, dFf),
  });
  const mlp = (at: string, l: number): StepBlock["mlp"] => {
    const own = mlpOf(config, l);
    if (own.kind === "moe")
      return { kind: "moe", config: own, router: turned(`${at}.W_router`), experts: experts(at, own) };
    const { gateUp, down } = unit(own.dFf);
    const copy = (part: string, to: Matrix, firstRow: number): void =>
      writeTurned(params.get(`${at}.${part}`) as tf.Tensor2D, to, firstRow);
    copy("W_gate", gateUp, 0);
    copy("W_up", gateUp, own.dFf);
    copy("W_down", down, 0);
    return { kind: "dense", config: own, gateUp, down };
  };
  const experts = (at: string, { nExperts, dFf }: MoeConfig): StepUnit[] => {
    const all = Array.from({ length: nExperts }, () => unit(dFf));
    // One expert at a time: a stack of all, read at once, would be a new array of its size.
    const copy = (part: string, matrixOf: (e: number) => Matrix, firstRow: number): void => {
      const stack = tf.unstack(params.get(`${at}.${part}`)!);
      for (const [e, one] of stack.entries())
        writeRows(one.dataSync<"float32">(), one.shape[1]!, matrixOf(e), firstRow);
      tf.dispose(stack);
    };
    copy("W_gate", (e) => all[e]!.gateUp, 0);
    copy("W_up", (e) => all[e]!.gateUp, dFf);
    copy("W_down", (e) => all[e]!.down, 0);
    return all;
  };
  const embed = products.matrix(config.dVocab, config.dModel);
  writeRows(values("embed.W_E"), config.dModel, embed, 0);
  return {
    embed,
    blocks: Array.from({ length: config.nLayers }, (_, l) => block(l)),
    lnFinal: vector("ln_final.w")!,
    unembed: config.tiedEmbeddings === true ? embed : turned("unembed.W_U"),
  };
}

/** Writes rows of outputs, each of so many inputs, from a row on. */
function writeRows(from: Float32Array, inputs: number, to: Matrix, firstRow: number): void {
  const width = to.values.length / to.rows;
  for (let row = 0; row < from.length / inputs; row++)
    to.values.set(from.subarray(row * inputs, (row + 1) * inputs), (firstRow + row) * width);
}

/** Writes a matrix [inputs, outputs] as rows of outputs, from a row on; in tiles, which the cache holds. */
function writeTurned(param: tf.Tensor2D, to: Matrix, firstRow: number): void {
  const [inputs, outputs] = param.shape;
  const from = param.dataSync<"float32">();
  const width = to.values.length / to.rows;
  const rows = to.values.subarray(firstRow * width);
  for (let i0 = 0; i0 < inputs; i0 += 64)
    for (let o0 = 0; o0 < outputs; o0 += 16) {
      const iEnd = Math.min(inputs, i0 + 64);
      const oEnd = Math.min(outputs, o0 + 16);
      for (let o = o0; o < oEnd; o++) for (let i = i0; i < iEnd; i++) rows[o * width + i] = from[i * outputs + o]!;
    }
}
