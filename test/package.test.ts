import { spawnSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { homedir, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, test } from "vitest";
import { FAMILIES } from "../lib/families/index.ts";
import { familyRows } from "../scripts/families.ts";
import { withTables } from "../scripts/readme.ts";

const require = createRequire(import.meta.url);
const root = fileURLToPath(new URL("..", import.meta.url));

interface Manifest {
  main: string;
  types: string;
  bin: Record<string, string>;
  exports: Record<string, string | { types: string; default: string }>;
  typesVersions: Record<string, Record<string, string[]>>;
  dependencies: Record<string, string>;
  optionalDependencies: Record<string, string>;
  devDependencies: Record<string, string>;
}
const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as Manifest;

function run(command: string, args: string[], cwd = root): string {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd, encoding: "utf8", maxBuffer: 1 << 28 });
  if (status !== 0) throw new Error(`${command} ${args.join(" ")} exited with ${status}\n${stdout}\n${stderr}`);
  return stdout;
}

beforeAll(() => {
  run(process.execPath, ["scripts/build.mjs"]);
}, 120_000);

describe("dependencies", () => {
  test("are the ones that we decided on", () => {
    expect(Object.keys(manifest.dependencies)).toEqual([
      "@huggingface/jinja",
      "@huggingface/tokenizers",
      "@resvg/resvg-js",
      "@tensorflow/tfjs",
      "@tensorflow/tfjs-backend-wasm",
      "d3",
      "dejavu-fonts-ttf",
      "hyparquet",
      "hyparquet-writer",
      "plotly.js-cartesian-dist-min",
      "tiktoken",
      "tslab",
    ]);
    expect(Object.keys(manifest.optionalDependencies)).toEqual(["@tensorflow/tfjs-node"]);
  });

  test("have exact versions", () => {
    const { dependencies, optionalDependencies, devDependencies } = manifest;
    for (const [name, version] of Object.entries({ ...dependencies, ...optionalDependencies, ...devDependencies }))
      expect(version, name).toMatch(/^\d+\.\d+\.\d+$/);
  });

  test("of Python have exact versions", () => {
    for (const file of ["requirements.txt", "requirements-native.txt"])
      for (const line of readFileSync(join(root, "scripts", file), "utf8")
        .trim()
        .split("\n"))
        expect(line).toMatch(/^(#.*|[a-z-]+==\d+\.\d+\.\d+)$/);
  });
});

describe("the package", () => {
  test("says where its types are in the two ways that exist: exports, and main with types and typesVersions", () => {
    const { exports, typesVersions } = manifest;
    expect(exports["."]).toEqual({ types: manifest.types, default: manifest.main });
    expect(exports["./viz"]).toEqual({ types: typesVersions["*"]!["viz"]![0], default: "./dist/viz/index.js" });
    // A "require" or "import" condition would hide the package from one of the two loaders.
    for (const target of Object.values(exports))
      if (typeof target !== "string") expect(Object.keys(target)).toEqual(["types", "default"]);
  });

  test("has every file that it promises", () => {
    const promised = [manifest.main, manifest.types, ...Object.values(manifest.bin)];
    const exported = Object.values(manifest.exports).flatMap((to) =>
      typeof to === "string" ? [to] : Object.values(to),
    );
    for (const path of [...promised, ...exported]) expect(existsSync(join(root, path)), path).toBe(true);
  });

  test("is importable by name in a Node program, as is its viz", () => {
    const program = `
      import * as moe from "moescope";
      import * as viz from "moescope/viz";
      console.log(typeof moe.useBackend, typeof viz.show);`;
    const printed = run(process.execPath, ["--input-type=module", "-e", program], join(root, "notebooks"));
    expect(printed.trim()).toBe("function function");
  });

  test("runs as a command in the clone", () => {
    expect(run("npx", ["--no-install", "moescope", "--help"])).toMatch(/^moescope: [^]*\bcapture\b/);
  });

  test("packs what a user needs and nothing else", () => {
    const [packed] = JSON.parse(run("npm", ["pack", "--dry-run", "--json"])) as [{ files: { path: string }[] }];
    const paths = packed.files.map((file) => file.path);
    for (const needed of ["package.json", "README.md", "LICENSE", "dist/lib/index.js", "dist/viz/index.d.ts"])
      expect(paths).toContain(needed);
    expect(
      paths.filter((path) => !/^(dist\/(lib|viz)\/|models\/|(package\.json|README\.md|LICENSE)$)/.test(path)),
    ).toEqual([]);
  });
});

interface Diagnostic {
  file?: { fileName: string };
  messageText: unknown;
}
interface OldTypeScript {
  version: string;
  ModuleKind: { CommonJS: number };
  ModuleResolutionKind: { Node10: number };
  ScriptTarget: { ES2022: number };
  createProgram(files: string[], options: object): object;
  getPreEmitDiagnostics(program: object): Diagnostic[];
  flattenDiagnosticMessageText(text: unknown, newline: string): string;
}

const declarations = (): string[] =>
  readdirSync(join(root, "dist"), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".d.ts"))
    .map((name) => join(root, "dist", name));

describe("in tslab", () => {
  const ts = require(
    require.resolve("@tslab/typescript-for-tslab", { paths: [require.resolve("tslab")] }),
  ) as OldTypeScript;

  /** What tslab's TypeScript, set as tslab sets it, finds wrong in files of ours. */
  function complaints(files: string[]): string[] {
    const program = ts.createProgram(files, {
      module: ts.ModuleKind.CommonJS,
      moduleResolution: ts.ModuleResolutionKind.Node10,
      target: ts.ScriptTarget.ES2022,
      lib: ["lib.es2022.d.ts"],
      types: ["node"],
      skipLibCheck: false,
      noEmit: true,
    });
    return ts
      .getPreEmitDiagnostics(program)
      .filter(({ file }) => file === undefined || files.includes(file.fileName))
      .map(({ file, messageText }) => `${file?.fileName}: ${ts.flattenDiagnosticMessageText(messageText, " ")}`);
  }

  test("the declarations mean what they say to the TypeScript of notebooks, which is 5.0", () => {
    expect(ts.version).toMatch(/^5\.0\./);
    expect(declarations().length).toBeGreaterThan(20);
    expect(complaints(declarations())).toEqual([]);
  });

  test("a type that is newer than 5.0 would be noticed", () => {
    const folder = mkdtempSync(join(tmpdir(), "moescope-"));
    const file = join(folder, "newer.d.ts");
    writeFileSync(file, "export declare function load<T>(x: T, y: NoInfer<T>): Float32Array<ArrayBuffer>;\n");
    const found = complaints([file]).join("\n");
    rmSync(folder, { recursive: true });
    expect(found).toMatch(/NoInfer/);
    expect(found).toMatch(/Float32Array/);
  });

  test("the kernel still has the function that sends a whole bundle", () => {
    expect(require("tslab/dist/jupyter")).toHaveProperty("lastWriteDisplayData");
    const source = readFileSync(require.resolve("tslab/dist/jupyter"), "utf8");
    expect(source).toMatch(/exports\.lastWriteDisplayData = writeDisplayData/);
  });
});

/** What the linter says, with our settings, of a file that imports something. */
function lint(file: string, imported: string): string {
  const folder = mkdtempSync(join(tmpdir(), "moescope-"));
  mkdirSync(join(folder, dirname(file)), { recursive: true });
  writeFileSync(join(folder, file), `import { something } from "${imported}";\nsomething();\n`);
  copyFileSync(join(root, ".oxlintrc.json"), join(folder, ".oxlintrc.json"));
  const linter = join(root, "node_modules", ".bin", "oxlint");
  const { stdout } = spawnSync(linter, ["--format=unix", "lib", "viz"], { cwd: folder, encoding: "utf8" });
  rmSync(folder, { recursive: true });
  return stdout.trim();
}

describe("imports go down only", () => {
  test.each([
    ["lib/axes.ts", "./model.ts"],
    ["lib/model.ts", "@tensorflow/tfjs-node"],
    ["lib/model.ts", "../viz/index.ts"],
    ["lib/model.ts", "./checkpoint/load.ts"],
    ["lib/ops/some.ts", "../model.ts"],
    ["lib/families/some.ts", "@tensorflow/tfjs"],
    ["lib/checkpoint/safetensors.ts", "@tensorflow/tfjs"],
    ["lib/checkpoint/safetensors.ts", "node:fs"],
    ["lib/tokenizer/some.ts", "@tensorflow/tfjs"],
    ["lib/interventions/some.ts", "../model.ts"],
    ["lib/trace/some.ts", "../cli/main.ts"],
    ["lib/trace/some.ts", "hyparquet"],
    ["lib/metrics/some.ts", "@tensorflow/tfjs"],
    ["lib/metrics/some.ts", "../model.ts"],
    ["lib/new/some.ts", "../../viz/index.ts"],
    ["viz/some.ts", "@tensorflow/tfjs"],
    ["viz/some.ts", "../lib/model.ts"],
    ["viz/some.ts", "node:fs"],
    ["viz/live/some.ts", "node:fs"],
  ])("%s may not import %s", (file, imported) => {
    expect(lint(file, imported)).toMatch(/no-restricted-imports/);
  });

  test.each([
    ["lib/model.ts", "@tensorflow/tfjs"],
    ["lib/backend.ts", "@tensorflow/tfjs-backend-wasm"],
    ["lib/ops/some.ts", "@tensorflow/tfjs"],
    ["lib/checkpoint/node.ts", "node:fs/promises"],
    ["lib/metrics/some.ts", "../errors.ts"],
    ["lib/cli/main.ts", "../../viz/index.ts"],
    ["lib/trace/parquet.ts", "hyparquet"],
    ["viz/some.ts", "d3"],
    ["viz/some.ts", "../lib/metrics/load.ts"],
    ["viz/display.ts", "node:module"],
  ])("%s may import %s", (file, imported) => {
    expect(lint(file, imported)).toBe("");
  });
});

describe("the README", () => {
  const readme = readFileSync(join(root, "README.md"), "utf8");

  test("has the tables that the code has (npm run readme writes them), with every family in its own", () => {
    expect(readme).toBe(withTables(readme));
    const named = new Set(familyRows().map(([, family]) => family));
    expect(FAMILIES.map(({ name }) => name).filter((name) => !named.has(name))).toEqual([]);
  });

  test("begins with an example that runs and writes its figure", { timeout: 120_000 }, () => {
    const folder = join(root, ".cache", "readme");
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    symlinkSync(join(root, "models"), join(folder, "models"));
    const [, example] = /```ts\n([^]*?)```/.exec(readme) ?? [];
    expect(example!.trim().split("\n").length).toBeLessThanOrEqual(12);
    run(process.execPath, ["--input-type=module", "-e", example!], folder);
    expect(readFileSync(join(folder, "routing.html"), "utf8")).toContain("<figure");
  });

  test("and the other pages link to files that exist", () => {
    for (const page of ["README.md", "CONTRIBUTING.md", "notebooks/README.md"]) {
      const links = readFileSync(join(root, page), "utf8").matchAll(/\]\((?!https?:|#)([^)]+)\)/g);
      for (const [, link] of links) expect(existsSync(join(root, dirname(page), link!)), `${page}: ${link}`).toBe(true);
    }
  });
});

describe("tracked files", () => {
  const tracked = run("git", ["ls-files", "-z"])
    .split("\0")
    .filter((path) => path !== "" && existsSync(join(root, path)));

  test("name no place on the machine where they were made and no package registry", () => {
    // Put together here, so that this file does not hold what it looks for.
    const registries = [
      ["registry", "npmjs", "org"],
      ["pypi", "org"],
      ["files", "pythonhosted", "org"],
      ["deb", "debian", "org"],
    ];
    const forbidden = [root, `${homedir()}/`, ...registries.map((parts) => parts.join("."))];
    const found = tracked.flatMap((path) => {
      const text = readFileSync(join(root, path), "latin1");
      return forbidden.filter((part) => text.includes(part)).map((part) => `${path}: ${part}`);
    });
    expect(tracked.length).toBeGreaterThan(30);
    expect(found).toEqual([]);
  });

  test("are none that the set-up or a build makes", () => {
    expect(tracked.filter((path) => /^(node_modules|dist|\.venv|\.cache)\//.test(path))).toEqual([]);
  });
});
