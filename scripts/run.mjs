import { spawn } from "node:child_process";
import { createWriteStream, mkdirSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";

/** The repository's folder. */
export const root = fileURLToPath(new URL("..", import.meta.url));

/** A path as a message shows it. */
export const shown = (path) => relative(root, path);

/** What stops the set-up, in words for the reader: what is wrong and what to do. */
export class SetupError extends Error {}

const children = new Set();
let interrupted = false;
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"])
  process.on(signal, () => {
    interrupted = true;
    for (const child of children) endGroup(child);
  });

function endGroup(child) {
  try {
    process.kill(-child.pid, "SIGTERM");
  } catch {
    // It has ended by itself.
  }
}

/**
 * Starts a program in a process group of its own, so that it ends with everything it started when we are interrupted.
 * @returns {{child: import("node:child_process").ChildProcess, ended: Promise<number>}} `ended` gives the exit code
 */
export function start(command, args, { cwd = root, env = {}, stdio = "inherit" } = {}) {
  const child = spawn(command, args, { cwd, env: { ...process.env, ...env }, stdio, detached: true });
  children.add(child);
  const ended = new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve(code ?? 1));
  }).finally(() => children.delete(child));
  return { child, ended };
}

/**
 * Runs a program to its end; its output goes to `.cache/logs/NAME.log`.
 * @param {{cwd?: string, env?: object, limit?: number}} options `limit` in seconds, after which it is ended
 * @returns {Promise<{ok: boolean, output: string, log: string}>} `log` is relative to the repository
 */
export async function run(name, command, args, { limit = 0, ...options } = {}) {
  const folder = join(root, ".cache", "logs");
  mkdirSync(folder, { recursive: true });
  const file = join(folder, `${name}.log`);
  const log = createWriteStream(file);
  log.write(`$ ${[command, ...args].join(" ")}\n`);
  let output = "";
  const keep = (text) => {
    output += text;
    log.write(text);
  };
  let timer;
  let code = 1;
  try {
    const { child, ended } = start(command, args, { ...options, stdio: ["ignore", "pipe", "pipe"] });
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", keep);
    if (limit > 0)
      timer = setTimeout(() => {
        keep(`\nended after ${limit} s without a result\n`);
        endGroup(child);
      }, limit * 1000);
    code = await ended;
  } catch (error) {
    keep(`${error.message}\n`);
  }
  clearTimeout(timer);
  log.end();
  if (interrupted) process.exit(130);
  return { ok: code === 0, output, log: shown(file) };
}
