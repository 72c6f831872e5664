import {
  type FileHandle,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  rm,
  symlink,
  truncate,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { fileSource, openFolder, writeSafetensors } from "../../../lib/checkpoint/node.ts";
import type { TensorData } from "../../../lib/checkpoint/write.ts";
import { CheckpointError, ShapeError } from "../../../lib/errors.ts";
import { bitsOf, fileOf, golden, goldenPath } from "./files.ts";

vi.mock("node:fs/promises", async (original) => {
  const fs = await original<typeof import("node:fs/promises")>();
  return { ...fs, open: vi.fn(fs.open) };
});

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "moescope-"));
});
afterEach(async () => {
  await rm(dir, { recursive: true });
});

const INDEX = "model.safetensors.index.json";
const one = (name: string, value: number): TensorData => ({
  name,
  dtype: "F32",
  shape: [1],
  data: Float32Array.of(value),
});

/** Two files of one tensor each ("a" and "b"), and an index over them. */
async function writeShards(weightMap: Record<string, unknown>): Promise<void> {
  await writeSafetensors(join(dir, "m-1.safetensors"), [one("a", 1)]);
  await writeSafetensors(join(dir, "m-2.safetensors"), [one("b", 2)]);
  await writeFile(join(dir, INDEX), JSON.stringify({ metadata: {}, weight_map: weightMap }));
}

describe("opening", () => {
  test("a file by its path reads what PyTorch wrote", async () => {
    const checkpoint = await openFolder(fileURLToPath(goldenPath));
    expect(bitsOf(await checkpoint.readFloat32("experts.w1", [3, 6]))).toEqual(
      golden.bits["experts.w1"]?.slice(15, 30),
    );
    await checkpoint.close();
  });

  test("a folder takes its model.safetensors", async () => {
    await writeSafetensors(join(dir, "model.safetensors"), [one("a", 5)]);
    await writeSafetensors(join(dir, "other.safetensors"), [one("b", 6)]);
    const checkpoint = await openFolder(dir);
    expect([...checkpoint.tensors.keys()]).toEqual(["a"]);
    expect(checkpoint.info.files).toBe(1);
    await checkpoint.close();
  });

  test("a folder of shards takes those of its index", async () => {
    await writeShards({ a: "m-1.safetensors", b: "m-2.safetensors" });
    const checkpoint = await openFolder(dir);
    expect([...(await checkpoint.readFloat32("a")), ...(await checkpoint.readFloat32("b"))]).toEqual([1, 2]);
    expect(checkpoint.info.files).toBe(2);
    await checkpoint.close();
  });

  test("follows a link to a file, as download caches keep them", async () => {
    await writeSafetensors(join(dir, "blob"), [one("a", 5)]);
    await symlink(join(dir, "blob"), join(dir, "model.safetensors"));
    const checkpoint = await openFolder(dir);
    expect([...(await checkpoint.readFloat32("a"))]).toEqual([5]);
    await checkpoint.close();
  });
});

/** The message of the CheckpointError that opening ends in. */
async function message(path: string): Promise<string> {
  const error = await openFolder(path).then(
    () => null,
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(CheckpointError);
  return (error as CheckpointError).message.replaceAll(dir, "DIR");
}

describe("opening fails in one line", () => {
  test("where nothing is there, or something else", async () => {
    expect(await message(join(dir, "no"))).toBe(
      "DIR/no: must be a folder or a .safetensors file, got ENOENT: no such file or directory, scandir 'DIR/no'",
    );
    expect(await message(join(dir, "no.safetensors"))).toBe(
      "DIR/no.safetensors: must be a readable file, got ENOENT: no such file or directory, stat 'DIR/no.safetensors'",
    );
    await writeFile(join(dir, "model.bin"), "");
    expect(await message(join(dir, "model.bin"))).toBe(
      "DIR/model.bin: must be a folder or a .safetensors file, got ENOTDIR: not a directory, scandir 'DIR/model.bin'",
    );
    await mkdir(join(dir, "sub.safetensors"));
    expect(await message(join(dir, "sub.safetensors"))).toBe(
      "DIR/sub.safetensors: must be a readable file, got something else",
    );
    await symlink("/dev/zero", join(dir, "zero.safetensors"));
    expect(await message(join(dir, "zero.safetensors"))).toBe(
      "DIR/zero.safetensors: must be a readable file, got something else",
    );
  });

  test("where a folder holds no checkpoint, and it says what is there", async () => {
    const expected = `DIR: folder must hold model.safetensors or ${INDEX}, got`;
    expect(await message(dir)).toBe(`${expected} nothing`);
    await writeFile(join(dir, "config.json"), "{}");
    await writeFile(join(dir, "pytorch_model.bin"), "");
    expect(await message(dir)).toBe(`${expected} "config.json", "pytorch_model.bin"`);
  });

  test("where a file is cut short", async () => {
    const path = join(dir, "model.safetensors");
    await writeSafetensors(path, [one("a", 5)]);
    const { length } = await readFile(path);
    await truncate(path, length - 1);
    expect(await message(dir)).toBe(
      `DIR/model.safetensors: tensor "a": must end within the file's ${length - 1} bytes, got an end at ${length}`,
    );
  });

  test("where the index leads out of the folder, and nothing is opened", async () => {
    await mkdir(join(dir, "in"));
    await writeShards({});
    await writeFile(join(dir, "in", INDEX), JSON.stringify({ weight_map: { a: "../m-1.safetensors" } }));
    expect(await message(join(dir, "in"))).toBe(
      `DIR/in/${INDEX}: tensor "a": file must be a plain name ending in .safetensors, got "../m-1.safetensors"`,
    );
  });

  test("where index and shards disagree", async () => {
    await writeShards({ a: "m-1.safetensors", b: "m-2.safetensors", c: "m-3.safetensors" });
    expect(await message(dir)).toBe(
      "DIR/m-3.safetensors: must be a readable file, got ENOENT: no such file or directory, stat 'DIR/m-3.safetensors'",
    );
    await writeShards({ a: "m-1.safetensors", b: "m-1.safetensors" });
    expect(await message(dir)).toBe('DIR: tensor "b" must be in m-1.safetensors by the index, got a file without it');
    await writeShards({ a: "m-1.safetensors", c: "m-2.safetensors" });
    expect(await message(dir)).toBe(
      'DIR/m-2.safetensors: tensor "b": must be in the file that the index names, got "none"',
    );
  });

  test("where the index names more files than may be open", async () => {
    await writeShards(Object.fromEntries(Array.from({ length: 513 }, (_, i) => [`t${i}`, `m-${i}.safetensors`])));
    expect(await message(dir)).toBe(`DIR/${INDEX}: index must name at most 512 files, got 513`);
  });

  test("and leaves no file open", async () => {
    await writeShards({ a: "m-1.safetensors", b: "m-2.safetensors", c: "m-2.safetensors" });
    vi.mocked(open).mockClear();
    await message(dir);
    const handles = await Promise.all(
      vi.mocked(open).mock.results.map((result) => result.value as Promise<FileHandle>),
    );
    expect(handles.map((handle) => handle.fd)).toEqual([-1, -1, -1]); // the index and both shards
  });
});

test("a file that shrinks while it is open is an error, not zeros", async () => {
  const path = join(dir, "x.safetensors");
  await writeFile(path, fileOf({ w: { dtype: "U8", shape: [100], data_offsets: [0, 100] } }, 100));
  const checkpoint = await openFolder(path);
  const { start, end } = checkpoint.tensor("w");
  await truncate(path, start + 10);
  await expect(checkpoint.readInt32("w")).rejects.toThrow(
    new CheckpointError(`${path}: file must keep its ${end} bytes, got its end at ${start + 10}`),
  );
  await checkpoint.close();
});

test("a closed file is an error", async () => {
  const source = await fileSource(fileURLToPath(goldenPath));
  await source.close();
  await expect(source.read(0, 8)).rejects.toThrow(/: bytes 0 to 8 must be readable, got .*closed/);
});

describe("writing", () => {
  test("leaves the file alone in its folder, and replaces a former one", async () => {
    const path = join(dir, "out.safetensors");
    await writeSafetensors(path, [one("a", 1)], { metadata: { step: "1" } });
    await writeSafetensors(path, [one("a", 2)], { metadata: { step: "2" } });
    expect(await readdir(dir)).toEqual(["out.safetensors"]);
    const checkpoint = await openFolder(path);
    expect([...(await checkpoint.readFloat32("a"))]).toEqual([2]);
    await checkpoint.close();
  });

  test.each(["writeFile", "sync", "close"] as const)(
    "on a disk that is full at %s keeps the former file, removes its own and says why",
    async (step) => {
      const path = join(dir, "out.safetensors");
      await writeSafetensors(path, [one("a", 1)]);
      const former = await readFile(path);
      const really = vi.mocked(open).getMockImplementation()!;
      vi.mocked(open).mockImplementationOnce(async (...args) => {
        const handle = await really(...args);
        const close = handle.close.bind(handle);
        handle[step] = async () => {
          if (step === "close") await close(); // closed, but what was not yet written is lost
          throw new Error("ENOSPC: no space left on device");
        };
        return handle;
      });
      await expect(writeSafetensors(path, [one("a", 2)])).rejects.toThrow(
        new CheckpointError(`${path}: must be writable, got ENOSPC: no space left on device`),
      );
      expect(await readdir(dir)).toEqual(["out.safetensors"]);
      expect(await readFile(path)).toEqual(former);
    },
  );

  test("over a folder, or into no folder, fails and leaves nothing", async () => {
    await mkdir(join(dir, "sub.safetensors"));
    await expect(writeSafetensors(join(dir, "sub.safetensors"), [one("a", 1)])).rejects.toThrow(
      /sub\.safetensors: must be writable, got something else than a file$/,
    );
    await writeFile(join(dir, "file"), "");
    for (const parent of ["no", "file"])
      await expect(writeSafetensors(join(dir, parent, "x.safetensors"), [one("a", 1)])).rejects.toThrow(
        /x\.safetensors: must be writable, got (ENOENT|ENOTDIR)/,
      );
    expect(await readdir(dir)).toEqual(["file", "sub.safetensors"]);
  });

  test("wrong tensors is their own error, and no file is made", async () => {
    const wrong = { ...one("a", 1), shape: [2] };
    await expect(writeSafetensors(join(dir, "x.safetensors"), [wrong])).rejects.toThrow(ShapeError);
    expect(await readdir(dir)).toEqual([]);
  });
});
