import { CheckpointError, listed, shown } from "../errors.ts";
import { isGguf } from "./gguf.ts";
import { importImatrix, isLegacyImatrix, refuseLegacyImatrix } from "./imatrix.ts";
import type { Imported, Importer, ImportOptions } from "./imported.ts";
import { isObject, type JsonObject, jsonObjects } from "./json.ts";
import { isSafetensors, npzArrays, safetensorsArrays } from "./namedArrays.ts";
import type { NdArray } from "./ndarray.ts";
import { isNpy, readNpy } from "./npy.ts";
import { importOlmoe, isOlmoe } from "./olmoe.ts";
import { importRouterLogits, isRouterLogits } from "./routerLogits.ts";
import { importSglang, isSglang } from "./sglang.ts";
import { importSglangRecorder } from "./sglangRecorder.ts";
import { isTorch } from "./torchFile.ts";
import { importVllm, importVllmArray, isVllm } from "./vllm.ts";
import { isZip, zipEntries } from "./zip.ts";

/** The recordings in JSON, each with what tells its objects from the others'. */
const JSON_KINDS: readonly { is: (value: JsonObject) => boolean; read: Importer }[] = [
  { is: isVllm, read: importVllm },
  { is: isSglang, read: importSglang },
  { is: isOlmoe, read: importOlmoe },
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
  if (isZip(bytes) && isTorch(zipEntries(where, bytes))) return importSglangRecorder(where, bytes, options);
  if (isZip(bytes)) return importNamedArrays(where, await npzArrays(where, bytes), options);
  if (isGguf(bytes)) return importImatrix(where, bytes, options);
  if (isLegacyImatrix(bytes)) return refuseLegacyImatrix(where, bytes, options);
  if (isSafetensors(bytes)) return importNamedArrays(where, await safetensorsArrays(where, bytes), options);
  const first = firstObject(where, bytes);
  const kind = first === null ? undefined : JSON_KINDS.find(({ is }) => is(first));
  if (kind === undefined) throw new CheckpointError(`${where}: must be a recording of a known kind, got another file`);
  return kind.read(where, bytes, options);
};

/** Router logits, or the array of vLLM's Python class. */
function importNamedArrays(where: string, arrays: ReadonlyMap<string, NdArray>, options: ImportOptions): Imported {
  const experts = arrays.get("routed_experts");
  if (experts !== undefined) return importVllmArray(where, experts, options);
  if (isRouterLogits(arrays.keys())) return importRouterLogits(where, arrays, options);
  const names = listed([...arrays.keys()].map(shown));
  throw new CheckpointError(`${where}: must hold routed_experts or router_logits, got ${names || "no array"}`);
}

function firstObject(where: string, bytes: Uint8Array): JsonObject | null {
  const start = bytes.find((byte) => byte > 0x20);
  if (start !== 0x7b && start !== 0x5b) return null; // { or [
  const { value } = jsonObjects(where, bytes).next();
  return isObject(value) ? value : null;
}
