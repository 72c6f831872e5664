import { join } from "node:path";
import { isMain, main } from "./command.mjs";
import { root, start } from "./run.mjs";

// By its place: tslab brings a TypeScript of its own, and npm may link either as .bin/tsc.
const TSC = "typescript/bin/tsc";

const CHECKS = [
  { name: "type check", program: TSC, args: ["-p", "tsconfig.json"] },
  { name: "type check of what runs in a browser", program: TSC, args: ["-p", "viz/live", "--noEmit"] },
  { name: "lint", program: ".bin/oxlint", args: ["--type-aware", "--deny-warnings"] },
  { name: "format check", program: ".bin/biome", args: ["ci", "."] },
];

/** Runs every check, each named before its output. @returns {Promise<number>} how many failed */
export async function check() {
  let failed = 0;
  for (const { name, program, args } of CHECKS) {
    console.log(`check: ${name}`);
    if ((await start(join(root, "node_modules", program), args).ended) === 0) continue;
    console.log(`check: ${name} failed`);
    failed++;
  }
  return failed;
}

if (isMain(import.meta.url)) await main(async () => ((await check()) === 0 ? 0 : 1));
