import { CheckpointError, listed } from "../errors.ts";
import type { Importer } from "./imported.ts";
import { isObject, type JsonObject, jsonObjects } from "./json.ts";
import { isNpy, readNpy } from "./npy.ts";
import { importSglang, isSglang } from "./sglang.ts";
import { importVllm, importVllmArray, isVllm } from "./vllm.ts";
import { isZip, unzip, zipEntries } from "./zip.ts";

/** The recordings in JSON, each with what tells its objects from the others'. */
const JSON_KINDS: readonly { is: (value: JsonObject) => boolean; read: Importer }[] = [
  { is: isVllm, read: importVllm },
  { is: isSglang, read: importSglang },
];

/**
 * Reads the routing that another engine recorded: which one and in which form is told by the content, not by the file's
 * name. All of it is checked before any of it is handed over.
 * @param where what messages call the file
 * @throws CheckpointError for a file that is damaged or not known; ConfigError where it needs an option to be understood
 * @example await importRouting("answers.jsonl", await readFile("answers.jsonl"), { nExperts: 16 })
 */
export const importRouting: Importer = async (where, bytes, options = {}) => {
  if (isNpy(bytes)) return importVllmArray(where, readNpy(where, bytes), options);
  if (isZip(bytes)) return importZip(where, bytes, options);
  const first = firstObject(where, bytes);
  const kind = first === null ? undefined : JSON_KINDS.find(({ is }) => is(first));
  if (kind === undefined) throw new CheckpointError(`${where}: must be a recording of a known kind, got another file`);
  return kind.read(where, bytes, options);
};

/** The array of vLLM's Python class in an archive of NumPy's. */
const importZip: Importer = async (where, bytes, options = {}) => {
  const entries = zipEntries(where, bytes);
  const entry = entries.get("routed_experts.npy");
  if (entry === undefined)
    throw new CheckpointError(`${where}: archive must hold routed_experts.npy, got ${listed([...entries.keys()])}`);
  return importVllmArray(where, readNpy(`${where}: ${entry.name}`, await unzip(where, entry)), options);
};

function firstObject(where: string, bytes: Uint8Array): JsonObject | null {
  const start = bytes.find((byte) => byte > 0x20);
  if (start !== 0x7b && start !== 0x5b) return null; // { or [
  const { value } = jsonObjects(where, bytes).next();
  return isObject(value) ? value : null;
}
