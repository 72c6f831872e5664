import { mkdir } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { loadTokenizer, readConfig, readText } from "../checkpoint/folder.ts";
import { writeWhole } from "../checkpoint/node.ts";
import { clock } from "../clock.ts";
import { moeOf } from "../config.ts";
import { type TextOfKind, traceTexts } from "../trace/traceTexts.ts";
import { TraceWriter } from "../trace/traceWriter.ts";
import { type Command, parse, UsageError, wholeNumber } from "./command.ts";
import { MEMORY_HELP, openModel } from "./model.ts";
import { progressLine } from "./progress.ts";

/** A file that is to be read; its folder's name says of what kind it is. */
interface TextFile extends TextOfKind {
  path: string;
}

export const traceCommand: Command = {
  usage: "moescope trace MODEL FILE... --out DIR [--window N] [--probs] [--memory GB]",
  summary: "Runs texts through a model and writes the routing of every token to DIR/trace.parquet.",
  details: [
    "FILE      texts; the folder that a file is in names its domain, as in texts/code/a.ts texts/prose/b.txt",
    "--out     the folder to write; trace.parquet has one row per token and layer",
    "--window  most tokens to read together (default: the model's context); longer texts are cut, and each piece starts anew",
    "--probs   also writes the router's probability of every expert",
    MEMORY_HELP,
  ].join("\n"),
  async run(args) {
    const { values, positionals } = parse(args, ["MODEL", "FILE..."], {
      out: { type: "string" },
      window: { type: "string" },
      probs: { type: "boolean", default: false },
      memory: { type: "string" },
    });
    if (values.out === undefined) throw new UsageError("moescope: must be given --out DIR");
    const [folder, ...paths] = positionals as [string, ...string[]];
    const config = await readConfig(folder);
    moeOf(config, "moescope trace");
    const { nCtx } = config;
    const window = values.window === undefined ? nCtx : wholeNumber("--window", values.window);
    if (window < 1 || window > nCtx)
      throw new UsageError(`moescope: --window must be from 1 to the model's context (${nCtx}), got ${window}`);
    const tokenizer = await loadTokenizer(folder);
    const texts: TextFile[] = [];
    for (const path of paths) texts.push({ path, kind: basename(dirname(resolve(path))), text: await readText(path) });
    const total = texts.reduce((sum, { text }) => sum + tokenizer.encode(text).length, 0);
    if (total === 0) throw new RangeError("moescope trace: the texts must have at least one token, got none");
    const { model } = await openModel(folder, values.memory);
    const out = join(values.out, "trace.parquet");
    await mkdir(values.out, { recursive: true });
    const options = { name: basename(resolve(folder)), window, probs: values.probs };
    const line = progressLine();
    const started = performance.now();
    let done = 0;
    await writeWhole(out, async (sink) => {
      const writer = new TraceWriter(sink);
      for (const file of texts)
        for (const part of traceTexts(model, tokenizer, [file], options)) {
          await writer.add(part);
          done += part.tokenIds.length;
          const seconds = (performance.now() - started) / 1000;
          line.show(`${file.path}  ${done}/${total} tokens  ${clock((seconds * (total - done)) / done)} left`);
        }
      await writer.end();
    });
    line.clear();
    const kinds = [...new Set(texts.map(({ kind }) => kind))];
    console.log(`${total} tokens of ${texts.length} texts (${kinds.join(", ")}) written to ${out}`);
    model.dispose();
  },
};
