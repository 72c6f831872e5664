import { mkdir } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { loadModel, loadTokenizer, readConfig, readText } from "../checkpoint/folder.ts";
import { writeWhole } from "../checkpoint/node.ts";
import { clock } from "../clock.ts";
import { routingTrace } from "../trace/capture.ts";
import { TraceWriter } from "../trace/traceWriter.ts";
import { type Command, parse, UsageError, wholeNumber } from "./command.ts";
import { progressLine } from "./progress.ts";

/** A text that is to be read, with the kind that its folder's name says it is. */
interface Text {
  path: string;
  domain: string;
  ids: number[];
}

export const traceCommand: Command = {
  usage: "moescope trace MODEL FILE... --out DIR [--window N] [--probs]",
  summary: "Runs texts through a model and writes the routing of every token to DIR/trace.parquet.",
  details: [
    "FILE      texts; the folder that a file is in names its domain, as in texts/code/a.ts texts/prose/b.txt",
    "--out     the folder to write; trace.parquet has one row per token and layer",
    "--window  most tokens to read together (default: the model's context); longer texts are cut, and each piece starts anew",
    "--probs   also writes the router's probability of every expert",
  ].join("\n"),
  async run(args) {
    const { values, positionals } = parse(args, ["MODEL", "FILE..."], {
      out: { type: "string" },
      window: { type: "string" },
      probs: { type: "boolean", default: false },
    });
    if (values.out === undefined) throw new UsageError("moescope: must be given --out DIR");
    const [folder, ...paths] = positionals as [string, ...string[]];
    const { nCtx, nLayers } = await readConfig(folder);
    const window = values.window === undefined ? nCtx : wholeNumber("--window", values.window);
    if (window < 1 || window > nCtx)
      throw new UsageError(`moescope: --window must be from 1 to the model's context (${nCtx}), got ${window}`);
    const tokenizer = await loadTokenizer(folder);
    const texts: Text[] = [];
    for (const path of paths) {
      const ids = tokenizer.encode(await readText(path));
      texts.push({ path, domain: basename(dirname(resolve(path))), ids });
    }
    const total = texts.reduce((sum, { ids }) => sum + ids.length, 0);
    if (total === 0) throw new RangeError("moescope trace: the texts must have at least one token, got none");
    const model = await loadModel(folder);
    const out = join(values.out, "trace.parquet");
    await mkdir(values.out, { recursive: true });
    const names = ["indices", "weights"].map((part) => `blocks.*.mlp.hook_expert_${part}`);
    if (values.probs) names.push("blocks.*.mlp.hook_router_probs");
    const line = progressLine();
    const started = performance.now();
    let done = 0;
    await writeWhole(out, async (sink) => {
      const writer = new TraceWriter(sink);
      for (const { path, domain, ids } of texts)
        for (let start = 0; start < ids.length; start += window) {
          const tokens = [ids.slice(start, start + window)];
          const { logits, cache } = model.runWithCache(tokens, { names, stopAtLayer: nLayers });
          const captured = { cache, config: model.config, tokens, pieces: tokenizer.pieces(tokens[0]!) };
          await writer.add({ ...routingTrace(captured, basename(resolve(folder))), domains: [domain] });
          cache.dispose();
          logits.dispose();
          done += tokens[0]!.length;
          const seconds = (performance.now() - started) / 1000;
          line.show(`${path}  ${done}/${total} tokens  ${clock((seconds * (total - done)) / done)} left`);
        }
      await writer.end();
    });
    line.clear();
    const domains = [...new Set(texts.map(({ domain }) => domain))];
    console.log(`${total} tokens of ${texts.length} texts (${domains.join(", ")}) written to ${out}`);
    model.dispose();
  },
};
