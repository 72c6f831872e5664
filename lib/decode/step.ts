import type * as tf from "@tensorflow/tfjs";
import type { ModelConfig } from "../config.ts";
import { chooseExperts } from "./chooseExperts.ts";
import { gatedLinear } from "./gatedLinear.ts";
import { Products } from "./products.ts";
import type { Sequence } from "./sequence.ts";
import { type StepBlock, type StepDense, type StepMoe, type StepWeights, stepWeights } from "./stepWeights.ts";

/**
 * The forward pass (forward.ts) for one token after a sequence, without hooks, in plain numbers: a token is too little
 * work for tensors, each of which costs more than what it holds. Every value is one row.
 */
export class Stepper {
  readonly #config: ModelConfig;
  readonly #products: Products;
  readonly #weights: StepWeights;
  /** What a sublayer reads and what it gives, [d_model]. */
  readonly #normalized: Float32Array;
  readonly #out: Float32Array;
  /** Queries, keys and values of all heads in one vector, and the three apart. */
  readonly #qkv: Float32Array;
  readonly #q: Float32Array;
  readonly #k: Float32Array;
  readonly #v: Float32Array;
  /** [n_heads·d_head] */
  readonly #z: Float32Array;
  /** [n_experts] */
  readonly #routerLogits: Float32Array;
  /** Of each slot [2·d_ff], [d_ff], [d_model]. */
  readonly #slots: { pre: Float32Array; post: Float32Array; out: Float32Array }[];
  /** Of a dense block [2·d_ff], [d_ff]. */
  readonly #dense: { pre: Float32Array; post: Float32Array };
  /** [d_vocab] */
  readonly #logits: Float32Array;

  /** @param params one tensor for each name of `paramShapes(config)`; they are copied */
  constructor(config: ModelConfig, params: ReadonlyMap<string, tf.Tensor>) {
    const { dModel, nHeads, nKvHeads, dHead, dVocab, mlp, denseBlocks } = config;
    const { nExperts, topK } = mlp.kind === "moe" ? mlp : { nExperts: 0, topK: 0 };
    const products = new Products(Math.max(1, topK));

    this.#config = config;
    this.#products = products;
    this.#weights = stepWeights(config, params, products);
    this.#normalized = products.vector(dModel);
    this.#out = products.vector(dModel);
    this.#qkv = products.vector((nHeads + 2 * nKvHeads) * dHead);
    this.#q = this.#qkv.subarray(0, nHeads * dHead);
    this.#k = this.#qkv.subarray(nHeads * dHead, (nHeads + nKvHeads) * dHead);
    this.#v = this.#qkv.subarray((nHeads + nKvHeads) * dHead);
    this.#z = products.vector(nHeads * dHead);
    this.#routerLogits = products.vector(nExperts);
    this.#slots = Array.from({ length: topK }, () => ({
      pre: products.vector(2 * mlp.dFf),
      post: products.vector(mlp.dFf),
      out: products.vector(dModel),
    }));
    const dense = mlp.kind === "dense" ? mlp.dFf : (denseBlocks?.mlp.dFf ?? 0);
    this.#dense = { pre: products.vector(2 * dense), post: products.vector(dense) };
    this.#logits = products.vector(dVocab);
  }

  /**
   * Runs a token after a sequence, and grows the sequence by it.
   * @returns logits, [d_vocab]
   */
  step(id: number, sequence: Sequence): Float32Array {
    const { dModel, embeddingScale, logitScale } = this.#config;
    const { embed, blocks, lnFinal, unembed } = this.#weights;
    const row = id * (embed.values.length / embed.rows);
    const x = scaled(embed.values.slice(row, row + dModel), embeddingScale);
    const rotation = rotationOf(sequence.length, this.#config);
    for (const [l, block] of blocks.entries()) {
      norm(x, block.ln1, this.#config, this.#normalized);
      this.#attend(block, sequence, l, rotation);
      this.#add(x, block.ln1Post);
      norm(x, block.ln2, this.#config, this.#normalized);
      if (block.mlp.kind === "moe") this.#mix(block.mlp);
      else this.#runDense(block.mlp);
      this.#add(x, block.ln2Post);
    }
    sequence.advance(1);
    norm(x, lnFinal, this.#config, this.#normalized);
    this.#products.multiply({ matrix: unembed, x: this.#normalized, out: this.#logits });
    return scaled(this.#logits.slice(), logitScale);
  }

  /** Ends what multiplies; the weights go when nothing refers to this any more. */
  dispose(): void {
    this.#products.dispose();
  }

  /** Attention of one block, from `#normalized` to `#out`. */
  #attend({ wQkv, qNorm, kNorm, wO }: StepBlock, sequence: Sequence, layer: number, rotation: Rotation): void {
    const { qkNorm, dHead, normEps, clipQkv } = this.#config;
    this.#products.multiply({ matrix: wQkv, x: this.#normalized, out: this.#qkv });
    for (const [heads, gain] of [[this.#q, qNorm] as const, [this.#k, kNorm] as const]) {
      if (gain === null) continue;
      const width = qkNorm === "head" ? dHead : heads.length;
      for (let h = 0; h < heads.length; h += width) rmsNorm(heads.subarray(h, h + width), gain, normEps);
    }
    if (clipQkv !== null)
      for (let i = 0; i < this.#qkv.length; i++) this.#qkv[i] = Math.min(Math.max(this.#qkv[i]!, -clipQkv), clipQkv);
    rotate(this.#q, rotation);
    rotate(this.#k, rotation);
    sequence.append(layer, this.#k, this.#v);
    sequence.attend(layer, this.#q, this.#z);
    this.#products.multiply({ matrix: wO, x: this.#z, out: this.#out });
  }

  /** The MoE layer of one block, from `#normalized` to `#out`. */
  #mix({ config, router, experts }: StepMoe): void {
    const [products, x] = [this.#products, this.#normalized];
    products.multiply({ matrix: router, x, out: this.#routerLogits });
    const { experts: chosen, weights } = chooseExperts(this.#routerLogits, config);
    const slots = chosen.map((e, slot) => ({ ...experts[e]!, ...this.#slots[slot]! }));
    products.multiply(...slots.map(({ gateUp, pre }) => ({ matrix: gateUp, x, out: pre })));
    for (const { pre, post } of slots) gatedLinear(pre, config.activation, post);
    products.multiply(...slots.map(({ down, post, out }) => ({ matrix: down, x: post, out })));
    this.#out.fill(0);
    for (const [slot, { out }] of slots.entries()) addTo(this.#out, out, weights[slot]!);
  }

  /** The dense MLP of one block, from `#normalized` to `#out`. */
  #runDense({ config, gateUp, down }: StepDense): void {
    const { pre, post } = this.#dense;
    this.#products.multiply({ matrix: gateUp, x: this.#normalized, out: pre });
    gatedLinear(pre, config.activation, post);
    this.#products.multiply({ matrix: down, x: post, out: this.#out });
  }

  /** Adds a sublayer's output to the residual stream, normalised and scaled where the model does so. */
  #add(x: Float32Array, postNorm: Float32Array | null): void {
    if (postNorm !== null) norm(this.#out, postNorm, this.#config, this.#out);
    addTo(x, this.#out, this.#config.residualScale ?? 1);
  }
}

/** sum += factor · x */
function addTo(sum: Float32Array, x: Float32Array, factor: number): void {
  for (let i = 0; i < sum.length; i++) sum[i]! += factor * x[i]!;
}

function scaled(x: Float32Array, factor: number | undefined): Float32Array {
  if (factor !== undefined) for (let i = 0; i < x.length; i++) x[i]! *= factor;
  return x;
}

/** ops/layerNorm.ts or ops/rmsNorm.ts of one row. */
function norm(x: Float32Array, gain: Float32Array, { norm: kind, normEps }: ModelConfig, out: Float32Array): void {
  let sum = 0;
  if (kind === "layerNorm") for (let i = 0; i < x.length; i++) sum += x[i]!;
  const mean = sum / x.length;
  for (let i = 0; i < x.length; i++) out[i] = x[i]! - mean;
  rmsNorm(out, gain, normEps);
}

/** Normalises a row where it stands. */
function rmsNorm(x: Float32Array, gain: Float32Array, eps: number): void {
  let squares = 0;
  for (let i = 0; i < x.length; i++) squares += x[i]! * x[i]!;
  const factor = 1 / Math.sqrt(squares / x.length + eps);
  for (let i = 0; i < x.length; i++) x[i]! *= factor * gain[i]!;
}

/** Cosines and sines of one position, each [d_head / 2]. */
interface Rotation {
  cos: Float32Array;
  sin: Float32Array;
}

/** The angles of `ropeTables` in ops/rope.ts, rounded as there. */
function rotationOf(position: number, { dHead, ropeBase }: ModelConfig): Rotation {
  const angles = Float32Array.from({ length: dHead / 2 }, (_, j) => {
    const frequency = Math.fround(1 / Math.fround(ropeBase! ** ((2 * j) / dHead))); // canStep asks for a base
    return position * frequency;
  });
  return { cos: angles.map(Math.cos), sin: angles.map(Math.sin) };
}

/** Rotates heads where they stand, each in pairs (x_j, x_{j + d_head/2}). */
function rotate(heads: Float32Array, { cos, sin }: Rotation): void {
  const half = cos.length;
  for (let h = 0; h < heads.length; h += 2 * half)
    for (let j = 0; j < half; j++) {
      const [first, second] = [heads[h + j]!, heads[h + j + half]!];
      heads[h + j] = first * cos[j]! - second * sin[j]!;
      heads[h + j + half] = second * cos[j]! + first * sin[j]!;
    }
}
