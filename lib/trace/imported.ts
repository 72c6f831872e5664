import { ConfigError } from "../errors.ts";
import type { ExpertCounts } from "./counts.ts";
import type { RoutingTrace } from "./record.ts";

/** What the user knows about a recording that its file may not say. */
export interface ImportOptions {
  /** The model's name; default: what the file says, or "unknown". */
  model?: string;
  nExperts?: number;
  topK?: number;
  /** Layers in the file, dense ones included. */
  nLayers?: number;
  /** The model's layer number of each layer in the file; default 0, 1, 2 … */
  layers?: readonly number[];
  /** Tokens at the start of each prompt that were not recorded, where the file does not say it; default 0. */
  promptStart?: number;
}

/**
 * What a file of another engine gave: routing token by token, or only counts. `findings` says in whole sentences what
 * was left out or could not be known.
 */
export type Imported = { findings: string[] } & (
  | { kind: "trace"; trace: RoutingTrace }
  | { kind: "counts"; counts: ExpertCounts }
);

/** An importer: the whole of a file in memory to what it holds. `where` is what messages call the file. */
export type Importer = (where: string, bytes: Uint8Array, options?: ImportOptions) => Promise<Imported>;

/**
 * The value of an option that a file cannot do without.
 * @throws ConfigError where it was not given or cannot be
 */
export function needed(where: string, option: "nExperts" | "topK" | "nLayers", value: number | undefined): number {
  if (value === undefined || !Number.isInteger(value) || value < 1)
    throw new ConfigError(`${where}: ${option} must be given, for the file does not say it; got ${value ?? "none"}`);
  return value;
}
