import { spawn } from "node:child_process";
import { mkdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { saveModel } from "../../../lib/checkpoint/folder.ts";
import type { ModelConfig } from "../../../lib/config.ts";
import { trainBpe } from "../../../lib/train/bpe.ts";
import { randomModel, TINY } from "../../helpers.ts";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
export const GOLDEN = join(ROOT, "test/golden/dbrx");

/** What a process printed, and how it ended: its exit code, or null where a signal ended it. */
export interface Ended {
  code: number | null;
  out: string;
  err: string;
}

export interface ChildOptions {
  /** Working folder. */
  cwd?: string;
  /** Default: what useBackend chooses. */
  backend?: string;
  /** Called with each piece of standard output. */
  onOut?: (piece: string) => void;
  /** Nobody reads standard output: the pipe is closed at once. */
  closeOut?: boolean;
  /** Called with the process as soon as it runs. */
  onStart?: (kill: () => void) => void;
  /** No file may grow beyond this many blocks of 512 bytes, as on a full disk. */
  mostBlocks?: number;
}

/**
 * Standard error without the two lines that TensorFlow's library prints as it is loaded into memory, before anything
 * can ask it not to.
 */
export function withoutNoise(err: string): string {
  return err.replace(/^(WARNING: All log messages before absl|I0000 .*oneDNN custom operations are on).*\n/gm, "");
}

/** The command line as one file of JavaScript: it starts in half the time that its sources need. */
async function bundled(): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [join(ROOT, "lib/cli/main.ts")],
    bundle: true,
    platform: "node",
    format: "esm",
    packages: "external",
    write: false,
  });
  const folder = join(ROOT, ".cache/test");
  await mkdir(folder, { recursive: true });
  const temporary = join(folder, `moescope.${process.pid}.mjs`);
  await writeFile(temporary, outputFiles[0]!.contents);
  await rename(temporary, join(folder, "moescope.mjs"));
  return join(folder, "moescope.mjs");
}
let bundle: Promise<string> | null = null;

/** Runs the command line in a process of its own. */
export async function moescope(args: readonly string[], options: ChildOptions = {}): Promise<Ended> {
  const { cwd = ROOT, backend, onOut, onStart, mostBlocks, closeOut = false } = options;
  bundle ??= bundled();
  const node = [process.execPath, await bundle, ...args];
  const command = mostBlocks === undefined ? node : ["sh", "-c", `ulimit -f ${mostBlocks}; exec "$@"`, "sh", ...node];
  const env = { ...process.env, ...(backend === undefined ? {} : { MOESCOPE_BACKEND: backend }) };
  const child = spawn(command[0]!, command.slice(1), { cwd, env });
  const ended: Ended = { code: null, out: "", err: "" };
  child.stdout.setEncoding("utf8").on("data", (piece: string) => {
    ended.out += piece;
    onOut?.(piece);
  });
  if (closeOut) child.stdout.destroy();
  child.stderr.setEncoding("utf8").on("data", (piece: string) => {
    ended.err += piece;
  });
  onStart?.(() => child.kill("SIGKILL"));
  ended.code = await new Promise((resolve, reject) => child.on("error", reject).on("close", resolve));
  return ended;
}

/** Texts with letters of several lengths in UTF-8. */
export const TEXTS = [
  "the router sends each token to two experts, and the experts answer.",
  "Die Größe der Schichten: ölig, süß, 専門家 und 😀.",
];

/** A model folder with random weights and a byte-level tokenizer. */
export async function writeTinyModel(folder: string, change: Partial<ModelConfig> = {}): Promise<ModelConfig> {
  const tokenizer = trainBpe(TEXTS, { vocabSize: 300 });
  const config = { ...TINY, dVocab: Object.keys(tokenizer.model.vocab).length, nCtx: 64, ...change };
  const model = randomModel(config, 9, 1.5);
  await saveModel(folder, model, "F32");
  model.dispose();
  await writeFile(join(folder, "tokenizer.json"), JSON.stringify(tokenizer));
  return config;
}
