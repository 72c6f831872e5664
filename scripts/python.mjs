import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { diagnose } from "./diagnose.mjs";
import { root, run, SetupError } from "./run.mjs";

const FOLDER = join(root, ".venv");
const STAMP = join(FOLDER, ".requirements");

/** The Python of the project's virtual environment. */
export const venvPython = join(FOLDER, "bin", "python");

const LEAST = [3, 10];
/** The newest Python that the pinned tensorflow-cpu has a wheel for. */
const NEWEST_NATIVE = [3, 13];
const CANDIDATES = ["python3", "python3.13", "python3.12", "python3.11", "python3.10", "python"];

const PROBE = `import sys
print("%d.%d.%d" % sys.version_info[:3], flush=True)
import ensurepip, venv
print("complete")`;

const later = ([major, minor], [otherMajor, otherMinor]) => major - otherMajor || minor - otherMinor;

function probe(command) {
  const { stdout } = spawnSync(command, ["-c", PROBE], { encoding: "utf8" });
  const [text, complete] = (stdout ?? "").split("\n");
  if (!/^\d+\.\d+/.test(text)) return null;
  const version = text.split(".").map(Number);
  return { command, text, version, fits: later(version, LEAST) >= 0, complete: complete === "complete" };
}

/**
 * Finds the Python to work with: the virtual environment's own, else one of the system's that can make it.
 * @returns {{command: string, text: string}} the command and the version as text
 */
export function findPython() {
  // An interrupted making of the environment leaves a Python without pip.
  const own = existsSync(join(FOLDER, "bin", "pip")) ? probe(venvPython) : null;
  if (own?.fits) return own;
  const found = CANDIDATES.map(probe).filter((python) => python !== null);
  const fitting = found.filter((python) => python.fits);
  const usable = fitting.filter((python) => python.complete);
  const best = usable.find((python) => later(python.version, NEWEST_NATIVE) <= 0) ?? usable[0];
  if (best) return best;
  if (fitting.length > 0)
    throw new SetupError(
      `${fitting[0].command} is ${fitting[0].text} but lacks the venv module: install it (Debian and Ubuntu: apt-get install python3-venv)`,
    );
  const seen = found.length > 0 ? `found only ${found.map((p) => `${p.command} ${p.text}`).join(", ")}` : "found none";
  throw new SetupError(
    `Python ${LEAST.join(".")} or newer is needed for JupyterLab, ${seen}: install it (Debian and Ubuntu: apt-get install python3 python3-venv)`,
  );
}

/** Makes the virtual environment with the pinned JupyterLab, when it is not there or not the pinned one. */
export async function preparePython(say) {
  const requirements = join(root, "scripts", "requirements.txt");
  const wanted = createHash("sha256").update(readFileSync(requirements)).digest("hex");
  const python = findPython();
  const present = python.command === venvPython;
  if (present && existsSync(STAMP) && readFileSync(STAMP, "utf8") === wanted) return "JupyterLab as pinned";
  if (!present) {
    say(`making .venv with Python ${python.text}`);
    rmSync(FOLDER, { recursive: true, force: true });
    const made = await run("venv", python.command, ["-m", "venv", FOLDER]);
    if (!made.ok) throw new SetupError(`.venv cannot be made: ${diagnose(made.output)}; see ${made.log}`);
  }
  say("installing JupyterLab, nbclient and nbconvert into .venv (about a minute)");
  await pipInstall(["-r", requirements]);
  // JupyterLab runs scripts of its own with Node; our package.json would make Node take them for ES modules.
  writeFileSync(join(FOLDER, "package.json"), '{ "type": "commonjs" }\n');
  writeFileSync(STAMP, wanted);
  return "JupyterLab installed";
}

/**
 * Installs packages into the virtual environment.
 * @throws SetupError with the reason in one line
 */
export async function pipInstall(args) {
  const options = ["--disable-pip-version-check", "--no-input", "--retries", "2"];
  const pip = await run("pip", venvPython, ["-m", "pip", "install", ...options, ...args]);
  if (!pip.ok) throw new SetupError(`pip install failed: ${diagnose(pip.output)}; see ${pip.log}`);
}
