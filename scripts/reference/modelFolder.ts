import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { readJson } from "../../lib/checkpoint/folder.ts";
import type { ModelFolder } from "./card.ts";

/** Reads what training and the measurements left in a model's folder. */
export async function modelFolder(folder: string, run = join(folder, "run.json")): Promise<ModelFolder> {
  const read = async <T>(name: string): Promise<T> => (await readJson(join(folder, name))) as T;
  const lines = (await readFile(join(folder, "curve.jsonl"), "utf8")).trimEnd().split("\n");
  return {
    config: await read("config.json"),
    run: (await readJson(run)) as ModelFolder["run"],
    data: await read("data.json"),
    heldOut: await read("heldout.json"),
    references: await read("references.json"),
    routing: await read("specialization.json"),
    samples: await read("samples.json"),
    curve: lines.map((line) => JSON.parse(line) as ModelFolder["curve"][number]),
  };
}
