import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { diagnose } from "./diagnose.mjs";
import { root, run, SetupError } from "./run.mjs";

/** The folder's npm: the one that started us, else the one on PATH. */
export function npmCli() {
  if (process.env.npm_execpath?.endsWith("npm-cli.js")) return process.env.npm_execpath;
  const found = spawnSync("npm", ["root", "--global"], { encoding: "utf8" });
  const cli = found.status === 0 ? join(found.stdout.trim(), "npm", "bin", "npm-cli.js") : "";
  if (!existsSync(cli)) throw new SetupError("npm is not found: it comes with Node, or as its own package");
  return cli;
}

const packagesOf = (file) => JSON.parse(readFileSync(file, "utf8")).packages;

/** Whether npm's own record of what it installed agrees with the lock file. */
function installed() {
  const record = join(root, "node_modules", ".package-lock.json");
  if (!existsSync(record)) return false;
  const present = packagesOf(record);
  return Object.entries(packagesOf(join(root, "package-lock.json"))).every(([path, wanted]) => {
    const found = present[path];
    if (found === undefined) return path === "" || wanted.optional || wanted.devOptional;
    return found.version === wanted.version && existsSync(join(root, path));
  });
}

/** Installs the npm packages of the lock file, when they are not there as the lock file says. */
export async function preparePackages(say) {
  if (installed()) return "as in package-lock.json";
  say("installing (npm ci, about half a minute)");
  const npm = await run("npm", process.execPath, [npmCli(), "ci", "--loglevel=notice", "--no-update-notifier"]);
  if (!npm.ok) throw new SetupError(`npm ci failed: ${diagnose(npm.output)}; see ${npm.log}`);
  return "installed";
}
