// Plain JavaScript without dependencies: this runs before anything is installed, on Node 20, which strips no types.
import { build } from "./build.mjs";
import { isMain, main, readArguments } from "./command.mjs";
import { prepareJupyter } from "./jupyter.mjs";
import { prepareNative } from "./native.mjs";
import { preparePackages } from "./packages.mjs";
import { findPython, preparePython } from "./python.mjs";
import { SetupError } from "./run.mjs";

const LEAST_NODE = [20, 19];

async function checkTools() {
  if (process.platform === "win32") throw new SetupError("Windows is not supported: use WSL");
  const [major, minor] = process.versions.node.split(".").map(Number);
  if ((major - LEAST_NODE[0] || minor - LEAST_NODE[1]) < 0)
    throw new SetupError(`Node must be ${LEAST_NODE.join(".")} or newer, got ${process.versions.node}: install it`);
  return `Node ${process.versions.node}, Python ${findPython().text}`;
}

/** In this order; each looks whether its work is done and returns in words what it found or did. */
const STEPS = [
  { name: "tools", prepare: checkTools },
  { name: "npm packages", prepare: preparePackages },
  { name: "Python packages", prepare: preparePython },
  { name: "build", prepare: build },
  { name: "native backend", prepare: prepareNative },
  { name: "kernel", prepare: prepareJupyter },
];

/**
 * Brings the clone to where everything runs; a step whose work is done takes no time.
 * @param {{retry?: boolean}} options `retry`: also try again what failed before and was remembered
 * @throws SetupError that names the step and says what to do
 */
export async function setUp({ retry = false } = {}) {
  for (const { name, prepare } of STEPS) {
    const started = performance.now();
    const label = `set-up: ${name}`.padEnd(24);
    try {
      const result = await prepare((doing) => console.log(`${label}${doing} …`), { retry });
      console.log(`${label}${result} (${((performance.now() - started) / 1000).toFixed(1)} s)`);
    } catch (error) {
      if (!(error instanceof SetupError)) throw error;
      throw new SetupError(`set-up stopped at "${name}": ${error.message}`);
    }
  }
}

const USAGE = `usage: npm run setup [-- --retry]

Installs what is missing, all of it inside this folder, and builds. Done steps are skipped.
  --retry   try the native backend again after it failed
`;

if (isMain(import.meta.url)) {
  const { values } = readArguments(USAGE, { retry: { type: "boolean" } }, false);
  await main(() => setUp(values));
}
