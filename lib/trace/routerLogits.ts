import { CheckpointError, ConfigError, listed, shown } from "../errors.ts";
import { type Imported, type ImportOptions, needed } from "./imported.ts";
import type { NdArray } from "./ndarray.ts";
import { numberedLayers } from "./routing.ts";

/** A layer's array is named by its number: "router_logits.3", "layer_3", or "arr_3" as numpy numbers them. */
const LAYER_NAME = /^(?:router_logits|layer|arr)[._]?(\d+)$/;

/** Ids are kept in 16 bits. */
const MAX_EXPERTS = 1 << 16;

/** @returns whether some of these arrays are router logits */
export function isRouterLogits(names: Iterable<string>): boolean {
  return [...names].some((name) => name === "router_logits" || LAYER_NAME.test(name));
}

/**
 * Reads `router_logits` of Hugging Face transformers, saved with safetensors or numpy: an array [n_tokens, n_experts] for
 * each layer, named by its number, or all in one `router_logits`, [n_layers, n_tokens, n_experts]. Beside them there may be
 * `input_ids` and `attention_mask`, [n_sequences, n_positions]; without the former all tokens are one sequence.
 *
 * Values of which every row sums to 1 are probabilities already, as some releases have them; of others the softmax is
 * taken. The top_k largest are the chosen experts, which holds for routers that add nothing before they choose.
 * @throws CheckpointError for arrays that do not fit together; ConfigError where topK is missing
 */
export function importRouterLogits(
  where: string,
  arrays: ReadonlyMap<string, NdArray>,
  options: ImportOptions = {},
): Imported {
  const { layers, nTokens, nExperts } = layersOf(where, arrays, options);
  const topK = needed(where, "topK", options.topK);
  if (nExperts > MAX_EXPERTS || topK > nExperts)
    throw new ConfigError(`${where}: experts must be from topK (${topK}) to ${MAX_EXPERTS}, got ${nExperts}`);
  const isProbs = layers.every(({ values }) => rowsSumTo1(values, nExperts));
  const { kept, tokenIds, sequenceOffsets } = tokensOf(where, arrays, nTokens);

  const rows = kept.length * layers.length;
  const expertIndices = new Uint16Array(rows * topK);
  const routerProbs = new Float32Array(rows * nExperts);
  for (const [l, { values }] of layers.entries())
    for (const [i, token] of kept.entries()) {
      const row = i * layers.length + l;
      const recorded = values.subarray(token * nExperts, (token + 1) * nExperts);
      routerProbs.set(isProbs ? recorded : softmax(recorded), row * nExperts);
      expertIndices.set(largest(recorded, topK), row * topK);
    }
  const masked = nTokens - kept.length;
  return {
    kind: "trace",
    findings: [
      ...(isProbs ? ["values are probabilities, not logits: taken as they are"] : []),
      ...(masked > 0 ? [`${masked} tokens are masked: left out`] : []),
      ...(tokenIds === null ? ["token ids were not recorded: all tokens are one sequence"] : []),
      "chosen experts are those of the largest values, which a router with a bias or groups may not have chosen",
    ],
    trace: {
      source: { engine: "transformers", model: options.model ?? "unknown", encoding: "router logits" },
      nExperts,
      topK,
      layers: layers.map(({ layer }) => layer),
      tokenIds: tokenIds ?? new Int32Array(kept.length).fill(-1),
      pieces: null,
      sequenceOffsets,
      expertIndices,
      expertWeights: null,
      routerProbs,
      rankOrdered: true,
    },
  };
}

interface Layers {
  layers: { layer: number; values: Float32Array }[];
  nTokens: number;
  nExperts: number;
}

function layersOf(where: string, arrays: ReadonlyMap<string, NdArray>, options: ImportOptions): Layers {
  const found: { layer: number; array: NdArray; name: string }[] = [];
  for (const [name, array] of arrays) {
    const layer = LAYER_NAME.exec(name)?.[1];
    if (layer !== undefined) found.push({ layer: Number(layer), array, name });
    else if (name === "router_logits") found.push(...stacked(where, name, array));
  }
  found.sort((a, b) => a.layer - b.layer);
  const [first] = found;
  if (first === undefined) throw new CheckpointError(`${where}: must hold router logits of some layer, got none`);
  const [nTokens, nExperts] = first.array.shape as [number, number];
  const numbers =
    options.layers === undefined ? found.map(({ layer }) => layer) : numberedLayers(where, found.length, options);
  const layers = found.map(({ array: { shape, values }, name, layer }, i) => {
    const at = `${where}: ${shown(name)}`;
    if (i > 0 && layer === found[i - 1]!.layer)
      throw new CheckpointError(`${at}: layer ${layer} must be there once, got it twice`);
    if (!(values instanceof Float32Array))
      throw new CheckpointError(`${at}: must be real numbers, got ${values.constructor.name}`);
    if (shape.length !== 2 || shape[0] !== nTokens || shape[1] !== nExperts || values.length === 0)
      throw new CheckpointError(
        `${at}: must be [n_tokens, n_experts], the same in all layers, got [${listed([...shape])}]`,
      );
    const wrong = values.find((value) => !Number.isFinite(value));
    if (wrong !== undefined) throw new CheckpointError(`${at}: values must be finite, got ${wrong}`);
    return { layer: numbers[i]!, values };
  });
  return { layers, nTokens, nExperts };
}

function stacked(where: string, name: string, { shape, values }: NdArray) {
  if (shape.length !== 3)
    throw new CheckpointError(
      `${where}: router_logits must be [n_layers, n_tokens, n_experts], got [${listed([...shape])}]`,
    );
  const [nLayers, nTokens, nExperts] = shape as [number, number, number];
  const size = nTokens * nExperts;
  return Array.from({ length: nLayers }, (_, layer) => ({
    layer,
    name,
    array: { shape: [nTokens, nExperts], values: values.subarray(layer * size, (layer + 1) * size) },
  }));
}

/** Probabilities in 16 bits are off by less. */
const SUM_TOLERANCE = 0.01;

function rowsSumTo1(values: Float32Array, nExperts: number): boolean {
  if (values.some((value) => value < 0 || value > 1)) return false;
  for (let start = 0; start < values.length; start += nExperts) {
    const sum = values.subarray(start, start + nExperts).reduce((total, value) => total + value, 0);
    if (Math.abs(sum - 1) > SUM_TOLERANCE) return false;
  }
  return true;
}

interface KeptTokens {
  /** Rows that are tokens, not padding. */
  kept: number[];
  tokenIds: Int32Array | null;
  sequenceOffsets: Int32Array;
}

function tokensOf(where: string, arrays: ReadonlyMap<string, NdArray>, nTokens: number): KeptTokens {
  const [ids, mask] = [arrays.get("input_ids"), arrays.get("attention_mask")];
  for (const [name, array] of [["input_ids", ids] as const, ["attention_mask", mask] as const])
    if (array !== undefined && (!(array.values instanceof Int32Array) || array.values.length !== nTokens))
      throw new CheckpointError(
        `${where}: ${name} must be whole numbers for ${nTokens} tokens, got [${listed([...array.shape])}]`,
      );
  const shape = (ids ?? mask)?.shape ?? [nTokens];
  const width = shape.length < 2 ? nTokens : shape.at(-1)!;
  const kept: number[] = [];
  const offsets = [0];
  for (let start = 0; start < nTokens; start += width) {
    for (let token = start; token < start + width; token++) if (mask?.values[token] !== 0) kept.push(token);
    if (offsets.at(-1) !== kept.length) offsets.push(kept.length);
  }
  if (kept.length === 0) throw new CheckpointError(`${where}: attention_mask must leave some token, got none`);
  const tokenIds = ids === undefined ? null : Int32Array.from(kept, (token) => ids.values[token]!);
  const wrong = tokenIds?.find((id) => id < 0);
  if (wrong !== undefined) throw new CheckpointError(`${where}: input_ids must be token ids, got ${wrong}`);
  return { kept, tokenIds, sequenceOffsets: Int32Array.from(offsets) };
}

function softmax(logits: Float32Array): Float32Array {
  const most = logits.reduce((a, b) => Math.max(a, b));
  const exponentials = logits.map((value) => Math.exp(value - most));
  const sum = exponentials.reduce((a, b) => a + b, 0);
  return exponentials.map((value) => value / sum);
}

/** The indices of the k largest values, the largest first; of equal ones the lower index. */
function largest(values: Float32Array, k: number): number[] {
  return Array.from(values, (_, e) => e)
    .sort((a, b) => values[b]! - values[a]! || a - b)
    .slice(0, k);
}
