import * as tf from "@tensorflow/tfjs";

/** Keys and values of one layer, already rotated: [batch, n_kv_heads, k_pos, d_head]; values may be of another width. */
export interface KeyValues {
  keys: tf.Tensor4D;
  values: tf.Tensor4D;
}

/** How products of queries and keys become scores. */
export interface ScoreOptions {
  /** Factor on the products. */
  scale: number;
  /** Scores are bent to within ±this before the mask: cap · tanh(score / cap); null: they are not. */
  softcap: number | null;
  /**
   * What is added to the scores: [q_pos, k_pos] or [n_heads, q_pos, k_pos], of all queries at once; or the blocks of queries
   * that are attended to one after the other; null: nothing is masked.
   */
  mask: tf.Tensor2D | tf.Tensor3D | readonly QueryBlock[] | null;
  /** A score for each head, [n_heads], that takes part in its softmax and is then left out; absent: none. */
  sinks?: tf.Tensor1D | null;
}

/** Some queries that stand together, the keys that they may look at, which are the first ones, and their mask. */
export interface QueryBlock {
  length: number;
  reach: number;
  /**
   * Added to each head's scores, [length, reach]; or to those of a group, whose heads' queries stand below each other,
   * [group*length, reach], or [n_kv_heads, group*length, reach]; null: nothing is masked.
   */
  mask: tf.Tensor2D | tf.Tensor3D | null;
}

/** Gets and returns [batch, n_heads, q_pos, k_pos]; null: nobody looks, and the whole of it is not put together. */
export type AttentionTap = ((value: tf.Tensor4D) => tf.Tensor4D) | null;

/** What watches attention on its way. */
export interface AttentionTaps {
  scores: AttentionTap;
  pattern: AttentionTap;
}

/**
 * Queries in a block. A text of several blocks is attended to block by block, each over the keys up to its own end: of the
 * products and the softmax, the part above the diagonal falls away, three eighths of them at four blocks.
 */
const BLOCK = 128;

/** Masks of longer texts are put below each other for a group at each use: kept so, they would take more memory than all else. */
const LONG = 2048;

/**
 * The additive causal mask of `length` queries that follow `past` keys: 0 where a query may look, −Infinity elsewhere.
 * @param window how many keys a query may look at, the last ones, its own among them
 * @returns [q_pos, k_pos], or null where nothing is masked (one query)
 */
export function causalMask(length: number, past: number, window = Number.POSITIVE_INFINITY): tf.Tensor2D | null {
  const width = past + length;
  if (length === 1 && width <= window) return null;
  const mask = new Float32Array(length * width);
  for (let q = 0; q < length; q++) {
    mask.fill(-Infinity, q * width + past + q + 1, (q + 1) * width);
    mask.fill(-Infinity, q * width, q * width + Math.max(0, past + q + 1 - window));
  }
  return tf.tensor2d(mask, [length, width]);
}

/**
 * The blocks of a causal run of `length` queries that follow `past` keys, each with its mask.
 * @param group query heads that read one key-value head
 * @param window how many keys a query may look at, the last ones, its own among them
 */
export function causalBlocks(length: number, past: number, group: number, window?: number): QueryBlock[] {
  return Array.from({ length: Math.ceil(length / BLOCK) }, (_, i) => {
    const start = i * BLOCK;
    const own = Math.min(BLOCK, length - start);
    const mask = causalMask(own, past + start, window);
    const kept = mask === null || past + length > LONG ? mask : belowEachOther(mask, group);
    return { length: own, reach: past + start + own, mask: kept };
  });
}

/** One head's mask for all heads of a group. */
function belowEachOther(mask: tf.Tensor2D, group: number): tf.Tensor2D {
  return group === 1 ? mask : tf.tile(mask, [group, 1]);
}

/**
 * A block's scores or pattern, made when it is asked for, so that without a tap the blocks take their memory one after the
 * other. The queries of one group stand below each other, and no key is ever repeated: [batch, n_kv_heads, group*length, reach].
 */
interface Piece {
  block: QueryBlock;
  value: () => tf.Tensor4D;
}

/**
 * Causal scaled dot-product attention with grouped key-value heads: query head h reads key-value head
 * floor(h / (n_heads / n_kv_heads)).
 * @param q [batch, n_heads, q_pos, d_head]
 * @returns z, [batch, q_pos, n_heads, d_head], or the values' own width in its place
 * @see Vaswani et al. 2017, arXiv:1706.03762, eq. 1; Ainslie et al. 2023, arXiv:2305.13245
 */
export function attention(
  q: tf.Tensor4D,
  { keys, values }: KeyValues,
  { scale, softcap, mask, sinks = null }: ScoreOptions,
  taps: AttentionTaps,
): tf.Tensor4D {
  return tf.tidy(() => {
    const [, nHeads, length] = q.shape;
    const [, nKvHeads, reach] = keys.shape;
    const blocks = inBlocks(mask) ? mask : [{ length, reach, mask: byGroup(mask, nKvHeads) }];
    const whole = { shape: q.shape, reach };
    const scaled = q.mul<tf.Tensor4D>(scale);
    const lengths = blocks.map((block) => block.length);
    const queries = blocks.length === 1 ? [scaled] : tf.split<tf.Tensor4D>(scaled, lengths, 2);
    const scores = show(
      blocks.map((block, i) => ({ block, value: () => scoresOf(queries[i]!, keys, softcap, block) })),
      -Infinity,
      whole,
      taps.scores,
    );
    const patterns = show(
      scores.map(({ block, value }) => ({ block, value: () => softmaxOf(value(), sinks, nHeads) })),
      0,
      whole,
      taps.pattern,
    );
    const mixed = patterns.map(({ block, value }) =>
      tf.tidy(() => {
        const z = value().matMul(firstKeys(values, block.reach)) as tf.Tensor4D;
        return z.reshape<tf.Tensor4D>([-1, nHeads, block.length, z.shape[3]]);
      }),
    );
    return (mixed.length === 1 ? mixed[0]! : tf.concat(mixed, 2)).transpose([0, 2, 1, 3]);
  });
}

function inBlocks(mask: ScoreOptions["mask"]): mask is readonly QueryBlock[] {
  return Array.isArray(mask);
}

/** A mask of its own for each head, as those of a group stand below each other. */
function byGroup(mask: tf.Tensor2D | tf.Tensor3D | null, nKvHeads: number): tf.Tensor2D | tf.Tensor3D | null {
  return mask?.rank === 3 ? mask.reshape<tf.Tensor3D>([nKvHeads, -1, mask.shape[2]!]) : mask;
}

/** Products of a block's queries with the keys in its reach, bent and masked. */
function scoresOf(
  queries: tf.Tensor4D,
  keys: tf.Tensor4D,
  softcap: number | null,
  { reach, mask }: QueryBlock,
): tf.Tensor4D {
  const [batch, nHeads, length, dHead] = queries.shape;
  const nKvHeads = keys.shape[1];
  const grouped = queries.reshape([batch, nKvHeads, (nHeads / nKvHeads) * length, dHead]);
  const products = grouped.matMul(firstKeys(keys, reach), false, true) as tf.Tensor4D;
  const bent = softcap === null ? products : products.div(softcap).tanh().mul<tf.Tensor4D>(softcap);
  if (mask === null) return bent;
  const ofOneHead = mask.shape.at(-2) === length && nHeads > nKvHeads;
  return bent.add(ofOneHead ? belowEachOther(mask as tf.Tensor2D, nHeads / nKvHeads) : mask);
}

function firstKeys(all: tf.Tensor4D, reach: number): tf.Tensor4D {
  return reach === all.shape[2] ? all : all.slice([0, 0, 0, 0], [-1, -1, reach, -1]);
}

/**
 * Shows the pieces as one, [batch, n_heads, q_pos, k_pos], and returns them as they were, so that watching changes no bit. A
 * replacement goes on as one block, whole: it may let a query look anywhere.
 * @param beyond what stands where a block has no keys
 * @param whole the shape of all queries, and how many keys there are
 */
function show(
  pieces: Piece[],
  beyond: number,
  { shape: [batch, nHeads, length], reach }: { shape: readonly number[]; reach: number },
  tap: AttentionTap,
): Piece[] {
  if (tap === null) return pieces;
  const made = pieces.map(({ block, value }) => ({ block, value: tf.tidy(value) }));
  const seen = tf.tidy(() => {
    const padded = made.map(({ block, value }) =>
      padKeys(value.reshape([batch!, nHeads!, block.length, block.reach]), reach - block.reach, beyond),
    );
    return padded.length === 1 ? padded[0]! : tf.concat(padded, 2);
  });
  const left = tap(seen);
  if (left === seen) return made.map(({ block, value }) => ({ block, value: () => value }));
  const [, nGroups] = made[0]!.value.shape;
  const grouped = left.reshape<tf.Tensor4D>([batch!, nGroups, (nHeads! / nGroups) * length!, reach]);
  return [{ block: { length: length!, reach, mask: null }, value: () => grouped }];
}

function padKeys(value: tf.Tensor4D, nKeys: number, filling: number): tf.Tensor4D {
  const none: [number, number] = [0, 0];
  return nKeys === 0 ? value : value.pad([none, none, none, [0, nKeys]], filling);
}

function softmaxOf(scores: tf.Tensor4D, sinks: tf.Tensor1D | null, nHeads: number): tf.Tensor4D {
  return sinks === null ? tf.softmax(scores) : softmaxWithSinks(scores, sinks, nHeads);
}

/**
 * Softmax over the keys and one score more for each head, whose share is then left out: rows sum to less than 1.
 * @see Xiao et al. 2023, arXiv:2309.17453, section 3.3
 */
function softmaxWithSinks(scores: tf.Tensor4D, sinks: tf.Tensor1D, nHeads: number): tf.Tensor4D {
  const [batch, nGroups, rows, nKeys] = scores.shape;
  const perHead = tf.tile(sinks.reshape([1, nHeads, 1]), [batch, 1, (nGroups * rows) / nHeads]);
  const shares = tf.softmax(tf.concat([scores, perHead.reshape<tf.Tensor4D>([batch, nGroups, rows, 1])], -1));
  return shares.slice([0, 0, 0, 0], [batch, nGroups, rows, nKeys]);
}
