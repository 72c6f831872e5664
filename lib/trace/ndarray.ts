// oxlint-disable-next-line no-restricted-imports -- element types are the same in every file format
import { DTYPE_BITS, type Dtype, TO_FLOAT32, TO_INT32 } from "../checkpoint/dtype.ts";
import { CheckpointError, shown } from "../errors.ts";

/** An array of numbers as other programs write it, row-major; integers as int32, real numbers as float32. */
export interface NdArray {
  shape: readonly number[];
  values: Int32Array | Float32Array;
}

/** What NumPy can hold. */
const MAX_RANK = 64;

/**
 * Decodes little-endian values.
 * @param where begins an error
 * @throws CheckpointError for a shape that the bytes do not fill, or integers that do not fit in 32 bits
 */
export function ndArray(where: string, dtype: Dtype, shape: readonly number[], bytes: Uint8Array): NdArray {
  const size = shape.reduce((product, n) => product * n, 1);
  if (shape.length > MAX_RANK || !Number.isSafeInteger(size))
    throw new CheckpointError(`${where}: shape must be that of an array, got ${shown(shape)}`);
  const expected = (size * DTYPE_BITS[dtype]) / 8;
  if (bytes.length !== expected)
    throw new CheckpointError(`${where}: ${dtype} ${shown(shape)} must have ${expected} bytes, got ${bytes.length}`);
  const toInt32 = TO_INT32[dtype];
  const toFloat32 = TO_FLOAT32[dtype];
  if (toInt32 !== undefined) {
    const values = new Int32Array(size);
    toInt32(bytes, values, 0, where);
    return { shape, values };
  }
  const values = new Float32Array(size);
  if (dtype === "F64") values.set(new Float64Array(new Uint8Array(bytes).buffer));
  else if (toFloat32 !== undefined) toFloat32(bytes, values, 0, where);
  else throw new CheckpointError(`${where}: values must be whole or real numbers, got ${dtype}`);
  return { shape, values };
}
