// Plain JavaScript without dependencies, like the set-up that it begins with.
import { copyFileSync, existsSync, openSync, readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { main, readArguments } from "./command.mjs";
import { diagnose } from "./diagnose.mjs";
import { jupyterEnv } from "./jupyter.mjs";
import { venvPython } from "./python.mjs";
import { root, SetupError, shown, start } from "./run.mjs";
import { setUp } from "./setup.mjs";

const USAGE = `usage: npm start [-- [NOTEBOOK] [--no-browser | --headless [--save]]]

Sets up what is missing and opens a notebook in JupyterLab.
  NOTEBOOK       the start of a name in notebooks/, or a path; default: 01-first-look
  --no-browser   print the address instead of opening a browser
  --headless     run all cells without JupyterLab and say where the result is
  --save         with --headless: write the outputs into the notebook itself
  -h, --help     print this
`;

const NOTEBOOKS = join(root, "notebooks");

function findNotebook(asked) {
  if (asked.endsWith(".ipynb") && existsSync(asked)) return resolve(asked);
  const names = readdirSync(NOTEBOOKS).filter((name) => name.endsWith(".ipynb"));
  const found = names.filter((name) => name.startsWith(basename(asked)));
  return found.length === 1
    ? join(NOTEBOOKS, found[0])
    : refuse(`no one notebook is called "${asked}"; there are: ${names.join(", ") || "none"}`);
}

async function execute(notebook) {
  const result = join(root, ".cache", "executed", basename(notebook));
  console.log(`running ${shown(notebook)}`);
  const args = [join(root, "scripts", "execute.py"), notebook, result];
  const code = await start(venvPython, args, { env: jupyterEnv }).ended;
  const saved = values.save && code === 0;
  if (saved) copyFileSync(result, notebook);
  console.log(`${code === 0 ? "the result is in" : "what ran is in"} ${shown(saved ? notebook : result)}`);
  return code;
}

/** The address of a Jupyter server, from the file that it writes once it listens. */
async function addressOf(child, notebook) {
  const file = join(jupyterEnv.JUPYTER_RUNTIME_DIR, `jpserver-${child.pid}.json`);
  while (!existsSync(file)) {
    if (child.exitCode !== null || child.signalCode !== null) return null;
    await sleep(100);
  }
  const { url, token } = JSON.parse(readFileSync(file, "utf8"));
  return `${url}lab/tree/${encodeURIComponent(basename(notebook))}?token=${token}`;
}

async function openLab(notebook) {
  const log = join(root, ".cache", "logs", "jupyterlab.log");
  const options = [
    `--ServerApp.root_dir=${dirname(notebook)}`,
    "--MultiKernelManager.default_kernel_name=tslab",
    // JupyterLab would ask its makers' servers for news, updates and extensions.
    "--LabApp.news_url=None",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    "--LabApp.extension_manager=readonly",
    ...(values["no-browser"] ? ["--no-browser"] : []),
    ...(process.getuid() === 0 ? ["--allow-root"] : []),
  ];
  const { child, ended } = start(venvPython, ["-m", "jupyterlab", notebook, ...options], {
    env: jupyterEnv,
    stdio: ["ignore", openSync(log, "w"), openSync(log, "a")],
  });
  const address = await addressOf(child, notebook);
  if (address === null)
    throw new SetupError(`JupyterLab did not start: ${diagnose(readFileSync(log, "utf8"))}; see ${shown(log)}`);
  console.log(`JupyterLab is open at ${address}\nCtrl-C here ends it.`);
  return ended;
}

const options = { "no-browser": { type: "boolean" }, headless: { type: "boolean" }, save: { type: "boolean" } };
const { values, positionals, refuse } = readArguments(USAGE, options, true);
if (positionals.length > 1) refuse(`one notebook at a time, got ${positionals.join(", ")}`);
if (values.headless && values["no-browser"]) refuse("--headless opens nothing, so --no-browser says nothing");
if (values.save && !values.headless) refuse("--save needs --headless");
const notebook = findNotebook(positionals[0] ?? "01-first-look");
await main(async () => {
  await setUp();
  return values.headless ? execute(notebook) : openLab(notebook);
});
