import { CheckpointError, ConfigError, listed } from "../errors.ts";
import { type Imported, type Importer, type ImportOptions, needed } from "./imported.ts";
import type { PickleValue } from "./pickle.ts";
import { checkRouting, numberedLayers, type RawSequence } from "./routing.ts";
import { readTorch, type TorchFile, TorchTensor } from "./torchFile.ts";

/** A file that is open, and what messages call it. */
interface Opened {
  where: string;
  file: TorchFile;
  options: ImportOptions;
}

type Dict = ReadonlyMap<PickleValue, PickleValue>;

/** SGLang's ForwardMode: prompts, or one token of each request. */
const [EXTEND, DECODE] = [1, 2];

/**
 * Reads a file of SGLang's expert distribution recorder (`.pt`): of the mode `stat` (or `stat_approx`) or `per_pass` the
 * counts of all passes together, of `per_token` the routing. Physical experts are made logical ones by the file's map.
 * @throws CheckpointError for a file that is damaged, or that holds anything but plain values and tensors
 */
export const importSglangRecorder: Importer = async (where, bytes, options = {}) => {
  const opened = { where, file: await readTorch(where, bytes), options };
  const { value } = opened.file;
  if (!(value instanceof Map)) throw new CheckpointError(`${where}: must hold a dict, got another value`);
  if (value.has("logical_count")) return countsOf(opened, stat(opened, value));
  const records = value.get("records");
  if (!Array.isArray(records) || !records.every((record) => record instanceof Map))
    throw new CheckpointError(`${where}: must hold logical_count or a list of records, got neither`);
  if (records.length === 0) throw new CheckpointError(`${where}: records must be at least one, got none`);
  const map = whole(opened, value, "last_physical_to_logical_map", 2);
  return (records[0] as Dict).has("topk_ids_of_layer")
    ? perToken(opened, records as Dict[], map)
    : countsOf(opened, perPass(opened, records as Dict[], map));
};

/** A tensor of whole numbers. */
interface Whole {
  shape: readonly number[];
  values: Int32Array;
}

/** A tensor of whole numbers, by its name in a dict. */
function whole({ where, file }: Opened, dict: Dict, name: string, rank: number): Whole {
  const tensor = dict.get(name);
  if (!(tensor instanceof TorchTensor) || tensor.shape.length !== rank)
    throw new CheckpointError(`${where}: ${name} must be a tensor of ${rank} axes, got another value`);
  const { shape, values } = file.array(`${where}: ${name}`, tensor);
  if (!(values instanceof Int32Array) || values.length === 0)
    throw new CheckpointError(`${where}: ${name} must be whole numbers, got [${listed([...shape])}] of others`);
  return { shape, values };
}

interface Counted {
  nLayers: number;
  nExperts: number;
  /** [n_layers, n_experts] */
  counts: Float64Array;
  passes: number;
}

function stat(opened: Opened, value: Dict): Counted {
  const { shape, values } = whole(opened, value, "logical_count", 3);
  const [, nLayers, nExperts] = shape as [number, number, number];
  const counts = new Float64Array(nLayers * nExperts);
  const used = new Set<number>(); // passes of the buffer that were not reached are zero
  for (const [i, n] of values.entries()) {
    counts[i % counts.length]! += n;
    if (n !== 0) used.add(Math.floor(i / counts.length));
  }
  return { nLayers, nExperts, counts, passes: used.size };
}

function perPass(opened: Opened, records: Dict[], map: Whole): Counted {
  const [nLayers, nPhysical] = map.shape as [number, number];
  const nExperts = expertsOf(opened, map);
  const counts = new Float64Array(nLayers * nExperts);
  for (const record of records) {
    const { shape, values } = whole(opened, record, "global_physical_count", 2);
    if (shape[0] !== nLayers || shape[1] !== nPhysical)
      throw new CheckpointError(
        `${opened.where}: global_physical_count must be [${nLayers}, ${nPhysical}] as the map, got [${listed([...shape])}]`,
      );
    for (const [i, n] of values.entries()) counts[Math.floor(i / nPhysical) * nExperts + map.values[i]!]! += n;
  }
  return { nLayers, nExperts, counts, passes: records.length };
}

/** How many logical experts a map names: each of them has a physical one. */
function expertsOf({ where, options }: Opened, map: Whole): number {
  const named = map.values.reduce((most, id) => Math.max(most, id + 1), 0);
  const nExperts = options.nExperts ?? named;
  const wrong = map.values.find((id) => id < 0 || id >= nExperts);
  if (wrong !== undefined)
    throw new CheckpointError(
      `${where}: last_physical_to_logical_map must name experts from 0 to ${nExperts - 1}, got ${wrong}`,
    );
  return nExperts;
}

function countsOf({ where, options }: Opened, { nLayers, nExperts, counts, passes }: Counted): Imported {
  const wrong = counts.find((n) => n < 0);
  if (wrong !== undefined) throw new CheckpointError(`${where}: counts must be at least 0, got ${wrong}`);
  const topK = options.topK === undefined ? null : needed(where, "topK", options.topK);
  if (topK !== null && topK > nExperts)
    throw new ConfigError(`${where}: topK must be at most the number of experts (${nExperts}), got ${topK}`);
  const numbers = numberedLayers(where, nLayers, options);
  const row = (l: number): Float64Array => counts.subarray(l * nExperts, (l + 1) * nExperts);
  const kept = numbers.flatMap((_, l) => (row(l).some((n) => n > 0) ? [l] : []));
  if (kept.length === 0) throw new CheckpointError(`${where}: some layer must have counts, got only zeros`);
  const dropped = numbers.filter((_, l) => !kept.includes(l));
  return {
    kind: "counts",
    findings: [
      `only counts of ${passes} passes were recorded (a full buffer drops the oldest), not which token went where`,
      ...(dropped.length > 0 ? [`layers ${listed(dropped)} hold no counts (dense, or not captured): left out`] : []),
      ...(topK === null ? ["experts per token are not known"] : []),
    ],
    counts: {
      source: { engine: "sglang", model: options.model ?? "unknown", encoding: "recorder .pt" },
      nExperts,
      topK,
      layers: kept.map((l) => numbers[l]!),
      counts: Float64Array.from(kept.flatMap((l) => [...row(l)])),
    },
  };
}

/** The record has eight slots whatever top_k is; those that no token uses are −1. */
function usedSlots(values: Int32Array, width: number): number {
  let used = 0;
  for (const [i, id] of values.entries()) if (id >= 0) used = Math.max(used, (i % width) + 1);
  return used;
}

function perToken(opened: Opened, records: Dict[], map: Whole): Imported {
  const { where, options } = opened;
  const [nLayers, nPhysical] = map.shape as [number, number];
  const nExperts = expertsOf(opened, map);
  const arrays = records.map((record) => whole(opened, record, "topk_ids_of_layer", 3));
  const used = arrays.reduce((most, { shape, values }) => Math.max(most, usedSlots(values, shape[2]!)), 0);
  const topK = options.topK ?? used;
  if (topK === 0) throw new CheckpointError(`${where}: routing must be recorded in some layer, got only empty slots`);
  const sequences: RawSequence[] = [];
  let padding = 0;
  for (const [r, record] of records.entries()) {
    const at = `${where}: record ${r}`;
    const { shape, values } = arrays[r]!;
    const [layers, rows, width] = shape as [number, number, number];
    if (layers !== nLayers || width < topK || usedSlots(values, width) > topK)
      throw new CheckpointError(
        `${at}: topk_ids_of_layer must be ${nLayers} layers of ${topK} experts, got [${listed([...shape])}]`,
      );
    const tokens = integers(opened, at, record, "input_ids");
    const positions = integers(opened, at, record, "positions");
    if (tokens.length !== positions.length || tokens.length > rows)
      throw new CheckpointError(
        `${at}: input_ids and positions must be as many, at most ${rows}, got ${tokens.length} and ${positions.length}`,
      );
    padding += rows - tokens.length;
    const mode = record.get("forward_mode");
    const phase = mode === EXTEND ? 0 : mode === DECODE ? 1 : null;
    const logical = (token: number): number[] =>
      Array.from({ length: nLayers * topK }, (_, i) => {
        const layer = Math.floor(i / topK);
        const id = values[(layer * rows + token) * width + (i % topK)]!;
        if (id >= nPhysical) throw new CheckpointError(`${at}: expert must be from 0 to ${nPhysical - 1}, got ${id}`);
        return id < 0 ? -1 : map.values[layer * nPhysical + id]!;
      });
    let start = 0;
    for (const length of sequenceLengths(opened, at, record, tokens.length, phase === 1)) {
      const span = Array.from({ length }, (_, t) => start + t);
      sequences.push({
        ids: Int32Array.from(span.flatMap(logical)),
        tokenIds: span.map((t) => tokens[t]!),
        positions: span.map((t) => positions[t]!),
        phases: phase === null ? null : span.map(() => phase),
      });
      start += length;
    }
  }
  const source = { engine: "sglang", model: options.model ?? "unknown", encoding: "recorder .pt" };
  const imported = checkRouting(where, { source, nLayers, topK, rankOrdered: false, sequences }, nExperts, options);
  imported.findings.push("requests were not recorded: each decoded token is a sequence of its own");
  if (padding > 0) imported.findings.push(`${padding} rows of padding: left out`);
  return imported;
}

/** How the tokens of a pass fall into sequences: prompts by their lengths, decoded tokens one by one. */
function sequenceLengths(opened: Opened, at: string, record: Dict, nTokens: number, isDecode: boolean): number[] {
  const known = record.get("extend_seq_lens") ?? null;
  if (isDecode || known === null) return Array.from({ length: nTokens }, () => 1);
  const lengths = integers(opened, at, record, "extend_seq_lens");
  const sum = lengths.reduce((total, length) => total + length, 0);
  if (sum !== nTokens) throw new CheckpointError(`${at}: extend_seq_lens must add up to ${nTokens} tokens, got ${sum}`);
  return lengths;
}

/** A list, or a tensor, of whole numbers from 0 on. */
function integers(opened: Opened, at: string, dict: Dict, name: string): number[] {
  const value = dict.get(name);
  const items = value instanceof TorchTensor ? [...whole(opened, dict, name, 1).values] : value;
  const isRight = (item: unknown): boolean =>
    Number.isInteger(item) && (item as number) >= 0 && (item as number) < 2 ** 31;
  if (!Array.isArray(items) || !items.every(isRight))
    throw new CheckpointError(`${at}: ${name} must be a list of whole numbers from 0 on, got another value`);
  return items as number[];
}
