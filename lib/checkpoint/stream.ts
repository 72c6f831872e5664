import * as tf from "@tensorflow/tfjs";
import type { ModelConfig } from "../config.ts";
import { CheckpointError, ConfigError } from "../errors.ts";
import type { WeightRecipe } from "../families/family.ts";
import { paramShapes } from "../params.ts";
import { assembleWeights, type Weights } from "../weights.ts";
import type { Checkpoint, Span } from "./checkpoint.ts";
import { Placing } from "./placing.ts";
import type { LoadProgress } from "./progress.ts";
import { ReadAhead } from "./readAhead.ts";
import { numbersOf, placeUnit, rangeOf, rangesOf, type Unit, vocabularyPieces } from "./units.ts";

/** Of the largest range: one in use and two on their way. */
const AHEAD = 3;

/** What a row of the embedding is called; it is never kept. */
const EMBEDDED = "a token's embedding";

const EXPERT_PARTS = ["W_gate", "W_up", "W_down"] as const;

/**
 * The weights of a model that stay on disk. What a product needs is read when it is asked for, and ahead as far as it is
 * known: after a router's choice its experts, then the next block's attention. It is in memory as long as the product.
 *
 * Of the budget, what reading and one product need comes first. The rest keeps weights, from when they are first read and
 * for good, as long as there is room: a run goes through the blocks in order, so what was used longest ago is needed
 * next, and to let go of it would read everything anew. Experts get no room that what every token needs could have.
 *
 * Products are the resident model's, so results are too, bit for bit; only the logits of a large vocabulary come in pieces
 * (see `vocabularyPieces`), and a backend may round the sums of a piece in another order.
 */
export class StreamedWeights {
  readonly weights: Weights;
  readonly #checkpoint: Checkpoint;
  readonly #recipes: ReadonlyMap<string, WeightRecipe>;
  readonly #shapes: ReadonlyMap<string, readonly number[]>;
  readonly #onProgress: LoadProgress;
  readonly #nBlocks: number;
  readonly #placing = new Placing();
  readonly #readAhead: ReadAhead;
  readonly #kept = new Map<string, tf.Tensor>();
  #room: number;
  /** Bytes of what every token needs and is not kept yet. */
  #reserved: number;

  /**
   * @param recipes of every parameter, in the order of `paramShapes`, checked against the checkpoint; the checkpoint is
   * this object's to close from here on
   * @param budget bytes of memory for weights: kept, in use and being read
   * @param onProgress told before each reading: blocks done, blocks in all, what is read
   * @throws ConfigError for a budget that is too small to compute anything; CheckpointError where the checkpoint is no
   * files on disk
   */
  constructor(
    checkpoint: Checkpoint,
    config: ModelConfig,
    recipes: ReadonlyMap<string, WeightRecipe>,
    { budget, onProgress }: { budget: number; onProgress: LoadProgress },
  ) {
    this.#checkpoint = checkpoint;
    this.#recipes = recipes;
    this.#shapes = paramShapes(config);
    this.#onProgress = onProgress;
    this.#nBlocks = config.nLayers;
    const names = [...recipes.keys()];
    const small = names.filter((name) => isSmall(name));
    const shared = names.filter((name) => !isSmall(name) && !this.#isOfExperts(name) && name !== "embed.W_E");
    const units = names.filter((name) => !isSmall(name)).flatMap((name) => this.#unitsOf(name));
    const raw = Math.max(...units.flatMap((unit) => rangesOf(checkpoint, unit)).map(({ start, end }) => end - start));
    const needed = this.#bytesOf(small) + 8 * Math.max(...units.map(numbersOf)) + AHEAD * raw;
    if (!(budget >= needed))
      throw new ConfigError(`loadModel: memoryBudget must be at least ${needed} bytes for this model, got ${budget}`);
    this.#room = budget - needed;
    this.#reserved = this.#bytesOf(shared);
    this.#readAhead = new ReadAhead(AHEAD * raw);
    this.#readAhead.expect(small.flatMap((name) => rangesOf(checkpoint, this.#whole(name))));
    for (const name of small) {
      this.#load(this.#whole(name));
      this.#keep(name, this.#shapes.get(name)!);
    }
    this.weights = assembleWeights(
      config,
      { has: (name) => recipes.has(name), get: (name) => this.#get(name) },
      (name, e) => this.#one(name, e),
      {
        embed: (ids) => this.#embed(ids),
        unembed: (x) => this.#unembed(x),
        expectExperts: (layer, busy) => this.#expectExperts(layer, busy),
      },
    );
  }

  /** Bytes that were read from files so far. */
  get bytesRead(): number {
    return this.#readAhead.bytesRead;
  }

  /** Lets go of what is kept, and closes the files. */
  async dispose(): Promise<void> {
    tf.dispose([...this.#kept.values()]);
    this.#kept.clear();
    await this.#readAhead.close();
    await this.#checkpoint.close();
  }

  #isOfExperts(name: string): boolean {
    return this.#recipes.get(name)!.join === "experts";
  }

  #whole(name: string): Unit {
    return { key: name, parts: this.#recipes.get(name)!.parts };
  }

  #expert(name: string, e: number): Unit {
    return { key: `${name}.${e}`, parts: [this.#recipes.get(name)!.parts[e]!], outputsFirst: true };
  }

  /** What of a parameter is read at a time; of the embedding only rows, unless the logits come from it too. */
  #unitsOf(name: string): Unit[] {
    if (this.#isOfExperts(name)) return this.#recipes.get(name)!.parts.map((_, e) => this.#expert(name, e));
    if (name === this.#headName()) return vocabularyPieces(name, this.#recipes.get(name)!);
    return name === "embed.W_E" ? [] : [this.#whole(name)];
  }

  #headName(): "unembed.W_U" | "embed.W_E" {
    return this.#recipes.has("unembed.W_U") ? "unembed.W_U" : "embed.W_E";
  }

  #bytesOf(names: readonly string[]): number {
    return names.reduce((sum, name) => sum + 4 * tf.util.sizeFromShape([...this.#shapes.get(name)!]), 0);
  }

  #expect(units: readonly Unit[]): void {
    const missing = units.filter(({ key }) => !this.#kept.has(key));
    this.#readAhead.expect(missing.flatMap((unit) => rangesOf(this.#checkpoint, unit)));
  }

  /** What is used after a parameter and known to be: all up to the next experts. */
  #following(name: string): Unit[] {
    const names = [...this.#recipes.keys()];
    const after = names.slice(names.indexOf(name) + 1);
    const next = after.findIndex((other) => this.#isOfExperts(other));
    return after.slice(0, next < 0 ? after.length : next).flatMap((other) => this.#unitsOf(other));
  }

  #expectExperts(layer: number, busy: readonly number[]): void {
    const names = EXPERT_PARTS.map((part) => `blocks.${layer}.mlp.${part}`);
    const experts = names.flatMap((name) => busy.map((e) => this.#expert(name, e)));
    this.#expect([...experts, ...this.#following(names.at(-1)!)]);
  }

  #embed(ids: tf.Tensor1D): tf.Tensor2D {
    const [part] = this.#recipes.get("embed.W_E")!.parts;
    const dModel = this.#shapes.get("embed.W_E")![1]!;
    const rows = [...ids.dataSync<"int32">()].map(
      (id): Unit => ({ key: EMBEDDED, parts: [{ ...part!, rows: [id, id + 1] }] }),
    );
    this.#expect([...rows, ...this.#following("embed.W_E")]);
    return tf.tidy(() => {
      const embedded = rows.map((row) => {
        this.#load(row);
        return this.#placing.copy([1, dModel]) as tf.Tensor2D;
      });
      return tf.concat(embedded);
    });
  }

  #unembed(x: tf.Tensor2D): tf.Tensor2D {
    const name = this.#headName();
    const tied = name === "embed.W_E";
    const { parts } = this.#recipes.get(name)!;
    const logits = vocabularyPieces(name, { join: "none", parts }).map((piece) =>
      tf.tidy(() => {
        const columns = numbersOf(piece) / x.shape[1];
        const matrix = this.#read(piece, tied ? [columns, x.shape[1]] : [x.shape[1], columns]);
        return tf.matMul<tf.Tensor2D>(x, matrix, false, tied);
      }),
    );
    return tf.concat(logits, 1);
  }

  #get(name: string): tf.Tensor | undefined {
    if (!this.#recipes.has(name)) return undefined;
    const shape = this.#shapes.get(name)!;
    if (name === "embed.W_E" || name === "unembed.W_U")
      throw new ConfigError(
        `weights: ${name} must be in memory as a whole, got a streamed model; load it without memoryBudget`,
      );
    return this.#read(this.#whole(name), shape);
  }

  /** One expert's matrix. */
  #one(name: string, e: number): tf.Tensor2D {
    return this.#read(this.#expert(name, e), this.#shapes.get(name)!.slice(1)) as tf.Tensor2D;
  }

  /** A unit that is kept, or is from here on where there is room, or else goes with the caller's tidy. */
  #read(unit: Unit, shape: readonly number[]): tf.Tensor {
    const kept = this.#kept.get(unit.key);
    if (kept !== undefined) return kept;
    this.#load(unit);
    const bytes = 4 * tf.util.sizeFromShape([...shape]);
    const shared = !EXPERT_PARTS.some((part) => unit.key.includes(`.mlp.${part}.`));
    if (bytes > this.#room - (shared ? 0 : this.#reserved)) return this.#placing.lend(shape);
    this.#room -= bytes;
    if (shared) this.#reserved -= bytes;
    return this.#keep(unit.key, shape);
  }

  #keep(key: string, shape: readonly number[]): tf.Tensor {
    const tensor = tf.keep(this.#placing.copy(shape));
    this.#kept.set(key, tensor);
    return tensor;
  }

  #load(unit: Unit): void {
    const done = blockOf(unit.key) ?? (unit.key === EMBEDDED ? 0 : this.#nBlocks);
    this.#onProgress(done, this.#nBlocks, unit.key);
    placeUnit(this.#checkpoint, unit, this.#placing, (span) => this.#take(span));
  }

  #take(span: Span): Uint8Array {
    const bytes = this.#readAhead.take(rangeOf(span));
    if (bytes instanceof Uint8Array) return bytes;
    const found = bytes === null ? "the file's end before them" : `the system's refusal ${bytes}`;
    throw new CheckpointError(`${span.where}: bytes ${span.start} to ${span.end} must be readable, got ${found}`);
  }
}

/** Gains, biases and routers: used by every token, and nothing beside the matrices. */
function isSmall(name: string): boolean {
  return name.endsWith(".W_router") || !/\.W_\w+$/.test(name);
}

function blockOf(key: string): number | null {
  const match = /^blocks\.(\d+)\./.exec(key);
  return match === null ? null : Number(match[1]);
}
