import { access, constants } from "node:fs/promises";
import { dirname } from "node:path";
import { loadTokenizer, readConfig, readText } from "../checkpoint/folder.ts";
import { refused, writeSafetensors } from "../checkpoint/node.ts";
import type { TensorData } from "../checkpoint/write.ts";
import { matchHooks } from "../hooks.ts";
import { checkTokens } from "../tokens.ts";
import { type Command, parse, UsageError } from "./command.ts";
import { MEMORY_HELP, openModel } from "./model.ts";

/** `5,17,3;1,1,90`: rows of ids. */
function parseIds(text: string): number[][] {
  return text.split(";").map((row) =>
    row.split(",").map((id) => {
      if (!/^\s*\d+\s*$/.test(id)) throw new UsageError(`moescope: --ids must be like "5,17,3;1,1,90", got ${text}`);
      return Number(id);
    }),
  );
}

export const captureCommand: Command = {
  usage:
    'moescope capture MODEL (--ids "5,17,3;1,1,90" | --text T | --file F) [--hooks GLOB,GLOB] [--memory GB] --out FILE.safetensors',
  summary: "Runs a text through a model and writes its activations, each under its hook's name, and the logits.",
  details: [
    "--ids    rows of token ids, separated by semicolons; each row is a sequence of the batch",
    "--text   a text, encoded with the model's tokenizer",
    "--file   a file with a text",
    "--hooks  names or globs, separated by commas (default: all), such as blocks.*.mlp.hook_router_*",
    MEMORY_HELP,
    "--out    the file to write; float32 and int32, with the token ids as `tokens`",
  ].join("\n"),
  async run(args) {
    const { values, positionals } = parse(args, ["MODEL"], {
      ids: { type: "string" },
      text: { type: "string" },
      file: { type: "string" },
      hooks: { type: "string", default: "*" },
      memory: { type: "string" },
      out: { type: "string" },
    });
    const { ids, text, file, hooks, out } = values;
    if ([ids, text, file].filter((source) => source !== undefined).length !== 1)
      throw new UsageError("moescope: must be given one of --ids, --text and --file");
    if (out === undefined) throw new UsageError("moescope: must be given --out FILE.safetensors");
    const folder = positionals[0]!;
    const rows = ids === undefined ? null : parseIds(ids);
    const names = hooks.split(",").map((glob) => glob.trim());
    // All that can be wrong is looked at before the weights are loaded, which takes its time.
    const config = await readConfig(folder);
    const tokens = rows ?? [(await loadTokenizer(folder)).encode(text ?? (await readText(file!)))];
    checkTokens(tokens, config, 0);
    matchHooks(names, config);
    // The dot fails where the path is not a folder.
    await access(`${dirname(out)}/.`, constants.W_OK).catch((cause: unknown) => {
      throw refused(out, "must be writable", cause);
    });
    const { model, clearLine } = await openModel(folder, values.memory);
    const { logits, cache } = model.runWithCache(tokens, { names });
    clearLine();
    const tensors: TensorData[] = cache.names
      .filter((name) => name !== "logits")
      .map((name) => {
        const value = cache.get(name);
        const { shape } = value;
        return value.dtype === "int32"
          ? { name, shape, dtype: "I32", data: value.dataSync<"int32">() }
          : { name, shape, dtype: "F32", data: value.dataSync<"float32">() };
      });
    tensors.push({ name: "logits", shape: logits.shape, dtype: "F32", data: logits.dataSync<"float32">() });
    const [batch, pos] = logits.shape;
    tensors.push({ name: "tokens", shape: [batch, pos], dtype: "I32", data: Int32Array.from(tokens.flat()) });
    await writeSafetensors(out, tensors, { metadata: { model: folder } });
    console.log(`${tensors.length} tensors of ${batch} x ${pos} tokens written to ${out}`);
    cache.dispose();
    logits.dispose();
    model.dispose();
  },
};
