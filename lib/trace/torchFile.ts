import type { Dtype } from "../checkpoint/dtype.ts";
import { CheckpointError, shown } from "../errors.ts";
import { type NdArray, ndArray } from "./ndarray.ts";
import { PickleName, type PickleValue, readPickle } from "./pickle.ts";
import { MAX_UNPACKED_BYTES, unzip, type ZipEntry, zipEntries } from "./zip.ts";

/** The values of a storage, as they lie in the file. */
interface Storage {
  dtype: Dtype;
  bytes: Uint8Array;
}

/** A tensor of a file, a view of a storage. */
export class TorchTensor {
  readonly storage: Storage;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];

  constructor(storage: Storage, offset: number, shape: readonly number[], strides: readonly number[]) {
    this.storage = storage;
    this.offset = offset;
    this.shape = shape;
    this.strides = strides;
  }
}

/** What `torch.save` wrote. */
export interface TorchFile {
  value: PickleValue;
  /**
   * The values of a tensor, row-major.
   * @throws CheckpointError where the tensors that were asked for so far take more than an archive may unpack to
   */
  array(where: string, tensor: TorchTensor): NdArray;
}

const STORAGES: Readonly<Record<string, { dtype: Dtype; width: number }>> = {
  "torch.BoolStorage": { dtype: "BOOL", width: 1 },
  "torch.ByteStorage": { dtype: "U8", width: 1 },
  "torch.CharStorage": { dtype: "I8", width: 1 },
  "torch.ShortStorage": { dtype: "I16", width: 2 },
  "torch.IntStorage": { dtype: "I32", width: 4 },
  "torch.LongStorage": { dtype: "I64", width: 8 },
  "torch.BFloat16Storage": { dtype: "BF16", width: 2 },
  "torch.HalfStorage": { dtype: "F16", width: 2 },
  "torch.FloatStorage": { dtype: "F32", width: 4 },
  "torch.DoubleStorage": { dtype: "F64", width: 8 },
};

const PICKLE = /^([^/]+)\/data\.pkl$/;
const MAX_RANK = 8;

/** @returns whether an archive is one of `torch.save` */
export function isTorch(entries: ReadonlyMap<string, ZipEntry>): boolean {
  return [...entries.keys()].some((name) => PICKLE.test(name));
}

const isSize = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const isSizes = (value: unknown): value is number[] =>
  Array.isArray(value) && value.length <= MAX_RANK && value.every(isSize);

/**
 * Reads a file of `torch.save`: plain values and tensors, by an allow-list; nothing of it is run.
 * @throws CheckpointError for a file that is damaged, holds anything else, or tensors outside of their storages
 */
export async function readTorch(where: string, bytes: Uint8Array): Promise<TorchFile> {
  const refuse = (what: string, expected: string, got: unknown): never => {
    throw new CheckpointError(`${where}: ${what} must be ${expected}, got ${shown(got)}`);
  };
  const files = new Map<string, Uint8Array>();
  for (const [name, entry] of zipEntries(where, bytes)) files.set(name, await unzip(where, entry));
  const name = [...files.keys()].find((file) => PICKLE.test(file));
  if (name === undefined) return refuse("archive", "one of torch.save", "one without data.pkl");
  const [, prefix] = PICKLE.exec(name)!;
  const order = files.get(`${prefix}/byteorder`);
  if (order !== undefined && new TextDecoder().decode(order) !== "little")
    refuse("byteorder", "little", new TextDecoder().decode(order));

  const storageOf = (id: PickleValue): Storage => {
    const [kind, type, key, , count] = Array.isArray(id) ? id : [];
    const form = type instanceof PickleName ? STORAGES[type.name] : undefined;
    if (kind !== "storage" || form === undefined || typeof key !== "string" || !isSize(count))
      return refuse("a persistent id", "a storage of numbers", kind ?? null);
    const data = files.get(`${prefix}/data/${key}`);
    if (data === undefined || data.length !== count * form.width)
      return refuse(`storage ${shown(key)}`, `there with ${count * form.width} bytes`, data?.length ?? "none");
    return { dtype: form.dtype, bytes: data };
  };
  const tensorOf = ([storage, offset, shape, strides]: PickleValue[]): TorchTensor => {
    if (!isStorage(storage) || !isSize(offset) || !isSizes(shape) || !isSizes(strides))
      return refuse("a tensor", "a storage with offset, sizes and strides", [offset ?? null, shape ?? null]);
    const { width } = Object.values(STORAGES).find(({ dtype }) => dtype === storage.dtype)!;
    const last = shape.reduce((sum, size, axis) => sum + (size - 1) * (strides[axis] ?? 0), offset);
    const isEmpty = shape.includes(0);
    if (strides.length !== shape.length || (!isEmpty && last >= storage.bytes.length / width))
      refuse("a tensor", `within its ${storage.bytes.length / width} values`, { offset, shape, strides });
    return new TorchTensor(storage, offset, shape, strides);
  };
  const value = readPickle(`${where}: ${name}`, files.get(name)!, {
    calls: { "torch._utils._rebuild_tensor_v2": tensorOf, "collections.OrderedDict": () => new Map() },
    names: Object.keys(STORAGES),
    persistent: storageOf,
  });

  let left = MAX_UNPACKED_BYTES;
  return {
    value,
    array(at, { storage, offset, shape, strides }) {
      const { width } = Object.values(STORAGES).find(({ dtype }) => dtype === storage.dtype)!;
      const size = shape.reduce((product, n) => product * n, 1);
      left -= size * width;
      if (left < 0) refuse("tensors", `of ${MAX_UNPACKED_BYTES} bytes at most in all`, `more at ${at}`);
      const packed = new Uint8Array(size * width);
      const place = shape.map(() => 0);
      for (let i = 0; i < size; i++) {
        const from = (offset + place.reduce((sum, p, axis) => sum + p * strides[axis]!, 0)) * width;
        packed.set(storage.bytes.subarray(from, from + width), i * width);
        for (let axis = shape.length - 1; axis >= 0 && ++place[axis]! === shape[axis]; axis--) place[axis] = 0;
      }
      return ndArray(at, storage.dtype, shape, packed);
    },
  };
}

function isStorage(value: unknown): value is Storage {
  return typeof value === "object" && value !== null && "dtype" in value && "bytes" in value;
}
