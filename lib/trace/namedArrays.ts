/* oxlint-disable no-restricted-imports -- recordings come as safetensors too, which the checkpoint side reads */
import { memorySource } from "../checkpoint/bytes.ts";
import { readHeader } from "../checkpoint/safetensors.ts";
import { shown } from "../errors.ts";
import { type NdArray, ndArray } from "./ndarray.ts";
import { readNpy } from "./npy.ts";
import { unzip, zipEntries } from "./zip.ts";

/**
 * The arrays in an archive of NumPy's (.npz), by their names without ".npy"; other files in it are not looked at.
 * @throws CheckpointError
 */
export async function npzArrays(where: string, bytes: Uint8Array): Promise<Map<string, NdArray>> {
  const arrays = new Map<string, NdArray>();
  for (const [name, entry] of zipEntries(where, bytes))
    if (name.endsWith(".npy"))
      arrays.set(name.slice(0, -".npy".length), readNpy(`${where}: ${name}`, await unzip(where, entry)));
  return arrays;
}

/** @returns whether bytes begin as a safetensors file does: the length of its header, and the header's brace */
export function isSafetensors(bytes: Uint8Array): boolean {
  return bytes.length > 9 && bytes[6] === 0 && bytes[7] === 0 && bytes[8] === 0x7b;
}

/**
 * The tensors of a safetensors file.
 * @throws CheckpointError
 */
export async function safetensorsArrays(where: string, bytes: Uint8Array): Promise<Map<string, NdArray>> {
  const { tensors } = await readHeader(memorySource(where, bytes));
  const arrays = new Map<string, NdArray>();
  for (const [name, { dtype, shape, start, end }] of tensors)
    arrays.set(name, ndArray(`${where}: ${shown(name)}`, dtype, shape, bytes.subarray(start, end)));
  return arrays;
}
