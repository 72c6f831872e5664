import { realpathSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { SetupError } from "./run.mjs";

/**
 * The options and words of a command; prints the usage and exits when they are not understood, or asked for.
 * @param {string} usage
 * @param {object} options as for `parseArgs`
 */
export function readArguments(usage, options, allowPositionals) {
  const refuse = (problem) => {
    console.error(`${problem}\n\n${usage}`);
    process.exit(2);
  };
  let parsed;
  try {
    parsed = parseArgs({ options: { ...options, help: { type: "boolean", short: "h" } }, allowPositionals });
  } catch (error) {
    return refuse(error.message);
  }
  if (parsed.values.help) {
    console.log(usage);
    process.exit(0);
  }
  return { ...parsed, refuse };
}

/** Runs a command, which may return an exit code; what stops it is said on stderr, without a stack, and gives 1. */
export async function main(command) {
  try {
    process.exitCode = (await command()) ?? 0;
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    console.error(error.message);
    process.exitCode = 1;
  }
}

/** Whether the module with this address is the one that node was told to run. */
export const isMain = (url) => realpathSync(process.argv[1]) === fileURLToPath(url);
