import { CheckpointError, ConfigError, shown } from "../errors.ts";
import { type GgufFile, readGguf } from "./gguf.ts";
import type { Importer, ImportOptions } from "./imported.ts";

/** The weights of a layer's experts, any of which counts them; the router's own counts tokens. */
const EXPERT_WEIGHTS = ["ffn_gate_exps", "ffn_up_exps", "ffn_gate_up_exps", "ffn_down_exps"] as const;

const countsName = (layer: number, weight: string): string => `blk.${layer}.${weight}.weight.counts`;

/** The counts are float32: beyond, adding one may change nothing. */
const MAX_EXACT = 2 ** 24;

/** @returns whether bytes are an importance matrix of llama.cpp's older form, which holds no counts of experts */
export function isLegacyImatrix(bytes: Uint8Array): boolean {
  return String.fromCharCode(...bytes.subarray(8, 12)) === "blk.";
}

/** @throws CheckpointError, always: nothing about experts can be read from it */
export const refuseLegacyImatrix: Importer = async (where) => {
  throw new CheckpointError(
    `${where}: an importance matrix must be GGUF, which counts experts; got the older .dat, which does not`,
  );
};

/**
 * Reads how often each expert was used from an importance matrix of llama.cpp (`llama-imatrix`, GGUF). Experts per token
 * are those of the options, else the experts' count over the router's, where that is the same whole number in all layers:
 * the router's count leaves out small batches.
 * @throws CheckpointError for a file without experts' counts; ConfigError for a topK that cannot be
 */
export const importImatrix: Importer = async (where, bytes, options = {}) => {
  const file = readGguf(where, bytes);
  const type = file.metadata.get("general.type");
  if (type !== "imatrix") throw new CheckpointError(`${where}: general.type must be "imatrix", got ${shown(type)}`);
  const layers = layersOf(file);
  if (layers.length === 0)
    throw new CheckpointError(`${where}: must hold counts of experts (blk.*.ffn_gate_exps and so on), got none`);
  const rows = layers.map((layer) => expertCounts(where, file, layer));
  const nExperts = rows[0]!.length;
  const other = rows.find(({ length }) => length !== nExperts);
  if (other !== undefined)
    throw new CheckpointError(`${where}: all layers must have ${nExperts} experts, got one with ${other.length}`);
  const topK = topKOf(where, file, layers, rows, options);
  const counts = new Float64Array(layers.length * nExperts);
  for (const [i, row] of rows.entries()) counts.set(row, i * nExperts);
  return {
    kind: "counts",
    findings: [
      "only counts were recorded, not which token went where",
      ...(topK === null ? ["experts per token are not known"] : []),
      ...(counts.some((count) => count >= MAX_EXACT) ? ["some counts are past 2^24, where they are not exact"] : []),
    ],
    counts: {
      source: { engine: "llama.cpp", model: options.model ?? "unknown", encoding: "imatrix GGUF" },
      nExperts,
      topK,
      layers,
      counts,
    },
  };
};

function layersOf({ names }: GgufFile): number[] {
  const layers = new Set<number>();
  for (const name of names) {
    const [, layer, weight] = /^blk\.(\d+)\.(\w+)\.weight\.counts$/.exec(name) ?? [];
    if (EXPERT_WEIGHTS.some((known) => known === weight)) layers.add(Number(layer));
  }
  return [...layers].sort((a, b) => a - b);
}

function expertCounts(where: string, file: GgufFile, layer: number): Float32Array {
  const name = EXPERT_WEIGHTS.map((weight) => countsName(layer, weight)).find((known) => file.names.includes(known))!;
  const { shape, values } = file.tensor(name)!;
  if (shape.length !== 2 || shape[1] !== 1 || shape[0] === 0)
    throw new CheckpointError(`${where}: ${shown(name)} must be [n_experts, 1], got [${shape.join(", ")}]`);
  const wrong = values.find((count) => !Number.isInteger(count) || count < 0);
  if (wrong !== undefined)
    throw new CheckpointError(`${where}: ${shown(name)} must be whole numbers from 0 on, got ${wrong}`);
  return values as Float32Array;
}

const sum = (row: Float32Array): number => Float64Array.from(row).reduce((a, b) => a + b, 0);

function topKOf(
  where: string,
  file: GgufFile,
  layers: number[],
  rows: Float32Array[],
  { topK }: ImportOptions,
): number | null {
  const nExperts = rows[0]!.length;
  if (topK !== undefined) {
    const wrong = rows.map(sum).find((total) => total % topK !== 0);
    if (!Number.isInteger(topK) || topK < 1 || topK > nExperts || wrong !== undefined)
      throw new ConfigError(
        `${where}: topK must be from 1 to ${nExperts} and divide each layer's count (${wrong ?? sum(rows[0]!)}), got ${topK}`,
      );
    return topK;
  }
  const ratios = new Set(
    layers.map((layer, i) => {
      const tokens = file.tensor(countsName(layer, "ffn_gate_inp"))?.values[0] ?? 0;
      return sum(rows[i]!) / tokens;
    }),
  );
  const [ratio] = ratios;
  return ratios.size === 1 && Number.isInteger(ratio) && ratio! >= 1 && ratio! <= nExperts ? ratio! : null;
}
