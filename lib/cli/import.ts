import { readFile } from "node:fs/promises";
import { refused, writeWhole } from "../checkpoint/node.ts";
import { ConfigError } from "../errors.ts";
import { mergeCounts } from "../trace/counts.ts";
import { writeCounts } from "../trace/countsFile.ts";
import { importRouting } from "../trace/import.ts";
import type { Imported, ImportOptions } from "../trace/imported.ts";
import { TraceWriter } from "../trace/traceWriter.ts";
import { type Command, parse, UsageError, wholeNumber } from "./command.ts";
import { progressLine } from "./progress.ts";

/** A readable file's bytes. */
async function readBytes(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw refused(path, "must be a readable file", cause);
  }
}

const OPTIONS = {
  out: { type: "string" },
  model: { type: "string" },
  experts: { type: "string" },
  "top-k": { type: "string" },
  layers: { type: "string" },
  "layer-numbers": { type: "string" },
  "prompt-start": { type: "string" },
} as const;

type Values = { [option in keyof typeof OPTIONS]?: string };

function importOptions(values: Values): ImportOptions {
  const number = (option: keyof Values): number | undefined =>
    values[option] === undefined ? undefined : wholeNumber(`--${option}`, values[option]);
  const given = {
    model: values.model,
    nExperts: number("experts"),
    topK: number("top-k"),
    nLayers: number("layers"),
    layers: values["layer-numbers"]?.split(",").map((layer) => wholeNumber("--layer-numbers", layer)),
    promptStart: number("prompt-start"),
  };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}

export const importCommand: Command = {
  usage: "moescope import FILE... --out FILE [--experts N] [--top-k N] [--layers N] [--model NAME]",
  summary: "Reads the routing that another engine recorded and writes it as a trace.",
  details: [
    "FILE             recordings of one model, taken together; the content tells what they are: answers of vLLM or SGLang",
    "                 (JSON, .npy, .npz), router logits of transformers (.safetensors, .npz), importance matrices of llama.cpp (.gguf),",
    "                 dumps of OLMoE's analysis (.jsonl), files of SGLang's expert distribution recorder (.pt)",
    "--out            the Parquet file to write; it is written whole or not at all",
    "--experts        experts of a layer, where the recording does not say it",
    "--top-k          experts per token, where the recording does not say it",
    "--layers         layers in the recording, dense ones included, where it does not say it",
    "--layer-numbers  the model's numbers of these layers, as in 1,2,3 (default: from 0 on)",
    "--prompt-start   tokens at the start of each prompt that were not recorded (default 0)",
    "--model          the model's name, for the record",
  ].join("\n"),
  async run(args) {
    const { values, positionals: paths } = parse(args, ["FILE..."], OPTIONS);
    const { out } = values;
    if (out === undefined) throw new UsageError("moescope: must be given --out FILE");
    const options = importOptions(values);
    const findings: string[] = [];
    const line = progressLine();
    const read = async (path: string): Promise<Imported> => {
      line.show(`${path}  ${paths.indexOf(path)}/${paths.length} files`);
      const imported = await importRouting(path, await readBytes(path), options);
      findings.push(...imported.findings.map((finding) => `${path}: ${finding}`));
      return imported;
    };
    const [firstPath, ...others] = paths as [string, ...string[]];
    const first = await read(firstPath);
    let nTokens = 0;
    const mixed = (path: string, kind: Imported["kind"]): never => {
      throw new ConfigError(`${path}: must hold ${first.kind} as ${firstPath} does, got ${kind}`);
    };
    await writeWhole(out, async (sink) => {
      if (first.kind === "counts") {
        const all = [first.counts];
        for (const path of others) {
          const imported = await read(path);
          all.push(imported.kind === "counts" ? imported.counts : mixed(path, imported.kind));
        }
        return writeCounts(sink, mergeCounts(all));
      }
      const writer = new TraceWriter(sink);
      const add = async (path: string, imported: Imported): Promise<void> => {
        if (imported.kind === "counts") return mixed(path, imported.kind);
        await writer.add(imported.trace);
        nTokens += imported.trace.tokenIds.length;
      };
      await add(firstPath, first);
      for (const path of others) await add(path, await read(path));
      await writer.end();
    });
    line.clear();
    const what = first.kind === "counts" ? "counts" : `${nTokens} tokens`;
    console.log([`${what} of ${paths.length} file(s) written to ${out}`, ...findings].join("\n"));
  },
};
