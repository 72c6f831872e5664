import { createHash } from "node:crypto";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { isMain, main } from "./command.mjs";
import { root, run, SetupError } from "./run.mjs";

const DIST = join(root, "dist");
const STAMP = join(root, ".cache", "dist.sources");
const SOURCES = ["lib", "viz", "package-lock.json", "tsconfig.json", "tsconfig.build.json"];

/** Changes when a source file is added, removed, renamed or saved. */
function sourcesDigest() {
  const hash = createHash("sha256");
  const add = (path) => {
    const stat = statSync(join(root, path), { throwIfNoEntry: false });
    if (stat?.isDirectory()) for (const name of readdirSync(join(root, path)).sort()) add(`${path}/${name}`);
    else hash.update(`${path} ${stat?.size} ${stat?.mtimeMs}\n`);
  };
  for (const path of SOURCES) add(path);
  return hash.digest("hex");
}

/** Builds dist/, the package as JavaScript and declarations, when a source has changed. */
export async function build(say) {
  const digest = sourcesDigest();
  if (existsSync(DIST) && existsSync(STAMP) && readFileSync(STAMP, "utf8") === digest) return "dist is up to date";
  say("compiling lib and viz to dist");
  // Built beside and then put in place: whoever reads dist meanwhile, or builds too, finds it whole.
  const fresh = `${DIST}-${process.pid}`;
  const tsc = join(root, "node_modules", "typescript", "bin", "tsc");
  const { ok, output, log } = await run("build", process.execPath, [
    tsc,
    "-p",
    "tsconfig.build.json",
    "--outDir",
    fresh,
  ]);
  if (!ok) {
    rmSync(fresh, { recursive: true, force: true });
    throw new SetupError(`the compiler refuses the sources; see ${log}\n${output.split("\n", 10).join("\n")}`.trim());
  }
  const { bin } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  for (const file of Object.values(bin)) makeExecutable(join(fresh, file.replace("./dist/", "")));
  const old = `${fresh}-old`;
  if (existsSync(DIST)) renameSync(DIST, old);
  renameSync(fresh, DIST);
  rmSync(old, { recursive: true, force: true });
  mkdirSync(dirname(STAMP), { recursive: true });
  writeFileSync(STAMP, digest);
  return "dist built";
}

function makeExecutable(path) {
  if (existsSync(path)) chmodSync(path, 0o755);
}

if (isMain(import.meta.url))
  await main(async () => {
    console.log(await build(console.log));
  });
