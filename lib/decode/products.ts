// oxlint-disable-next-line no-restricted-imports -- threads are Node's
import { availableParallelism } from "node:os";
// oxlint-disable-next-line no-restricted-imports
import { Worker } from "node:worker_threads";
import { type Memory, PAGE } from "../wasmModule.ts";
import { type Dots, dotsModule, dotsOn, padded } from "./dots.ts";

/** A matrix in the products' memory, one row for each output: out = W·x. */
export interface Matrix {
  rows: number;
  /** [rows, padded(inputs)]; beyond the inputs all zeros */
  values: Float32Array;
}

/** One product: out = W·x, with x [inputs] and out [rows] vectors of the same memory. */
export interface Task {
  matrix: Matrix;
  x: Float32Array;
  out: Float32Array;
}

/** Products of fewer bytes of weights are done before another thread would have joined in. */
const LEAST_SHARED_BYTES = 1 << 18;

/**
 * What a thread takes at a time: 4 µs of work, many times what the taking costs, to 30 µs, which is the longest that one
 * waits for another. Memory is read faster in long pieces.
 */
const [LEAST_CHUNK_BYTES, MOST_CHUNK_BYTES, MANY_CHUNKS] = [1 << 17, 1 << 20, 512];

/** With this many tasks there are at most 512 + 256 chunks, which a ticket can count. */
export const MOST_TASKS = 256;

/** Two cores read memory faster than one by a third; more than four were never tried. */
const MAX_THREADS = 4;

/**
 * The work in hand as threads share it: [ticket, chunks done, chunks, rows of a task, bytes of a row, rows of a chunk],
 * then of each task the addresses [matrix, x, out]. The ticket's low ten bits count the chunks taken, all ones meaning
 * that there is nothing to take; the rest is the number of the work.
 */
const TASKS = 6;
const TICKET_BITS = 10;
const CLOSED = 1023;

/**
 * Takes chunks of the work in hand until none is left. A ticket is read before the numbers that belong to it and changed
 * after: had they become those of other work, so had the ticket. Threads get this function as text: it may use nothing
 * but its parameters.
 */
function takeChunks(work: Int32Array, dots: Dots): void {
  for (;;) {
    const ticket = Atomics.load(work, 0);
    const chunk = ticket & 1023;
    if (chunk >= work[2]!) return;
    const rows = work[3]!;
    const width = work[4]!;
    const chunkRows = work[5]!;
    const perTask = Math.ceil(rows / chunkRows);
    const task = 6 + 3 * Math.floor(chunk / perTask);
    const first = (chunk % perTask) * chunkRows;
    const matrix = work[task]!;
    const x = work[task + 1]!;
    const out = work[task + 2]!;
    if (Atomics.compareExchange(work, 0, ticket, ticket + 1) !== ticket) continue;
    dots(out + 4 * first, x, matrix + width * first, Math.min(chunkRows, rows - first), width, width);
    Atomics.add(work, 1, 1);
  }
}

/** What a thread does all its life: look for work as long as the next product of a token may take to come, then sleep. */
const THREAD = `
  const { module, memory, address } = require("node:worker_threads").workerData;
  const { dots } = new WebAssembly.Instance(module, { env: { memory } }).exports;
  const work = new Int32Array(memory.buffer, address);
  const takeChunks = ${takeChunks.toString()};
  for (;;) {
    takeChunks(work, dots);
    const ticket = Atomics.load(work, 0);
    let looks = 50000;
    while (looks > 0 && Atomics.load(work, 0) === ticket) looks--;
    if (looks === 0) Atomics.wait(work, 0, ticket);
  }`;

/** Products of matrices with vectors, in a memory of their own, by as many threads as pay. Made first, then used. */
export class Products {
  readonly #memory: Memory;
  readonly #dots: Dots;
  readonly #work: Int32Array;
  readonly #threads: number;
  readonly #helpers: Worker[] = [];
  #used = 0;

  /**
   * @param mostTasks most tasks that {@link Products.multiply} is given at once, up to {@link MOST_TASKS}
   * @param threads threads that multiply, this one included
   */
  constructor(mostTasks: number, threads: number = Math.min(availableParallelism(), MAX_THREADS)) {
    ({ memory: this.#memory, dots: this.#dots } = dotsOn(PAGE, true));
    this.#threads = threads;
    const list = this.vector(TASKS + 3 * mostTasks);
    this.#work = new Int32Array(list.buffer, list.byteOffset, list.length);
    this.#work[0] = CLOSED;
  }

  /** A new vector of zeros. @throws RangeError where memory ends, at 4 GiB */
  vector(length: number): Float32Array {
    const start = this.#used;
    this.#used += 4 * padded(length);
    const missing = this.#used - this.#memory.buffer.byteLength;
    if (missing > 0) this.#memory.grow(Math.ceil(missing / PAGE));
    return new Float32Array(this.#memory.buffer, start, length);
  }

  /** A new matrix of zeros. @throws RangeError where memory ends, at 4 GiB */
  matrix(rows: number, inputs: number): Matrix {
    return { rows, values: this.vector(rows * padded(inputs)) };
  }

  /** Computes products whose matrices have the same shape. */
  multiply(...tasks: Task[]): void {
    const { rows, values } = tasks[0]!.matrix;
    const width = values.byteLength / rows;
    if (this.#threads > 1 && tasks.length * values.byteLength >= LEAST_SHARED_BYTES) this.#share(tasks, rows, width);
    else
      for (const { matrix, x, out } of tasks)
        this.#dots(out.byteOffset, x.byteOffset, matrix.values.byteOffset, rows, width, width);
  }

  #share(tasks: Task[], rows: number, width: number): void {
    while (this.#helpers.length < this.#threads - 1) this.#helpers.push(this.#helper());
    const work = this.#work;
    const number = (work[0]! >> TICKET_BITS) + 1;
    Atomics.store(work, 0, (number << TICKET_BITS) | CLOSED);
    const allRows = tasks.length * rows;
    const wanted = (allRows * width) / (2 * this.#threads);
    const chunkBytes = Math.min(MOST_CHUNK_BYTES, Math.max(LEAST_CHUNK_BYTES, wanted));
    const chunkRows = Math.ceil(Math.max(chunkBytes / width, allRows / MANY_CHUNKS));
    const chunks = tasks.length * Math.ceil(rows / chunkRows);
    work.set([0, chunks, rows, width, chunkRows], 1);
    for (const [i, { matrix, x, out }] of tasks.entries())
      work.set([matrix.values.byteOffset, x.byteOffset, out.byteOffset], TASKS + 3 * i);
    Atomics.store(work, 0, number << TICKET_BITS);
    Atomics.notify(work, 0);
    takeChunks(work, this.#dots);
    while (Atomics.load(work, 1) < chunks); // what others took is done within microseconds
  }

  #helper(): Worker {
    const workerData = { module: dotsModule(true), memory: this.#memory, address: this.#work.byteOffset };
    const worker = new Worker(THREAD, { eval: true, execArgv: [], workerData });
    worker.unref(); // a sleeping thread keeps no process alive
    return worker;
  }

  /** Ends the threads; memory goes when nothing refers to its vectors any more. */
  dispose(): void {
    for (const helper of this.#helpers.splice(0)) void helper.terminate();
  }
}
