import * as tf from "@tensorflow/tfjs";
import type { WriteRows } from "./dtype.ts";
import { growTo, type Kernels, kernels, PIECE_BYTES, TURN } from "./kernels.ts";

/** Where a matrix of a file stands in a parameter; all in numbers, not bytes. */
export interface Place {
  /** Numbers of a row, in the file. */
  columns: number;
  /** The file's columns become rows. */
  transposed: boolean;
  /** Where its first number stands, and how far apart its rows stand. */
  at: number;
  stride: number;
}

/** Numbers that are turned at once, in rows of the file, so that the processor's cache holds them; at least 16 rows. */
const BAND_NUMBERS = 1 << 18;
const LEAST_BAND = 16;

/** Where numbers must begin for TensorFlow to take them as they are. */
const ALIGNMENT = 64;

/**
 * Puts what a file holds in its places in a parameter: converted, turned where it is asked for and side by side in one
 * pass, in one memory that is used again for the next parameter.
 */
export class Placing {
  #kernels: Kernels = kernels(PIECE_BYTES);
  #lent: tf.Tensor | null = null;
  #band: Float32Array = new Float32Array();
  #result: Float32Array = new Float32Array();

  /**
   * Makes room for a parameter; what was placed before is gone.
   * @param longestRow numbers of the longest row of a file that will be placed
   * @throws RangeError where that takes more than 4 GiB
   */
  begin(numbers: number, longestRow: number): void {
    if (this.#lent?.isDisposed === false) this.#kernels = kernels(PIECE_BYTES);
    this.#lent = null;
    const band = Math.max(BAND_NUMBERS, LEAST_BAND * longestRow) + TURN;
    const resultAt = Math.ceil((PIECE_BYTES + 4 * band) / ALIGNMENT) * ALIGNMENT;
    growTo(this.#kernels, resultAt + 4 * (numbers + TURN));
    const { buffer } = this.#kernels.memory;
    this.#band = new Float32Array(buffer, PIECE_BYTES, band);
    this.#result = new Float32Array(buffer, resultAt, numbers);
  }

  /**
   * Places the rows of a matrix. One that is neither turned nor spread may be written a little beyond its end: places are
   * filled in rising order.
   */
  put(rows: number, write: WriteRows, { columns, transposed, at, stride }: Place): void {
    if (!transposed && stride === columns) {
      write(0, rows, this.#result, at);
      return;
    }
    const most = Math.max(LEAST_BAND, Math.floor(BAND_NUMBERS / columns / 4) * 4);
    for (let row = 0; row < rows; row += most) {
      const count = Math.min(most, rows - row);
      write(row, count, this.#band, 0);
      if (transposed) this.#turn(count, columns, at + row, stride);
      else
        for (let r = 0; r < count; r++)
          this.#result.set(this.#band.subarray(r * columns, (r + 1) * columns), at + (row + r) * stride);
    }
  }

  /** Adds to every number that was placed. */
  raise(by: number): void {
    for (let i = 0; i < this.#result.length; i++) this.#result[i]! += by;
  }

  /**
   * A tensor of what was placed. On `tensorflow` it shares this memory, for numbers at a multiple of 64 bytes are not
   * copied: it is good until {@link Placing.begin}, which leaves the memory to a tensor that is not disposed by then.
   */
  lend(shape: readonly number[]): tf.Tensor {
    this.#lent = tf.tensor(this.#result, [...shape]);
    return this.#lent;
  }

  /** A tensor with a copy of what was placed. */
  copy(shape: readonly number[]): tf.Tensor {
    return tf.tensor(this.#result.slice(), [...shape]);
  }

  /** The band's [rows, columns] as columns of the result: in fours by the kernel, the rest number by number. */
  #turn(rows: number, columns: number, at: number, stride: number): void {
    const [fourRows, fourColumns] = [rows - (rows % 4), columns - (columns % 4)];
    const [band, result] = [this.#band, this.#result];
    if (fourRows > 0 && fourColumns > 0)
      this.#kernels.transpose(
        result.byteOffset + 4 * at,
        band.byteOffset,
        fourRows,
        fourColumns,
        4 * stride,
        4 * columns,
      );
    for (let c = 0; c < columns; c++)
      for (let r = c < fourColumns ? fourRows : 0; r < rows; r++) result[at + c * stride + r] = band[r * columns + c]!;
  }
}
