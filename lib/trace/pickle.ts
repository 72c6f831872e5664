import { CheckpointError, shown } from "../errors.ts";

/** What the opcodes of a pickle make; a tuple is a list, and `object` is what the makers returned. */
export type PickleValue = null | boolean | number | string | object | PickleValue[] | Map<PickleValue, PickleValue>;

/** What a pickle may name and make beyond plain values. Nothing of it is ever looked up in the running program. */
export interface PickleMakers {
  /** Functions by the names that a pickle calls them by, such as "collections.OrderedDict". */
  calls: Readonly<Record<string, (args: PickleValue[]) => PickleValue>>;
  /** What a persistent id, such as torch's for a storage, stands for. */
  persistent(id: PickleValue): PickleValue;
  /** Names that stand only for themselves, such as "torch.IntStorage". */
  names: readonly string[];
}

/** A name that may be called, or handed on as it is. */
export class PickleName {
  readonly name: string;
  constructor(name: string) {
    this.name = name;
  }
}

const MARK = Symbol("mark");

/**
 * Reads a pickle of protocol 2, as torch writes it: dicts, lists, tuples, numbers, texts, and what the makers allow. Any
 * other name, opcode or protocol refuses the whole.
 * @throws CheckpointError
 * @see https://github.com/python/cpython/blob/main/Lib/pickletools.py
 */
export function readPickle(where: string, bytes: Uint8Array, makers: PickleMakers): PickleValue {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const refuse = (what: string, expected: string, got: unknown): never => {
    throw new CheckpointError(`${where}: ${what} must be ${expected}, got ${shown(got)}`);
  };
  let at = 0;
  const pass = (length: number): number => {
    if (at + length > bytes.length) refuse("pickle", "whole", `one that ends after ${bytes.length} bytes`);
    at += length;
    return at - length;
  };
  const text = (length: number): string => {
    const start = pass(length);
    return new TextDecoder().decode(bytes.subarray(start, start + length));
  };
  const line = (): string => {
    const end = bytes.indexOf(0x0a, at);
    const value = text((end < 0 ? bytes.length + 1 : end) - at);
    at++;
    return value;
  };

  const stack: (PickleValue | typeof MARK)[] = [];
  const memo = new Map<number, PickleValue>();
  const pop = (): PickleValue => {
    const value = stack.pop();
    return value === undefined || value === MARK ? refuse("pickle", "well formed", "too few values") : value;
  };
  const top = (): PickleValue => {
    const value = pop();
    stack.push(value);
    return value;
  };
  const popMark = (): PickleValue[] => {
    const mark = stack.lastIndexOf(MARK);
    if (mark < 0) refuse("pickle", "well formed", "no mark");
    const values = stack.slice(mark + 1) as PickleValue[];
    stack.length = mark;
    return values;
  };
  const several = (n: number): PickleValue[] => Array.from({ length: n }, pop).toReversed();
  const append = (values: PickleValue[]): void => {
    const list = top();
    if (!Array.isArray(list)) return refuse("what is appended to", "a list", "another value");
    for (const value of values) list.push(value);
  };
  const setItems = (values: PickleValue[]): void => {
    const dict = top();
    if (!(dict instanceof Map)) return refuse("what gets items", "a dict", "another value");
    for (let i = 0; i + 1 < values.length; i += 2) dict.set(values[i]!, values[i + 1]!);
  };
  const recall = (index: number): PickleValue => {
    const value = memo.get(index);
    return value === undefined ? refuse("memo", "known", index) : value;
  };
  const named = (): PickleName => {
    const name = `${line()}.${line()}`;
    if (!Object.hasOwn(makers.calls, name) && !makers.names.includes(name))
      refuse("name in a pickle", "one that plain tensors need (nothing is run)", name);
    return new PickleName(name);
  };
  const call = (args: PickleValue, callee: PickleValue): PickleValue => {
    const maker = callee instanceof PickleName ? makers.calls[callee.name] : undefined;
    if (maker === undefined || !Array.isArray(args)) return refuse("a call in a pickle", "an allowed one", "another");
    return maker(args);
  };
  /** A little-endian whole number of any length. */
  const long = (length: number): number => {
    const start = pass(length);
    let value = 0n;
    for (let i = 0; i < length; i++) value |= BigInt(bytes[start + i]!) << BigInt(8 * i);
    const number = Number(BigInt.asIntN(8 * length, value));
    return Number.isSafeInteger(number) ? number : refuse("a whole number", "at most 2^53", String(value));
  };

  const opcodes: Readonly<Record<string, () => void>> = {
    "}": () => stack.push(new Map()),
    "]": () => stack.push([]),
    ")": () => stack.push([]),
    "(": () => stack.push(MARK),
    N: () => stack.push(null),
    "\x88": () => stack.push(true),
    "\x89": () => stack.push(false),
    K: () => stack.push(view.getUint8(pass(1))),
    M: () => stack.push(view.getUint16(pass(2), true)),
    J: () => stack.push(view.getInt32(pass(4), true)),
    "\x8a": () => stack.push(long(view.getUint8(pass(1)))),
    G: () => stack.push(view.getFloat64(pass(8))),
    X: () => stack.push(text(view.getUint32(pass(4), true))),
    q: () => memo.set(view.getUint8(pass(1)), top()),
    r: () => memo.set(view.getUint32(pass(4), true), top()),
    h: () => stack.push(recall(view.getUint8(pass(1)))),
    j: () => stack.push(recall(view.getUint32(pass(4), true))),
    t: () => stack.push(popMark()),
    "\x85": () => stack.push(several(1)),
    "\x86": () => stack.push(several(2)),
    "\x87": () => stack.push(several(3)),
    a: () => append(several(1)),
    e: () => append(popMark()),
    s: () => setItems(several(2)),
    u: () => setItems(popMark()),
    c: () => stack.push(named()),
    Q: () => stack.push(makers.persistent(pop())),
    R: () => stack.push(call(pop(), pop())),
  };
  if (bytes[0] !== 0x80 || bytes[1] !== 2) refuse("pickle", "of protocol 2", [...bytes.subarray(0, 2)]);
  at = 2;
  for (;;) {
    const opcode = String.fromCharCode(view.getUint8(pass(1)));
    if (opcode === ".") break;
    const run = Object.hasOwn(opcodes, opcode) ? opcodes[opcode] : undefined;
    if (run === undefined) return refuse("an opcode", "one that plain tensors need", opcode);
    run();
  }
  const value = pop();
  if (stack.length > 0) refuse("pickle", "one value", stack.length + 1);
  return value;
}
