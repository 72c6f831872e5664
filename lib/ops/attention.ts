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
  /** [q_pos, k_pos] or [n_heads, q_pos, k_pos], added to the scores; null: nothing is masked. */
  mask: tf.Tensor2D | tf.Tensor3D | null;
  /** The mask hides all keys after a query, the queries being the last tokens: those products need not be made. */
  causal?: boolean;
  /** A score for each head, [n_heads], that takes part in its softmax and is then left out; absent: none. */
  sinks?: tf.Tensor1D | null;
}

/** Gets and returns [batch, n_heads, q_pos, k_pos]; null: nobody looks, and the whole of it is not put together. */
export type AttentionTap = ((value: tf.Tensor4D) => tf.Tensor4D) | null;

/** What watches attention on its way. */
export interface AttentionTaps {
  scores: AttentionTap;
  pattern: AttentionTap;
}

/** Some queries that stand together, and the keys that they may look at: the first ones. */
interface QueryBlock {
  start: number;
  length: number;
  reach: number;
}

/**
 * Queries in a block. A text of several blocks is attended to block by block, each over the keys up to its own end: of the
 * products and the softmax, the part above the diagonal falls away, three eighths of them at four blocks.
 */
const BLOCK = 128;

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
 * Causal scaled dot-product attention with grouped key-value heads: query head h reads key-value head
 * floor(h / (n_heads / n_kv_heads)). The queries of one group stand below each other, so no key is ever repeated.
 * @param q [batch, n_heads, q_pos, d_head]
 * @returns z, [batch, q_pos, n_heads, d_head], or the values' own width in its place
 * @see Vaswani et al. 2017, arXiv:1706.03762, eq. 1; Ainslie et al. 2023, arXiv:2305.13245
 */
export function attention(
  q: tf.Tensor4D,
  keyValues: KeyValues,
  options: ScoreOptions,
  taps: AttentionTaps,
): tf.Tensor4D {
  return tf.tidy(() => {
    const whole: QueryBlock = { start: 0, length: q.shape[2], reach: keyValues.keys.shape[2] };
    const cut = options.causal === true ? queryBlocks(whole) : [whole];
    const scaled = q.mul<tf.Tensor4D>(options.scale);
    const scores = show(
      cut.map((block) => ({ block, value: scoresOf(scaled, keyValues.keys, options, block) })),
      -Infinity,
      whole,
      taps.scores,
    );
    const { sinks = null } = options;
    const patterns = show(
      scores.map(({ block, value }) => ({
        block,
        value: sinks === null ? tf.softmax(value) : softmaxWithSinks(value, sinks),
      })),
      0,
      whole,
      taps.pattern,
    );
    const mixed = patterns.map(({ block, value }) => mix(value, keyValues.values, block));
    return (mixed.length === 1 ? mixed[0]! : tf.concat(mixed, 2)).transpose([0, 2, 1, 3]);
  });
}

/** The blocks of a causal run. */
function queryBlocks({ length, reach }: QueryBlock): QueryBlock[] {
  const nBlocks = Math.ceil(length / BLOCK);
  return Array.from({ length: nBlocks }, (_, i) => {
    const end = Math.min((i + 1) * BLOCK, length);
    return { start: i * BLOCK, length: end - i * BLOCK, reach: reach - length + end };
  });
}

/** Products of a block's queries with the keys in its reach, bent and masked: [batch, n_heads, length, reach]. */
function scoresOf(
  scaled: tf.Tensor4D,
  keys: tf.Tensor4D,
  { softcap, mask }: ScoreOptions,
  { start, length, reach }: QueryBlock,
): tf.Tensor4D {
  const [batch, nHeads, qPos, dHead] = scaled.shape;
  const nKvHeads = keys.shape[1];
  const own = length === qPos ? scaled : scaled.slice([0, 0, start, 0], [-1, -1, length, -1]);
  const queries = own.reshape([batch, nKvHeads, (nHeads / nKvHeads) * length, dHead]);
  const products = queries
    .matMul(firstKeys(keys, reach), false, true)
    .reshape<tf.Tensor4D>([batch, nHeads, length, reach]);
  const bent = softcap === null ? products : products.div(softcap).tanh().mul<tf.Tensor4D>(softcap);
  if (mask === null) return bent;
  return bent.add(length === qPos ? mask : (mask as tf.Tensor2D).slice([start, 0], [length, reach]));
}

/** What a block's queries read: their patterns times the values, [batch, n_heads, length, d_value]. */
function mix(pattern: tf.Tensor4D, values: tf.Tensor4D, { length, reach }: QueryBlock): tf.Tensor4D {
  const [batch, nHeads] = pattern.shape;
  const nKvHeads = values.shape[1];
  const grouped = pattern.reshape([batch, nKvHeads, (nHeads / nKvHeads) * length, reach]);
  return grouped.matMul(firstKeys(values, reach)).reshape([batch, nHeads, length, -1]);
}

function firstKeys(all: tf.Tensor4D, reach: number): tf.Tensor4D {
  return reach === all.shape[2] ? all : all.slice([0, 0, 0, 0], [-1, -1, reach, -1]);
}

/**
 * Shows the blocks as one, and returns them as they were, so that watching changes no bit. A replacement goes on as one block,
 * whole: it may let a query look anywhere.
 * @param beyond what stands where a block has no keys
 */
function show(
  pieces: { block: QueryBlock; value: tf.Tensor4D }[],
  beyond: number,
  whole: QueryBlock,
  tap: AttentionTap,
): { block: QueryBlock; value: tf.Tensor4D }[] {
  if (tap === null) return pieces;
  const padded = pieces.map(({ block, value }) => padKeys(value, whole.reach - block.reach, beyond));
  const seen = padded.length === 1 ? padded[0]! : tf.concat(padded, 2);
  const left = tap(seen);
  return left === seen ? pieces : [{ block: whole, value: left }];
}

function padKeys(value: tf.Tensor4D, nKeys: number, filling: number): tf.Tensor4D {
  const none: [number, number] = [0, 0];
  return nKeys === 0 ? value : value.pad([none, none, none, [0, nKeys]], filling);
}

/**
 * Softmax over the keys and one score more for each head, whose share is then left out: rows sum to less than 1.
 * @see Xiao et al. 2023, arXiv:2309.17453, section 3.3
 */
function softmaxWithSinks(scores: tf.Tensor4D, sinks: tf.Tensor1D): tf.Tensor4D {
  const [batch, nHeads, qPos, kPos] = scores.shape;
  const column = tf.tile(sinks.reshape([1, nHeads, 1, 1]), [batch, 1, qPos, 1]);
  const shares = tf.softmax(tf.concat([scores, column as tf.Tensor4D], -1));
  return shares.slice([0, 0, 0, 0], [batch, nHeads, qPos, kPos]);
}
