// The README's table of families: what published configurations add up to, and how far we are from the other implementation.
import { readdirSync, readFileSync } from "node:fs";
import { encoderDecoderCount } from "../lib/encoderDecoderConfig.ts";
import { isEncoderDecoder, parseConfig, parseEncoderDecoder } from "../lib/families/index.ts";
import { parameterCounts } from "../lib/params.ts";

/** The largest relative difference of any hook or logit over a family's tiny checkpoints, by backend. */
export interface Parity {
  checkpoints: number;
  tensorflow: number;
  wasm: number;
}

const GOLDEN = new URL("../test/golden/", import.meta.url);
const PUBLISHED = new URL("families/published/", GOLDEN);

const read = (url: URL): unknown => JSON.parse(readFileSync(url, "utf8"));
const number = (value: number): string => value.toLocaleString("en-US");

/** Published configurations by name. */
function configurations(): [name: string, json: unknown][] {
  const others = readdirSync(PUBLISHED)
    .sort()
    .map((name): [string, unknown] => [name, read(new URL(`${name}/config.json`, PUBLISHED))]);
  return [["dbrx", read(new URL("dbrx/published-config.json", GOLDEN))], ...others];
}

function counts(json: unknown): { family: string; experts: string; total: number; active: number } {
  if (isEncoderDecoder(json)) {
    const config = parseEncoderDecoder(json);
    const total = encoderDecoderCount(config);
    return { family: config.family, experts: "dense, encoder-decoder", total, active: total };
  }
  const config = parseConfig(json);
  const { mlp } = config;
  const experts = mlp.kind === "moe" ? `${mlp.nExperts}, top-${mlp.topK}` : "dense";
  return { family: config.family, experts, ...parameterCounts(config) };
}

/** The rows of the table, its head first. */
export function familyRows(): string[][] {
  const parity = read(new URL("../docs/parity.json", import.meta.url)) as Record<string, Parity>;
  const rows = configurations().map(([name, json]) => {
    const { family, experts, total, active } = counts(json);
    const { checkpoints, tensorflow, wasm } = parity[family]!;
    const errors = [tensorflow, wasm].map((error) => error.toExponential(1));
    return [name, family, experts, number(total), number(active), String(checkpoints), ...errors];
  });
  return [
    ["published model", "family", "experts", "parameters", "active", "tiny checkpoints", "tensorflow", "wasm"],
    ...rows,
  ];
}
