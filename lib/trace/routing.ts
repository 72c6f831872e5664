import { CheckpointError, ConfigError, listed } from "../errors.ts";
import type { Imported, ImportOptions } from "./imported.ts";
import type { TraceSource } from "./record.ts";

/** The expert ids of one sequence as an engine sent them, before anything is believed. */
export interface RawSequence {
  /** [n_tokens, n_layers, top_k] */
  ids: Int32Array;
  /** The token of each row, or null where not recorded: [n_tokens]. */
  tokenIds: ArrayLike<number> | null;
  /** The position of each row: [n_tokens]. */
  positions: ArrayLike<number>;
  /** Index into PHASES for each row, or null where not recorded: [n_tokens]. */
  phases: ArrayLike<number> | null;
}

/** Sequences of one recording. */
export interface RawRouting {
  source: TraceSource;
  nLayers: number;
  topK: number;
  rankOrdered: boolean;
  sequences: RawSequence[];
}

/** Ids are kept in 16 bits. */
const MAX_EXPERTS = 1 << 16;

/** What engines write where they have no expert; 255 and 65535 are −1 in narrower types, unless there are so many. */
function isSentinel(id: number, nExperts: number): boolean {
  return id === -1 || ((id === 255 || id === 65535) && id >= nExperts);
}

/**
 * Makes a trace of what an engine recorded, or refuses it.
 * - An expert that does not exist, or the same one twice for a token, refuses the whole: nothing of it can be trusted.
 * - A row of sentinels, or of zeros (for top-1, a layer of zeros), was not recorded. A layer without any other row is left
 *   out (it is dense, or the engine did not capture it), then every token that lacks a row of the layers that are left;
 *   a sequence is cut where tokens are missing, and positions keep what it was.
 *
 * A draft model that wrote valid ids over a layer cannot be told from the model itself.
 * @throws CheckpointError naming sequence, token and layer; ConfigError for options that do not fit
 */
export function checkRouting(where: string, raw: RawRouting, nExperts: number, options: ImportOptions = {}): Imported {
  const { source, nLayers, topK, rankOrdered, sequences } = raw;
  if (nExperts > MAX_EXPERTS || topK > nExperts)
    throw new ConfigError(`${where}: nExperts must be from topK (${topK}) to ${MAX_EXPERTS}, got ${nExperts}`);
  const layerNumbers = numberedLayers(where, nLayers, options);
  const recorded = sequences.map(({ ids }, s) => recordedRows(`${where}: sequence ${s}`, ids, raw, nExperts));

  const kept = recordedLayers(raw, recorded);
  if (kept.length === 0)
    throw new CheckpointError(`${where}: routing must be recorded in some layer, got only zeros and empty slots`);
  const { places, offsets, lost } = recordedTokens(raw, recorded, kept);
  if (places.length === 0)
    throw new CheckpointError(`${where}: some token must be recorded in all of its layers, got none`);

  const expertIndices = new Uint16Array(places.length * kept.length * topK);
  for (const [i, { sequence, token }] of places.entries())
    for (const [j, l] of kept.entries()) {
      const row = token * nLayers + l;
      expertIndices.set(sequence.ids.subarray(row * topK, (row + 1) * topK), (i * kept.length + j) * topK);
    }
  const dropped = layerNumbers.filter((_, l) => !kept.includes(l));
  const partial = recorded.reduce((sum, rows) => sum + rows.partial, 0);
  const knows = (field: "tokenIds" | "phases"): boolean => sequences.every((sequence) => sequence[field] !== null);
  return {
    kind: "trace",
    findings: [
      ...(dropped.length > 0 ? [`layers ${listed(dropped)} hold no routing (dense, or not captured): left out`] : []),
      ...(lost > 0 ? [`${lost} tokens lack routing in some layer: left out`] : []),
      ...(partial > 0 ? [`${partial} rows have empty slots: their tokens are among those left out`] : []),
      ...(knows("tokenIds") ? [] : ["token ids were not recorded"]),
      ...(rankOrdered ? [] : ["the order of a token's experts is not known to be their rank"]),
    ],
    trace: {
      source,
      nExperts,
      topK,
      layers: kept.map((l) => layerNumbers[l]!),
      tokenIds: Int32Array.from(places, ({ sequence, token }) => sequence.tokenIds?.[token] ?? -1),
      pieces: null,
      sequenceOffsets: Int32Array.from(offsets),
      expertIndices,
      expertWeights: null,
      routerProbs: null,
      rankOrdered,
      positions: Int32Array.from(places, ({ sequence, token }) => sequence.positions[token]!),
      ...(knows("phases") && {
        phases: Uint8Array.from(places, ({ sequence, token }) => sequence.phases![token]!),
      }),
    },
  };
}

/**
 * The model's number of each layer in a file.
 * @throws ConfigError where the option names too few or too many, or not in rising order
 */
export function numberedLayers(where: string, nLayers: number, { layers }: ImportOptions): number[] {
  if (layers === undefined) return Array.from({ length: nLayers }, (_, l) => l);
  const rises = layers.every((layer, i) => Number.isInteger(layer) && layer > (layers[i - 1] ?? -1));
  if (layers.length !== nLayers || !rises)
    throw new ConfigError(`${where}: layers must be ${nLayers} rising numbers, as in the file; got ${listed(layers)}`);
  return [...layers];
}

/** What was recorded of a sequence: its rows, 1 or 0, [n_tokens, n_layers], and how many were only in part. */
interface Recorded {
  present: Uint8Array;
  partial: number;
}

/** The layers of the file with any row; for top-1, where a row of zeros may be a choice, with any but zeros. */
function recordedLayers({ nLayers, topK, sequences }: RawRouting, recorded: Recorded[]): number[] {
  return Array.from({ length: nLayers }, (_, l) => l).filter((l) =>
    recorded.some(({ present }, s) => {
      for (let row = l; row < present.length; row += nLayers)
        if (present[row] === 1 && (topK > 1 || sequences[s]!.ids[row] !== 0)) return true;
      return false;
    }),
  );
}

/** The tokens with a row in all of these layers, where sequences start among them, and how many others there are. */
function recordedTokens(
  { nLayers, sequences }: RawRouting,
  recorded: Recorded[],
  layers: number[],
): { places: { sequence: RawSequence; token: number }[]; offsets: number[]; lost: number } {
  const places: { sequence: RawSequence; token: number }[] = [];
  const offsets = [0];
  const cut = (): void => {
    if (offsets.at(-1) !== places.length) offsets.push(places.length);
  };
  let lost = 0;
  for (const [s, sequence] of sequences.entries()) {
    const { present } = recorded[s]!;
    for (let token = 0; token < sequence.positions.length; token++)
      if (layers.every((l) => present[token * nLayers + l] === 1)) places.push({ sequence, token });
      else {
        lost++;
        cut();
      }
    cut();
  }
  return { places, offsets, lost };
}

/** @throws CheckpointError for an expert that does not exist, or the same one twice for a token */
function recordedRows(where: string, ids: Int32Array, { nLayers, topK }: RawRouting, nExperts: number): Recorded {
  const present = new Uint8Array(ids.length / topK);
  let partial = 0;
  for (let r = 0; r < present.length; r++) {
    const row = ids.subarray(r * topK, (r + 1) * topK);
    const place = (): string => `${where}, token ${Math.floor(r / nLayers)}, layer ${r % nLayers}`;
    let empty = 0;
    for (let slot = 0; slot < topK; slot++) {
      const id = row[slot]!;
      if (isSentinel(id, nExperts)) empty++;
      else if (id < 0 || id >= nExperts)
        throw new CheckpointError(`${place()}: expert must be from 0 to ${nExperts - 1}, got ${id}`);
    }
    if (empty > 0) {
      if (empty < topK) partial++;
      continue;
    }
    if (topK > 1 && row.every((id) => id === 0)) continue;
    for (let slot = 1; slot < topK; slot++)
      if (row.indexOf(row[slot]!) < slot)
        throw new CheckpointError(`${place()}: experts of a token must differ, got ${listed([...row])}`);
    present[r] = 1;
  }
  return { present, partial };
}
