import { type ParseArgsConfig, parseArgs } from "node:util";

/** One command of the command line. */
export interface Command {
  usage: string;
  /** What it does, in a sentence. */
  summary: string;
  /** Its options, a line each. */
  details: string;
  run(args: string[]): Promise<void>;
}

export const USAGE = "moescope: looks inside Mixture-of-Experts language models";

/** A command line that cannot be understood. */
export class UsageError extends Error {
  override name = "UsageError";
}

type Parsed<O extends NonNullable<ParseArgsConfig["options"]>> = ReturnType<
  typeof parseArgs<{ args: string[]; options: O; allowPositionals: true }>
>;

/**
 * Parses the arguments of a command.
 * @param operands names of the operands that must be given; a last one such as `FILE...` may be given many times
 * @throws UsageError
 */
export function parse<O extends NonNullable<ParseArgsConfig["options"]>>(
  args: string[],
  operands: readonly string[],
  options: O,
): Parsed<O> {
  let parsed: Parsed<O>;
  try {
    parsed = parseArgs({ args, options, allowPositionals: true as const });
  } catch (cause) {
    throw new UsageError(`moescope: ${(cause as Error).message.split("\n")[0]}`, { cause });
  }
  const given: string[] = parsed.positionals;
  const fits = operands.at(-1)?.endsWith("...") ? given.length >= operands.length : given.length === operands.length;
  if (!fits)
    throw new UsageError(`moescope: must be given ${operands.join(", ")}, got ${given.join(", ") || "nothing"}`);
  return parsed;
}

/**
 * A whole number given as an option.
 * @throws UsageError
 */
export function wholeNumber(option: string, text: string): number {
  if (!/^\d+$/.test(text)) throw new UsageError(`moescope: ${option} must be a whole number, got ${text}`);
  return Number(text);
}

/**
 * A number given as an option.
 * @throws UsageError
 */
export function realNumber(option: string, text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value))
    throw new UsageError(`moescope: ${option} must be a number, got ${text}`);
  return value;
}
