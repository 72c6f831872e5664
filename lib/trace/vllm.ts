import type { Dtype } from "../checkpoint/dtype.ts";
import { CheckpointError, listed, shown } from "../errors.ts";
import { type Imported, type Importer, type ImportOptions, needed } from "./imported.ts";
import { base64, isObject, type JsonObject, jsonObjects, tokenList } from "./json.ts";
import { type NdArray, ndArray } from "./ndarray.ts";
import { isNpy, readNpy } from "./npy.ts";
import { checkRouting, type RawSequence } from "./routing.ts";

/** Expert ids as decoded, [n_tokens, n_layers, top_k], and the position of their first row, where it is said. */
interface Ids {
  array: NdArray;
  start: number | null;
}

/** @returns whether a JSON object is a response of vLLM with routing */
export function isVllm(value: JsonObject): boolean {
  return "prompt_routed_experts" in value || choicesOf(value).some((choice) => "routed_experts" in choice);
}

/** `choices` of the HTTP routes, `outputs` of the Python class. */
function choicesOf(response: JsonObject): JsonObject[] {
  const choices = response["choices"] ?? response["outputs"];
  return Array.isArray(choices) ? choices.filter(isObject) : [];
}

/**
 * Reads responses of vLLM with `routed_experts`, one a line or in one JSON, in any of the forms of its history: base64 of
 * a .npy file for each choice, nested lists (with `prompt_routed_experts` beside them or without), base64 of bare numbers
 * with shape and type (Dynamo, NeMo-RL). Prompt and generation are one sequence; the last token was never routed.
 */
export const importVllm: Importer = async (where, bytes, options = {}) => {
  const sequences: RawSequence[] = [];
  const encodings = new Set<string>();
  const arrays: NdArray[] = [];
  let model = "unknown";
  for (const [n, response] of [...jsonObjects(where, bytes)].entries()) {
    if (typeof response["model"] === "string") model = response["model"];
    const prompt = response["prompt_routed_experts"] ?? null;
    const promptIds = prompt === null ? null : decode(`${where}: response ${n}: prompt_routed_experts`, prompt);
    for (const [c, choice] of choicesOf(response).entries()) {
      const at = `${where}: response ${n}, choice ${c}`;
      const value = choice["routed_experts"] ?? null;
      if (value === null) throw new CheckpointError(`${at}: routed_experts must be there, got none`);
      encodings.add(typeof value === "string" ? "base64" : isObject(value) ? "base64 with shape" : "nested lists");
      const ids = decode(`${at}: routed_experts`, value);
      const tokens = {
        prompt: tokenList(`${at}: prompt_token_ids`, choice["prompt_token_ids"] ?? response["prompt_token_ids"]),
        generated: tokenList(`${at}: token_ids`, choice["token_ids"]),
      };
      arrays.push(ids.array, ...(promptIds === null ? [] : [promptIds.array]));
      sequences.push(sequenceOf(at, promptIds === null ? ids : joined(promptIds, ids), tokens, options));
    }
  }
  return traceOf(where, sequences, arrays, { model, encoding: [...encodings].sort().join(", ") }, options);
};

/** Reads one sequence from the array of the Python class saved with numpy: [n_tokens, n_layers, top_k], without tokens. */
export function importVllmArray(where: string, array: NdArray, options: ImportOptions): Imported {
  const ids = { array: checkedIds(where, array), start: null };
  const sequence = sequenceOf(where, ids, { prompt: null, generated: null }, options);
  return traceOf(where, [sequence], [array], { model: "unknown", encoding: "npy" }, options);
}

function traceOf(
  where: string,
  sequences: RawSequence[],
  arrays: NdArray[],
  { model, encoding }: { model: string; encoding: string },
  options: ImportOptions,
): Imported {
  // An empty list, such as the generation of a single token, has no sizes.
  const shapes = arrays.map(({ shape }) => shape).filter(([rows]) => rows !== 0);
  const [, nLayers, topK] = (shapes[0] ?? []) as [number, number, number];
  if (shapes.length === 0) throw new CheckpointError(`${where}: must hold routed_experts of some token, got none`);
  for (const shape of shapes)
    if (shape[1] !== nLayers || shape[2] !== topK)
      throw new CheckpointError(
        `${where}: all arrays must have ${nLayers} layers of ${topK} experts, got one of [${listed(shape)}]`,
      );
  const source = { engine: "vllm", model: options.model ?? model, encoding };
  const nExperts = needed(where, "nExperts", options.nExperts);
  return checkRouting(where, { source, nLayers, topK, rankOrdered: false, sequences }, nExperts, options);
}

function sequenceOf(
  at: string,
  { array, start: said }: Ids,
  { prompt, generated }: { prompt: number[] | null; generated: number[] | null },
  { promptStart = 0 }: ImportOptions,
): RawSequence {
  const start = said ?? promptStart;
  const rows = array.shape[0]!;
  const tokens = prompt === null || generated === null ? null : [...prompt, ...generated];
  if (tokens !== null && rows !== tokens.length - 1 - start && rows !== tokens.length - start)
    throw new CheckpointError(
      `${at}: there must be a row for each of ${tokens.length} tokens from ${start} on, but the last; got ${rows} rows`,
    );
  const positions = Int32Array.from({ length: rows }, (_, r) => start + r);
  return {
    ids: array.values as Int32Array,
    tokenIds: tokens?.slice(start, start + rows) ?? null,
    positions,
    phases: prompt === null ? null : positions.map((position) => (position < prompt.length ? 0 : 1)),
  };
}

function joined(prompt: Ids, generated: Ids): Ids {
  const [rows, ...row] = prompt.array.shape as [number, number, number];
  const values = new Int32Array(prompt.array.values.length + generated.array.values.length);
  values.set(prompt.array.values);
  values.set(generated.array.values, prompt.array.values.length);
  return { array: { shape: [rows + generated.array.shape[0]!, ...row], values }, start: prompt.start };
}

const DTYPES: Readonly<Record<string, Dtype>> = { int8: "I8", uint8: "U8", int16: "I16", uint16: "U16", int32: "I32" };

function dtypeOf(where: string, name: unknown): Dtype {
  const dtype = typeof name === "string" && Object.hasOwn(DTYPES, name) ? DTYPES[name] : undefined;
  if (dtype === undefined)
    throw new CheckpointError(`${where}: dtype must be one of ${Object.keys(DTYPES).join(", ")}, got ${shown(name)}`);
  return dtype;
}

/** Decodes `routed_experts` in whichever form it comes. */
function decode(where: string, value: unknown): Ids {
  if (Array.isArray(value)) return { array: checkedIds(where, fromLists(where, value)), start: null };
  if (isObject(value)) {
    const { data, shape, dtype, start = null } = value;
    if (typeof data !== "string") throw new CheckpointError(`${where}: data must be base64, got ${shown(data)}`);
    if (!isShape(shape)) throw new CheckpointError(`${where}: shape must be three sizes, got ${shown(shape)}`);
    if (start !== null && !isSize(start))
      throw new CheckpointError(`${where}: start must be a whole number from 0 on, got ${shown(start)}`);
    const array = ndArray(where, dtypeOf(where, dtype), shape, base64(where, data));
    return { array: checkedIds(where, array), start };
  }
  if (typeof value !== "string") throw new CheckpointError(`${where} must be text or lists, got ${shown(value)}`);
  const nemo = /^nrlre1:(\w+):(\d+)x(\d+)x(\d+):/.exec(value);
  if (nemo !== null) {
    const data = base64(where, value.slice(nemo[0].length));
    const array = ndArray(where, dtypeOf(where, nemo[1]), nemo.slice(2).map(Number), data);
    return { array: checkedIds(where, array), start: null };
  }
  const data = base64(where, value);
  if (!isNpy(data)) throw new CheckpointError(`${where} must be base64 of a .npy file, got other bytes`);
  return { array: checkedIds(where, readNpy(where, data)), start: null };
}

const isSize = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const isShape = (value: unknown): value is number[] =>
  Array.isArray(value) && value.length === 3 && value.every(isSize);

function checkedIds(where: string, array: NdArray): NdArray {
  const { shape, values } = array;
  if (!(values instanceof Int32Array) || shape.length !== 3 || (shape[0] !== 0 && values.length === 0))
    throw new CheckpointError(
      `${where} must be whole numbers by token, layer and slot, got ${values.constructor.name} of [${listed(shape)}]`,
    );
  return array;
}

/** Lists of lists of lists of whole numbers, all of the same length. */
function fromLists(where: string, tokens: unknown[]): NdArray {
  const refuse = (got: unknown): never => {
    throw new CheckpointError(`${where} must be whole numbers by token, layer and slot, got ${shown(got)}`);
  };
  const listOf = (value: unknown, length?: number): unknown[] =>
    Array.isArray(value) && value.length === (length ?? value.length) ? value : refuse(value);
  if (tokens.length === 0) return { shape: [0, 0, 0], values: new Int32Array(0) };
  const nLayers = listOf(tokens[0]).length;
  const topK = nLayers === 0 ? 0 : listOf(listOf(tokens[0])[0]).length;
  const values = new Int32Array(tokens.length * nLayers * topK);
  let i = 0;
  for (const token of tokens)
    for (const layer of listOf(token, nLayers))
      for (const id of listOf(layer, topK)) {
        if (!Number.isInteger(id) || (id as number) !== ((id as number) | 0)) refuse(id);
        values[i++] = id as number;
      }
  return { shape: [tokens.length, nLayers, topK], values };
}
