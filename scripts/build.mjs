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
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, relative } from "node:path";
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
  const isCurrent = existsSync(DIST) && existsSync(STAMP) && readFileSync(STAMP, "utf8") === digest;
  if (!isCurrent) {
    say("compiling lib and viz to dist");
    await compile();
    mkdirSync(dirname(STAMP), { recursive: true });
    writeFileSync(STAMP, digest);
  }
  linkCommands();
  return isCurrent ? "dist is up to date" : "dist built";
}

/** Compiles beside dist and then puts the result in its place: whoever reads dist meanwhile, or builds too, finds it whole. */
async function compile() {
  const fresh = `${DIST}-${process.pid}`;
  const old = `${fresh}-old`;
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
  if (existsSync(DIST)) renameSync(DIST, old);
  renameSync(fresh, DIST);
  rmSync(old, { recursive: true, force: true });
}

/** Makes `npx moescope` work in the clone: npm links commands when it installs, and then dist is not there yet. */
function linkCommands() {
  const { bin } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  for (const [name, file] of Object.entries(bin)) {
    const link = join(root, "node_modules", ".bin", name);
    const target = join(root, file);
    chmodSync(target, 0o755);
    if (existsSync(link)) continue;
    rmSync(link, { force: true }); // it may point to nothing
    symlinkSync(relative(dirname(link), target), link);
  }
}

if (isMain(import.meta.url))
  await main(async () => {
    console.log(await build(console.log));
  });
