import type { Dtype } from "../checkpoint/dtype.ts";
import { CheckpointError, shown } from "../errors.ts";
import { type Importer, type ImportOptions, needed } from "./imported.ts";
import { base64, isObject, type JsonObject, jsonObjects, tokenList } from "./json.ts";
import { ndArray } from "./ndarray.ts";
import { checkRouting, type RawSequence } from "./routing.ts";

/** The part of a response that holds a sequence's routing, with what else the response says of the sequence. */
interface Answer {
  routing: JsonObject;
  usage: JsonObject;
  promptIds: unknown;
  outputIds: unknown;
}

/** The whole sequence in one; or prompt and output apart, as newer releases have them. */
const PARTS = ["routed_experts", "input_expert_ids", "output_expert_ids"] as const;

const objects = (value: unknown): JsonObject[] => (Array.isArray(value) ? value.filter(isObject) : []);

/** `meta_info` of /generate; of the OpenAI routes `sgl_ext` in each choice or, later, `sglext` beside the choices. */
function answersOf(response: JsonObject): Answer[] {
  const { usage, meta_info: meta, sglext } = response;
  const found: { routing: unknown; usage: unknown; promptIds?: unknown; outputIds?: unknown }[] = [
    ...objects(response["choices"]).map(({ sgl_ext }) => ({ routing: sgl_ext, usage })),
    { routing: meta, usage: meta, promptIds: response["input_ids"], outputIds: response["output_ids"] },
  ];
  if (isObject(sglext)) {
    const { input_ids: promptIds, output_ids: lists } = sglext;
    found.push({ routing: sglext, usage, promptIds, outputIds: Array.isArray(lists) ? lists[0] : undefined });
  }
  return found.flatMap(({ routing, usage: counts, promptIds, outputIds }) =>
    isObject(routing) && PARTS.some((part) => typeof routing[part] === "string")
      ? [{ routing, usage: isObject(counts) ? counts : {}, promptIds, outputIds }]
      : [],
  );
}

/** @returns whether a JSON object is a response of SGLang with routing */
export function isSglang(value: JsonObject): boolean {
  return answersOf(value).length > 0;
}

/**
 * Reads responses of SGLang with `routed_experts`, or with `input_expert_ids` and `output_expert_ids`: base64 of bare
 * numbers. Layers and experts per token come from the response's `expert_ids_schema`, else from the options. The last
 * token of a sequence was never routed.
 */
export const importSglang: Importer = async (where, bytes, options = {}) => {
  const sequences: RawSequence[] = [];
  let sizes: Sizes | null = null;
  let model = "unknown";
  let promptsOnly = 0;
  for (const [n, response] of [...jsonObjects(where, bytes)].entries()) {
    if (typeof response["model"] === "string") model = response["model"];
    const answers = answersOf(response);
    if (answers.length === 0)
      throw new CheckpointError(`${where}: response ${n} must hold ${PARTS.join(" or ")}, got none`);
    for (const [c, answer] of answers.entries()) {
      const at = `${where}: response ${n}, choice ${c}`;
      sizes ??= sizesOf(at, schemaOf(answer), options);
      sequences.push(sequenceOf(at, answer, sizes, options));
      if (answer.usage["completion_tokens"] === 0) promptsOnly++;
    }
  }
  if (sizes === null) throw new CheckpointError(`${where}: must hold a response, got none`);
  const source = { engine: "sglang", model: options.model ?? model, encoding: "base64" };
  const nExperts = needed(where, "nExperts", options.nExperts);
  const imported = checkRouting(where, { source, ...sizes, rankOrdered: false, sequences }, nExperts, options);
  if (promptsOnly > 0)
    imported.findings.push(`${promptsOnly} prompts had no answer: their last token was routed, but its row is missing`);
  return imported;
};

interface Sizes {
  nLayers: number;
  topK: number;
}

function schemaOf({ routing }: Answer): JsonObject {
  return isObject(routing["expert_ids_schema"]) ? routing["expert_ids_schema"] : {};
}

function sizesOf(at: string, schema: JsonObject, options: ImportOptions): Sizes {
  return {
    nLayers: needed(at, "nLayers", count(at, "num_layers", schema["num_layers"]) ?? options.nLayers),
    topK: needed(at, "topK", count(at, "top_k", schema["top_k"]) ?? options.topK),
  };
}

/** A whole number that may be absent. */
function count(at: string, what: string, value: unknown): number | undefined {
  if (value === undefined || value === null) return undefined;
  if (!Number.isSafeInteger(value) || (value as number) < 0)
    throw new CheckpointError(`${at}: ${what} must be a whole number from 0 on, got ${shown(value)}`);
  return value as number;
}

function sequenceOf(at: string, answer: Answer, sizes: Sizes, { promptStart = 0 }: ImportOptions): RawSequence {
  const { routing, usage, promptIds, outputIds } = answer;
  const schema = schemaOf(answer);
  const parts = PARTS.filter((part) => typeof routing[part] === "string");
  const used = parts[0] === "routed_experts" ? parts.slice(0, 1) : parts;
  const ids = Int32Array.from(used.flatMap((part) => [...decode(at, part, routing, sizes)]));
  const rows = ids.length / (sizes.nLayers * sizes.topK);

  const startName = used[0] === "output_expert_ids" ? "output_start_position" : "input_start_position";
  const start = count(at, startName, schema[startName]) ?? promptStart;
  const nPrompt = count(at, "prompt_tokens", usage["prompt_tokens"]);
  const nOutput = count(at, "completion_tokens", usage["completion_tokens"]);
  const isWhole = used[0] === "routed_experts" || used.length === 2;
  if (isWhole && nPrompt !== undefined && nOutput !== undefined && rows !== nPrompt + nOutput - 1 - start)
    throw new CheckpointError(
      `${at}: there must be ${nPrompt + nOutput - 1 - start} rows, one for each token but the last, got ${rows}`,
    );
  const positions = Int32Array.from({ length: rows }, (_, r) => start + r);
  const prompt = tokenList(`${at}: input_ids`, promptIds);
  const output = tokenList(`${at}: output_ids`, outputIds);
  const outputStart = prompt?.length ?? nPrompt;
  const knowsTokens = (prompt !== null || output !== null) && outputStart !== undefined;
  return {
    ids,
    // Of the prompt or the output alone, the tokens of the other are -1.
    tokenIds: knowsTokens
      ? positions.map((p) => (p < outputStart ? prompt?.[p] : output?.[p - outputStart]) ?? -1)
      : null,
    positions,
    phases: nPrompt === undefined ? null : positions.map((position) => (position < nPrompt ? 0 : 1)),
  };
}

/** The types by name, each with its width in bytes. */
const DTYPES: Readonly<Record<string, { dtype: Dtype; width: number }>> = {
  int32: { dtype: "I32", width: 4 },
  uint16: { dtype: "U16", width: 2 },
  uint8: { dtype: "U8", width: 1 },
};

/** The ids of one part: [n_tokens, n_layers, top_k], flat. */
function decode(at: string, part: (typeof PARTS)[number], routing: JsonObject, { nLayers, topK }: Sizes): Int32Array {
  // Only the whole comes in other types than int32, and says so.
  const name = (part === "routed_experts" ? routing["routed_experts_dtype"] : undefined) ?? "int32";
  const type = typeof name === "string" && Object.hasOwn(DTYPES, name) ? DTYPES[name] : undefined;
  if (type === undefined)
    throw new CheckpointError(
      `${at}: routed_experts_dtype must be one of ${Object.keys(DTYPES).join(", ")}, got ${shown(name)}`,
    );
  const data = base64(`${at}: ${part}`, routing[part] as string);
  const rowBytes = nLayers * topK * type.width;
  if (data.length % rowBytes !== 0)
    throw new CheckpointError(
      `${at}: ${part} must be whole tokens of ${rowBytes} bytes (${nLayers} layers, ${topK} ids of ${type.width}), got ${data.length} bytes`,
    );
  return ndArray(`${at}: ${part}`, type.dtype, [data.length / rowBytes, nLayers, topK], data).values as Int32Array;
}
