/** A memory; views of one that threads share stay valid when it grows, views of another do not. */
export interface Memory {
  readonly buffer: ArrayBufferLike;
  grow(pages: number): void;
}

/** What is used of WebAssembly, whose types TypeScript has only for browsers. */
declare const WebAssembly: {
  validate(bytes: Uint8Array): boolean;
  Module: new (bytes: Uint8Array) => object;
  Memory: new (limits: { initial: number; maximum: number; shared: boolean }) => Memory;
  Instance: new (module: object, imports: { env: { memory: Memory } }) => { exports: object };
};

/** Bytes of a page, WebAssembly's unit of memory, and the most pages there can be: 4 GiB. */
export const PAGE = 1 << 16;
export const MAX_PAGES = 1 << 16;

/** A function of whole numbers that returns nothing: all it does it does to the memory. */
export interface WasmFunction {
  name: string;
  /** How many parameters, and after them how many locals of each kind. */
  params: number;
  numbers: number;
  vectors: number;
  code: readonly number[];
}

const [I32, V128] = [0x7f, 0x7b];

/** The smallest form of a whole number from 0 on (LEB128). */
function unsigned(value: number): number[] {
  const bytes: number[] = [];
  let left = value;
  for (; left > 127; left >>= 7) bytes.push((left & 127) | 128);
  return [...bytes, left];
}

/** Bytes with their number in front. */
function counted(bytes: readonly number[]): number[] {
  return [...unsigned(bytes.length), ...bytes];
}

/** The instructions that are used, as bytes. Vectors are of four float32, or of sixteen bytes. */
export const op = {
  get: (local: number): number[] => [0x20, local],
  set: (local: number): number[] => [0x21, local],
  tee: (local: number): number[] => [0x22, local],
  loop: [0x03, 0x40],
  end: [0x0b],
  /** Goes back to the beginning of the innermost loop unless the number on the stack is 0. */
  repeatIf: [0x0d, 0],
  /** A number from 0 to 8191, in the signed form that constants have. */
  number: (value: number): number[] => [0x41, (value & 127) | 128, value >> 7],
  plus: [0x6a],
  minus: [0x6b],
  /** Whether the one number is below the other, both from 0 on; whether it is above, both with signs. */
  below: [0x49],
  above: [0x4a],
  load: (offset: number): number[] => [0xfd, 0, 4, ...unsigned(offset)],
  store: (offset: number): number[] => [0xfd, 11, 4, ...unsigned(offset)],
  zeros: [0xfd, 12, ...Array<number>(16).fill(0)],
  /** A vector of these bytes. */
  bytes: (bytes: readonly number[]): number[] => [0xfd, 12, ...bytes],
  /** A vector of one float32 from memory, four times. */
  loadOne: (offset: number): number[] => [0xfd, 9, 2, ...unsigned(offset)],
  /** Of the lower vector on the stack, the bytes whose numbers the upper one holds. */
  look: [0xfd, 14],
  /** The bits that two vectors have in common. */
  common: [0xfd, 78],
  /** The bits that either of two vectors has, and those that only one has. */
  either: [0xfd, 80],
  different: [0xfd, 81],
  /** Each byte shifted to the right, and to the left, by the number on the stack, zeros coming in. */
  shiftBytes: [0xfd, 109],
  raiseBytes: [0xfd, 107],
  plusBytes: [0xfd, 110],
  /** Of each byte, all bits where two vectors have the same one, else none. */
  sameBytes: [0xfd, 35],
  /** A vector of bytes picked from two: 0 to 15 are the first's, 16 to 31 the second's. */
  shuffle: (bytes: readonly number[]): number[] => [0xfd, 13, ...bytes],
  vectorPlus: [0xfd, 0xe4, 1],
  vectorTimes: [0xfd, 0xe6, 1],
  lane: (i: number): number[] => [0xfd, 31, i],
  floatPlus: [0x92],
  storeFloat: [0x38, 2, 0],
} as const;

/**
 * A module in WebAssembly's binary form: functions on a memory that it is given and that threads share or do not.
 * @see the WebAssembly specification, section 5, for the form, and its index of instructions for the numbers in `op`
 */
function moduleBytes(functions: readonly WasmFunction[], shared: boolean): Uint8Array {
  const name = (text: string): number[] => counted([...new TextEncoder().encode(text)]);
  const section = (id: number, content: number[]): number[] => [id, ...counted(content)];
  const list = (items: number[][]): number[] => [items.length, ...items.flat()];
  const head = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
  const pages = [shared ? 3 : 1, 0, 0x80, 0x80, 4]; // from 0 to MAX_PAGES
  const types = functions.map(({ params }) => [0x60, ...counted(Array<number>(params).fill(I32)), 0]);
  const bodies = functions.map(({ numbers, vectors, code }) => counted([2, numbers, I32, vectors, V128, ...code]));
  return Uint8Array.from([
    ...head,
    ...section(1, list(types)),
    ...section(2, list([[...name("env"), ...name("memory"), 2, ...pages]])), // imports a memory
    ...section(3, list(functions.map((_, i) => [i]))),
    ...section(7, list(functions.map((f, i) => [...name(f.name), 0, i]))), // exports them all
    ...section(10, list(bodies)),
  ]);
}

/** Whether this machine can run the functions: it takes instructions for four numbers at once. */
export function canRun(functions: readonly WasmFunction[]): boolean {
  return WebAssembly.validate(moduleBytes(functions, true));
}

/** The compiled module; threads can be sent it. */
export function compile(functions: readonly WasmFunction[], shared: boolean): object {
  return new WebAssembly.Module(moduleBytes(functions, shared));
}

/** A new memory, all zeros, of at least so many bytes. It counts for the garbage collector unless threads share it. */
export function newMemory(bytes: number, { shared, maximum }: { shared: boolean; maximum: number }): Memory {
  return new WebAssembly.Memory({ initial: Math.ceil(bytes / PAGE), maximum, shared });
}

/** The functions of a compiled module on a memory. */
export function instantiate<F>(module: object, memory: Memory): F {
  return new WebAssembly.Instance(module, { env: { memory } }).exports as F;
}
