import { describe, expect, test } from "vitest";
import { type PickleMakers, readPickle } from "../../../lib/trace/pickle.ts";
import { failure } from "./traces.ts";

const MAKERS: PickleMakers = {
  calls: { "a.pair": (args) => ["pair", ...args] },
  names: ["a.name"],
  persistent: (id) => ["id", id],
};
/** A pickle of protocol 2 from opcodes and their arguments, texts as their characters. */
const bytes = (...parts: (string | number[])[]) =>
  Uint8Array.from([0x80, 2, ...parts.flatMap((part) => [...Buffer.from(part as string, "latin1")])]);
const read = (...parts: (string | number[])[]) => readPickle("x", bytes(...parts), MAKERS);

describe("readPickle", () => {
  // What `pickletools.dis` of Python shows for these values.
  test.each<[unknown, (string | number[])[]]>([
    [null, ["N."]],
    [[true, false], ["\x88\x89\x86."]],
    [
      [1, 0x0201, -2],
      ["K\x01M\x01\x02J", [254, 255, 255, 255], "\x87."],
    ],
    [2 ** 40, ["\x8a\x06", [0, 0, 0, 0, 0, 1], "."]],
    [-1, ["\x8a\x01\xff."]],
    [0, ["\x8a\x00."]],
    [1.5, ["G", [0x3f, 0xf8, 0, 0, 0, 0, 0, 0], "."]],
    ["é", ["X", [2, 0, 0, 0, 0xc3, 0xa9], "."]],
    [[1, 2, 3], ["](K\x01K\x02eK\x03a."]],
    [new Map([[1, [2]]]), ["}K\x01K\x02\x85s."]],
    [new Map([[1, 2]]), ["}(K\x01K\x02u."]],
    [[7, 7], ["K\x07q\x05h\x05\x86."]],
    [["pair", 1], ["ca\npair\nK\x01\x85R."]],
    [["id", 3], ["K\x03Q."]],
  ])("reads %j", (value, parts) => {
    expect(read(...parts)).toEqual(value);
  });

  test.each<[string, (string | number[])[], RegExp]>([
    ["a forbidden name", ["cos\nsystem\nX", [2, 0, 0, 0], "ls\x85R."], /nothing is run\), got "os\.system"$/],
    ["a name of every object", ["ca\nconstructor\n."], /got "a\.constructor"$/],
    ["a call of a name that only stands for itself", ["ca\nname\n)R."], /a call in a pickle must be an allowed one/],
    ["a call of a value", ["K\x01)R."], /a call in a pickle must be an allowed one/],
    ["an instance", ["ca\npair\n)\x81."], /an opcode must be one that plain tensors need/],
    ["a state of an instance", ["]}b."], /an opcode must be one that plain tensors need, got "b"$/],
    ["a name from the stack", ["K\x01K\x01\x93."], /an opcode must be/],
    ["a pickle without end", ["K\x01"], /pickle must be whole, got "one that ends after 4 bytes"$/],
    ["a text that is too long", ["X", [255, 255, 255, 255], "a."], /pickle must be whole/],
    ["a name without end", ["ca"], /pickle must be whole/],
    ["an empty stack", ["."], /pickle must be well formed, got "too few values"$/],
    ["a mark as a value", ["(."], /too few values/],
    ["a missing mark", ["K\x01t."], /no mark/],
    ["several values", ["K\x01K\x02."], /pickle must be one value, got 2$/],
    ["a memo that was not made", ["h\x07."], /memo must be known, got 7$/],
    ["items for a number", ["K\x01K\x01K\x01s."], /what gets items must be a dict/],
    ["an append to a number", ["K\x01K\x01a."], /what is appended to must be a list/],
    ["a whole number past 2^53", ["\x8a\x08", [0, 0, 0, 0, 0, 0, 0, 127], "."], /at most 2\^53/],
  ])("refuses %s", async (_, parts, message) => {
    expect(await failure(Promise.resolve().then(() => read(...parts)))).toMatch(message);
  });

  test("refuses another protocol", async () => {
    const other = Uint8Array.from([0x80, 4, 0x4e, 0x2e]);
    expect(await failure(Promise.resolve().then(() => readPickle("x", other, MAKERS)))).toBe(
      "x: pickle must be of protocol 2, got [128,4]",
    );
  });
});
