import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { delimiter, dirname, join, relative } from "node:path";
import { diagnose } from "./diagnose.mjs";
import { npmCli } from "./packages.mjs";
import { pipInstall, venvPython } from "./python.mjs";
import { root, run, SetupError } from "./run.mjs";

const PACKAGE = join(root, "node_modules", "@tensorflow", "tfjs-node");
const MEMORY = join(root, ".cache", "native.json");

/** Loads the backend as the library does, and computes with it. */
const TRIAL = `
import { useBackend } from "./dist/lib/backend.js";
import * as tf from "@tensorflow/tfjs";
await useBackend("tensorflow");
if (tf.matMul([[2]], [[3]]).dataSync()[0] !== 6) throw new Error("2 times 3 is not 6");
`;

async function loads() {
  return (await run("native-trial", process.execPath, ["--input-type=module", "-e", TRIAL], { limit: 60 })).ok;
}

/** The package's own way: TensorFlow's C library and the addon, both prebuilt, from its makers' servers. */
async function prebuilt(say) {
  say("trying the prebuilt TensorFlow library (a download of about 100 MB, two minutes at most)");
  const path = `${join(root, "node_modules", ".bin")}${delimiter}${process.env.PATH}`;
  const install = await run("native-prebuilt", process.execPath, ["scripts/install.js"], {
    cwd: PACKAGE,
    env: { PATH: path, npm_config_node_gyp: nodeGyp() },
    limit: 120,
  });
  return install.ok ? null : `${diagnose(install.output)}; see ${install.log}`;
}

function nodeGyp() {
  return createRequire(npmCli()).resolve("node-gyp/bin/node-gyp.js");
}

const runs = (command) => spawnSync(command, ["--version"]).status === 0;

/** What is missing to build the addon here, or null. */
function missingTools() {
  if (process.platform !== "linux") return `the build from source is made for Linux, not for ${process.platform}`;
  const compiler = [process.env.CXX, "g++", "c++", "clang++"].some((command) => command && runs(command));
  const missing = [!compiler && "a C++ compiler", !runs("make") && "make"].filter(Boolean);
  return missing.length > 0 ? `${missing.join(" and ")} missing (Debian and Ubuntu: apt-get install g++ make)` : null;
}

/** The addon compiled here against the C library and headers in Python's TensorFlow package. */
async function fromWheel(say) {
  say("installing tensorflow-cpu for its C library (a download of about 270 MB)");
  try {
    await pipInstall(["--no-deps", "-r", join(root, "scripts", "requirements-native.txt")]);
  } catch (error) {
    if (error instanceof SetupError) return error.message;
    throw error;
  }
  linkLibrary();
  say("compiling the addon against it (about 15 seconds)");
  const addon = join(PACKAGE, "lib", "napi-v8");
  const prefix = dirname(dirname(realpathSync(process.execPath)));
  const headers = existsSync(join(prefix, "include", "node", "node_api.h")) ? [`--nodedir=${prefix}`] : [];
  const target = ["--module_name=tfjs_binding", `--module_path=${addon}`, "--napi_build_version=8"];
  const gyp = [nodeGyp(), "rebuild", ...target, ...headers, `--python=${venvPython}`];
  const built = await run("native-build", process.execPath, gyp, { cwd: PACKAGE, limit: 600 });
  return built.ok ? null : `compiling failed: ${diagnose(built.output)}; see ${built.log}`;
}

/** Gives tfjs-node the library and headers under the names that it links against and loads. */
function linkLibrary() {
  const lib = join(root, ".venv", "lib");
  const python = readdirSync(lib).find((name) => existsSync(join(lib, name, "site-packages", "tensorflow")));
  const wheel = join(lib, python, "site-packages", "tensorflow");
  const deps = join(PACKAGE, "deps");
  rmSync(deps, { recursive: true, force: true });
  mkdirSync(join(deps, "lib"), { recursive: true });
  const link = (target, ...path) => symlinkSync(relative(dirname(join(deps, ...path)), target), join(deps, ...path));
  link(join(wheel, "include"), "include");
  link(join(wheel, "libtensorflow_cc.so.2"), "lib", "libtensorflow_cc.so.2");
  link(join(wheel, "libtensorflow_cc.so.2"), "lib", "libtensorflow.so");
  link(join(wheel, "libtensorflow_framework.so.2"), "lib", "libtensorflow_framework.so.2");
  link(join(wheel, "libtensorflow_framework.so.2"), "lib", "libtensorflow_framework.so");
}

/** The ways to the backend, best first; an obstacle is cheap to see, so it is looked for each time and not remembered. */
const WAYS = [
  { name: "prebuilt", way: prebuilt, obstacle: () => null },
  { name: "built here", way: fromWheel, obstacle: missingTools },
];

/** Ways that failed before, with the reason, so that each start does not try them again. */
function recall(key) {
  const memory = existsSync(MEMORY) ? JSON.parse(readFileSync(MEMORY, "utf8")) : {};
  return memory.key === key ? memory.failed : {};
}

/** Makes the `tensorflow` backend load where that is possible; where not, the one line says why and what would help. */
export async function prepareNative(say, { retry }) {
  if (!existsSync(PACKAGE)) return "none, the wasm backend serves: npm left out the optional @tensorflow/tfjs-node";
  if (await loads()) return "tensorflow loads";
  const key = `node ${process.versions.modules} ${process.platform} ${process.arch}`;
  const failed = retry ? {} : recall(key);
  const why = [];
  for (const { name, way, obstacle } of WAYS) {
    const reason = obstacle() ?? failed[name] ?? (failed[name] = await attempt(way, say));
    if (reason === null) return `tensorflow loads, ${name}`;
    why.push(`${name}: ${reason}`);
    mkdirSync(dirname(MEMORY), { recursive: true });
    writeFileSync(MEMORY, JSON.stringify({ key, failed }));
  }
  return `none, the slower wasm backend serves. ${why.join(". ")}. To try again: npm run setup -- --retry`;
}

async function attempt(way, say) {
  return (await way(say)) ?? ((await loads()) ? null : "it does not load; see .cache/logs/native-trial.log");
}
