import { loadTokenizer, readConfig, readStopTokens } from "../checkpoint/folder.ts";
import { generate } from "../generate.ts";
import { checkSampling } from "../sample.ts";
import { checkTokens } from "../tokens.ts";
import { type Command, parse, realNumber, UsageError, wholeNumber } from "./command.ts";
import { MEMORY_HELP, openModel } from "./model.ts";

export const generateCommand: Command = {
  usage: "moescope generate MODEL --text T [-n 50] [--seed 1] [--memory GB]",
  summary: "Continues a text, token by token, up to one that ends a text.",
  details: [
    "--text         the text to continue",
    "-n             most tokens to generate (default 50)",
    "--seed         the same seed gives the same text (default 1)",
    "--temperature  0 takes the likeliest token (default 0.8)",
    "--top-k        draw only from the k likeliest tokens",
    "--top-p        draw only from the likeliest tokens that reach this probability (default 0.95)",
    MEMORY_HELP,
  ].join("\n"),
  async run(args) {
    const { values, positionals } = parse(args, ["MODEL"], {
      text: { type: "string" },
      n: { type: "string", short: "n", default: "50" },
      seed: { type: "string", default: "1" },
      temperature: { type: "string", default: "0.8" },
      "top-k": { type: "string" },
      "top-p": { type: "string", default: "0.95" },
      memory: { type: "string" },
    });
    const { text } = values;
    if (text === undefined) throw new UsageError("moescope: must be given --text T");
    const topK = values["top-k"];
    const options = {
      maxTokens: wholeNumber("-n", values.n),
      seed: wholeNumber("--seed", values.seed),
      temperature: realNumber("--temperature", values.temperature),
      topP: realNumber("--top-p", values["top-p"]),
      ...(topK === undefined ? {} : { topK: wholeNumber("--top-k", topK) }),
    };
    const folder = positionals[0]!;
    // All that can be wrong is looked at before the weights are loaded, which takes its time.
    checkSampling(options);
    const config = await readConfig(folder);
    const tokenizer = await loadTokenizer(folder);
    const prompt = tokenizer.encode(text);
    checkTokens(prompt, config, 0);
    const end = tokenizer.specials.get("<|endoftext|>");
    const stopIds = [...(await readStopTokens(folder)), ...(end === undefined ? [] : [end])];
    const { model, clearLine } = await openModel(folder, values.memory);
    // A token may end inside a character: what is printed is the text so far, less what was printed before.
    const decoder = new TextDecoder();
    process.stdout.write(text);
    for await (const id of generate(model, prompt, { ...options, stopIds })) {
      clearLine();
      process.stdout.write(decoder.decode(tokenizer.pieces([id])[0]!.bytes, { stream: true }));
    }
    clearLine();
    process.stdout.write(`${decoder.decode()}\n`);
    model.dispose();
  },
};
