import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CheckpointError } from "../../../lib/errors.ts";
import { readNpy } from "../../../lib/trace/npy.ts";
import { MAX_UNPACKED_BYTES, unzip, zipEntries } from "../../../lib/trace/zip.ts";
import { expected, fixture, type Held } from "./fixtures.ts";
import { failure } from "./traces.ts";

const npz = fixture("vllm/array.npz");
const view = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
const END = npz.length - 22;
const DIRECTORY = view(npz).getUint32(END + 16, true);

/** The archive with some numbers changed. */
function changed(...changes: [at: number, value: number, bytes: 2 | 4][]): Uint8Array {
  const bytes = npz.slice();
  for (const [at, value, width] of changes)
    if (width === 2) view(bytes).setUint16(at, value, true);
    else view(bytes).setUint32(at, value, true);
  return bytes;
}

const all = async (bytes: Uint8Array): Promise<Uint8Array[]> => {
  const files: Uint8Array[] = [];
  for (const entry of zipEntries("x", bytes).values()) files.push(await unzip("x", entry));
  return files;
};

describe("a zip archive", () => {
  test("gives the files that numpy deflated", async () => {
    const entry = zipEntries("x", npz).get("routed_experts.npy")!;
    expect(entry.isDeflated).toBe(true);
    const { shape, values } = readNpy("x", await unzip("x", entry));
    expect(shape).toEqual([4, 3, 2]);
    const { expertIndices } = (expected("vllm.json") as Record<string, Held>)["array.npz"]!;
    expect([...values].filter((_, i) => i % 6 > 1)).toEqual(expertIndices); // all but the dense layer
  });

  test.each([
    ["cut short", npz.subarray(0, npz.length - 5), /archive must end with its directory, got "none/],
    ["of another kind", new Uint8Array(100), /archive must end with its directory/],
    ["whose directory lies elsewhere", changed([END + 16, npz.length, 4]), /must have its directory before byte/],
    ["that promises more files", changed([END + 10, 2, 2]), /must list 2 files, got 1/],
    ["that is encrypted", changed([DIRECTORY + 8, 1, 2]), /"routed_experts.npy" stored or deflated, got "encrypted"/],
    ["packed in another way", changed([DIRECTORY + 10, 12, 2]), /stored or deflated, got "method 12"/],
    ["stored in other than its size", changed([DIRECTORY + 10, 0, 2]), /must store "routed_experts.npy" as it is/],
    ["whose file is elsewhere", changed([DIRECTORY + 42, 5, 4]), /must hold "routed_experts.npy", got "none at 5"/],
    ["whose file goes on into the directory", changed([DIRECTORY + 20, 500, 4]), /must end before its directory/],
    [
      "that unpacks to gigabytes",
      changed([DIRECTORY + 24, MAX_UNPACKED_BYTES + 1, 4]),
      /must unpack to at most 1073741824/,
    ],
    [
      "that unpacks to more than it says",
      changed([DIRECTORY + 24, 10, 4]),
      /must unpack to 10 bytes, got "more than 10/,
    ],
    ["that unpacks to less than it says", changed([DIRECTORY + 24, 9999, 4]), /must unpack to what was packed/],
    ["with another checksum", changed([DIRECTORY + 16, 7, 4]), /must unpack to what was packed, got other bytes/],
    ["whose packed bytes are damaged", changed([DIRECTORY - 40, 0xffff, 2]), /must unpack to/],
  ])("%s is refused", async (_, bytes, message) => {
    expect(await failure(all(bytes))).toMatch(message);
  });

  test("whose files overlap, as in a bomb, or repeat a name, is refused", async () => {
    // The directory's only entry once more, so that both are the same bytes.
    const entry = npz.slice(DIRECTORY, END);
    const twice = (name: string): Uint8Array => {
      const second = entry.slice();
      second.set(new TextEncoder().encode(name), 46);
      const bytes = Uint8Array.from([...npz.subarray(0, END), ...second, ...npz.subarray(END)]);
      const at = END + second.length;
      view(bytes).setUint16(at + 10, 2, true);
      view(bytes).setUint32(at + 12, 2 * entry.length, true);
      return bytes;
    };
    expect(await failure(all(twice("routed")))).toMatch(/must give each name once, got "routed_experts.npy"$/);
    expect(await failure(all(twice("xouted")))).toMatch(
      /must have its files one after the other, got "two that overlap"$/,
    );
  });

  test("is read or refused whatever is changed in it", async () => {
    const change = fc.array(fc.record({ at: fc.nat(npz.length - 1), byte: fc.nat(255) }), {
      minLength: 1,
      maxLength: 3,
    });
    let refused = 0;
    await fc.assert(
      fc.asyncProperty(change, async (changes) => {
        const bytes = npz.slice();
        for (const { at, byte } of changes) bytes[at] = byte;
        await all(bytes).catch((error: unknown) => {
          expect(error).toBeInstanceOf(CheckpointError);
          refused++;
        });
      }),
      { numRuns: 500 },
    );
    expect(refused).toBeGreaterThan(200);
  });
});
