import { join } from "node:path";
import { isMain, main } from "./command.mjs";
import { root, start } from "./run.mjs";

const CHECKS = [
  { name: "type check", command: "tsc", args: ["-p", "tsconfig.json"] },
  { name: "type check of what runs in a browser", command: "tsc", args: ["-p", "viz/live", "--noEmit"] },
  { name: "lint", command: "oxlint", args: ["--type-aware", "--deny-warnings"] },
  { name: "format check", command: "biome", args: ["ci", "."] },
];

/** Runs every check, each named before its output. @returns {Promise<number>} how many failed */
export async function check() {
  let failed = 0;
  for (const { name, command, args } of CHECKS) {
    console.log(`check: ${name}`);
    if ((await start(join(root, "node_modules", ".bin", command), args).ended) === 0) continue;
    console.log(`check: ${name} failed`);
    failed++;
  }
  return failed;
}

if (isMain(import.meta.url)) await main(async () => ((await check()) === 0 ? 0 : 1));
