// oxlint-disable-next-line no-restricted-imports -- threads are Node's
import { Worker } from "node:worker_threads";

/** Bytes of an open file, from `start` up to, not including, `end`. */
export interface FileRange {
  /** The open file's number. */
  file: number;
  start: number;
  end: number;
}

/** A range that is being read, or was, and where it goes in the shared memory. */
interface Reading extends FileRange {
  at: number;
  slot: number;
}

/** Readings that may be under way at once. */
const SLOTS = 256;

/** What a slot says of its reading; another number is the system's refusal, negative. */
const [UNDER_WAY, DONE, TOO_SHORT] = [0, 1, 2] as const;

/** The system's number of a refusal that has none (EIO, an error of input or output). */
const FAILED = -5;

/** Views of the memory begin at a multiple of this, which every kind of number may start at. */
const ALIGNMENT = 64;

/** Large readings are cut, so that several threads of the system read at the same time. */
const PIECE_BYTES = 1 << 23;

/**
 * What the thread does: read what it is told, several pieces at a time, and say so in the slot. As text, for what compiles
 * TypeScript would put calls into a function that the thread does not have.
 */
const THREAD = `
  const { parentPort, workerData: { memory, states } } = require("node:worker_threads");
  const { read } = require("node:fs");
  const say = (slot, outcome) => {
    Atomics.store(states, slot, outcome);
    Atomics.notify(states, slot);
  };
  const follow = ({ file, start, end, at, slot }) => {
    const into = new Uint8Array(memory, at, end - start);
    let left = Math.ceil(into.length / ${PIECE_BYTES});
    let state = ${DONE};
    const finish = (outcome) => {
      if (outcome !== ${DONE}) state = outcome;
      if (--left === 0) say(slot, state);
    };
    const piece = (from, to) => read(file, into, from, to - from, start + from, (error, bytesRead) => {
      if (error) finish(error.errno < 0 ? error.errno : ${FAILED});
      else if (bytesRead === 0) finish(${TOO_SHORT});
      else if (from + bytesRead < to) piece(from + bytesRead, to);
      else finish(${DONE});
    });
    for (let from = 0; from < into.length; from += ${PIECE_BYTES}) piece(from, Math.min(from + ${PIECE_BYTES}, into.length));
  };
  parentPort.on("message", (order) => {
    try {
      follow(order);
    } catch {
      say(order.slot, ${FAILED}); // else whoever waits would wait forever
    }
  });`;

/**
 * Reads files ahead of who computes with them: a thread of its own reads what is expected, in order, as far as the memory
 * reaches, while the caller's thread is busy; {@link ReadAhead.take} waits for what is not there yet, without giving the
 * event loop a turn.
 */
export class ReadAhead {
  readonly #memory: SharedArrayBuffer;
  readonly #states = new Int32Array(new SharedArrayBuffer(4 * SLOTS));
  readonly #thread: Worker;
  /** In the order in which they will be taken. */
  #under: Reading[] = [];
  #expected: FileRange[] = [];
  /** What was given out last; its bytes stay until the next is taken. */
  #held: Reading | null = null;
  #nextSlot = 0;
  #bytesRead = 0;

  /** @param bytes of the memory; no range may be longer */
  constructor(bytes: number) {
    this.#memory = new SharedArrayBuffer(Math.ceil(bytes / ALIGNMENT) * ALIGNMENT);
    const workerData = { memory: this.#memory, states: this.#states, pieceBytes: PIECE_BYTES };
    this.#thread = new Worker(THREAD, { eval: true, execArgv: [], workerData });
    this.#thread.unref(); // a thread without orders keeps no process alive
  }

  /** Bytes that were read so far, those that nobody took included. */
  get bytesRead(): number {
    return this.#bytesRead;
  }

  /** Says what will be taken next, in this order; it replaces what was said before. */
  expect(ranges: readonly FileRange[]): void {
    this.#expected = ranges.filter(({ start, end }) => end > start);
    this.#order();
  }

  /**
   * The bytes of a range; they may be read until the next call. What was expected before it is forgotten.
   * @returns the bytes, or null where the file ended before, or the system's refusal (a negative number)
   * @throws RangeError for a range that is longer than the memory
   */
  take(range: FileRange): Uint8Array | number | null {
    const length = range.end - range.start;
    if (length === 0) return new Uint8Array();
    if (!(range.start >= 0 && length > 0))
      throw new RangeError(`ReadAhead: a range must begin from 0 on and end later, got [${range.start}, ${range.end}]`);
    if (length > this.#memory.byteLength)
      throw new RangeError(`ReadAhead: a range must be at most ${this.#memory.byteLength} bytes long, got ${length}`);
    this.#held = null;
    this.#forgetBefore(range);
    this.#order();
    const reading = this.#under.shift()!;
    this.#held = reading;
    const state = this.#wait(reading);
    this.#order();
    if (state === DONE) return new Uint8Array(this.#memory, reading.at, length);
    return state === TOO_SHORT ? null : state;
  }

  /** Ends the thread. */
  async close(): Promise<void> {
    await this.#thread.terminate();
  }

  #forgetBefore(range: FileRange): void {
    const same = (other: FileRange): boolean =>
      other.file === range.file && other.start === range.start && other.end === range.end;
    const at = this.#under.findIndex(same);
    for (const reading of this.#under.splice(0, at < 0 ? this.#under.length : at)) this.#wait(reading);
    if (at >= 0) return;
    const expected = this.#expected.findIndex(same);
    this.#expected = expected < 0 ? [range, ...this.#expected] : this.#expected.slice(expected);
  }

  /** Orders what is expected, as long as there is room. */
  #order(): void {
    while (this.#expected.length > 0 && this.#under.length < SLOTS - 1) {
      const { file, start, end } = this.#expected[0]!;
      const at = this.#room(end - start);
      if (at === null) return;
      this.#expected.shift();
      const reading = { file, start, end, at, slot: this.#nextSlot };
      this.#nextSlot = (this.#nextSlot + 1) % SLOTS;
      this.#under.push(reading);
      Atomics.store(this.#states, reading.slot, UNDER_WAY);
      this.#bytesRead += end - start;
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has none
      this.#thread.postMessage(reading);
    }
  }

  /** Where so many bytes have room behind the last reading, going round at the memory's end; null: nowhere yet. */
  #room(length: number): number | null {
    const first = this.#held ?? this.#under[0];
    const last = this.#under.at(-1) ?? this.#held;
    if (first === undefined || last === null || last === undefined) return length <= this.#memory.byteLength ? 0 : null;
    const next = Math.ceil((last.at + last.end - last.start) / ALIGNMENT) * ALIGNMENT;
    if (last.at < first.at) return next + length <= first.at ? next : null;
    if (next + length <= this.#memory.byteLength) return next;
    return length <= first.at ? 0 : null;
  }

  #wait({ slot }: Reading): number {
    while (Atomics.load(this.#states, slot) === UNDER_WAY) Atomics.wait(this.#states, slot, UNDER_WAY);
    return Atomics.load(this.#states, slot);
  }
}
