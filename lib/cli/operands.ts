import { type ParseArgsConfig, parseArgs } from "node:util";
import { UsageError } from "./command.ts";

type Parsed<O extends NonNullable<ParseArgsConfig["options"]>> = ReturnType<
  typeof parseArgs<{ args: string[]; options: O; allowPositionals: true }>
>;

/**
 * Parses the arguments of a command whose last operand may be given many times.
 * @param operands names of the operands, such as `["MODEL", "FILE..."]`; each must be given
 * @throws UsageError
 */
export function parseMany<O extends NonNullable<ParseArgsConfig["options"]>>(
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
  if (given.length < operands.length)
    throw new UsageError(`moescope: must be given ${operands.join(", ")}, got ${given.join(", ") || "nothing"}`);
  return parsed;
}
