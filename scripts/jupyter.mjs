import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { root } from "./run.mjs";

const HOME = join(root, ".cache", "jupyter");

/** Keeps Jupyter inside the project: it sees our kernel, and the reader's own settings are neither read nor changed. */
export const jupyterEnv = {
  JUPYTER_DATA_DIR: join(HOME, "data"),
  JUPYTER_CONFIG_DIR: join(HOME, "config"),
  JUPYTER_RUNTIME_DIR: join(HOME, "runtime"),
  JUPYTER_PATH: "",
  JUPYTER_CONFIG_PATH: "",
  IPYTHONDIR: join(HOME, "ipython"),
};

/** Generated, because a kernel starts in its notebook's folder and so needs absolute paths. */
const FILES = {
  "data/kernels/tslab/kernel.json": {
    argv: [
      process.execPath,
      join(root, "node_modules", "tslab", "bin", "tslab"),
      "kernel",
      "--config-path",
      "{connection_file}",
    ],
    display_name: "TypeScript",
    language: "typescript",
  },
  // Light or dark as the system is, and no question about news at the first start.
  "config/labconfig/default_setting_overrides.json": {
    "@jupyterlab/apputils-extension:themes": { "adaptive-theme": true },
    "@jupyterlab/apputils-extension:notification": { fetchNews: "false", checkForUpdates: false },
  },
};

/** Writes the kernel spec and JupyterLab's defaults, where they are not as they should be. */
export async function prepareJupyter() {
  let written = 0;
  for (const [name, content] of Object.entries(FILES)) {
    const path = join(HOME, name);
    const text = `${JSON.stringify(content, null, 2)}\n`;
    if (existsSync(path) && readFileSync(path, "utf8") === text) continue;
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
    written++;
  }
  return written > 0 ? "tslab registered" : "tslab is registered";
}
