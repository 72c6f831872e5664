#!/usr/bin/env node
import { CheckpointError, ConfigError, ShapeError } from "../errors.ts";
import { captureCommand } from "./capture.ts";
import { type Command, USAGE, UsageError } from "./command.ts";
import { generateCommand } from "./generate.ts";
import { importCommand } from "./import.ts";
import { infoCommand } from "./info.ts";
import { metricsCommand } from "./metrics.ts";
import { traceCommand } from "./trace.ts";
import { trainCommand } from "./train.ts";

const COMMANDS: Record<string, Command> = {
  info: infoCommand,
  capture: captureCommand,
  generate: generateCommand,
  train: trainCommand,
  trace: traceCommand,
  import: importCommand,
  metrics: metricsCommand,
};

function help(): string {
  const lines = Object.values(COMMANDS).map(({ usage, summary }) => `  ${usage}\n      ${summary}`);
  return `${USAGE}\n\n${lines.join("\n")}\n\nmoescope COMMAND --help says more.`;
}

/** Runs a command line. @returns the exit code: 1 for an error, 2 for wrong usage */
async function main([name, ...rest]: string[]): Promise<number> {
  if (name === "--help" || name === "-h") {
    console.log(help());
    return 0;
  }
  const command = name !== undefined && Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  try {
    if (command === undefined) {
      const known = Object.keys(COMMANDS).join(", ");
      throw new UsageError(
        `moescope: the command must be one of ${known}, got ${name ?? "nothing"} (moescope --help says more)`,
      );
    }
    if (rest.includes("--help") || rest.includes("-h")) {
      console.log(`${command.usage}\n\n${command.summary}\n\n${command.details}`);
      return 0;
    }
    await command.run(rest);
    return 0;
  } catch (error) {
    if (error instanceof UsageError) {
      console.error(`${error.message}${command === undefined ? "" : ` (usage: ${command.usage})`}`);
      return 2;
    }
    console.error(oneLine(error));
    return 1;
  }
}

/** What went wrong in one line: ours and the system's refusals; a defect of moescope itself keeps its stack. */
function oneLine(error: unknown): string {
  if (!(error instanceof Error)) return `moescope: ${String(error)}`;
  const ours = [CheckpointError, ConfigError, ShapeError, RangeError, TypeError].some((kind) => error instanceof kind);
  return ours || "syscall" in error ? error.message.replaceAll("\n", " ") : (error.stack ?? error.message);
}

// A reader that closes the pipe early (head, say) has seen enough.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  throw error;
});
void main(process.argv.slice(2)).then((code) => (process.exitCode = code));
