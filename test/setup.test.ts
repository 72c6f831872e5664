import { spawnSync } from "node:child_process";
import { chmodSync, cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));
/** An address where nothing listens: the network is as good as gone. */
const NOWHERE = "http://127.0.0.1:9";

interface Ran {
  code: number | null;
  out: string;
  err: string;
}

function node(folder: string, args: string[], env: Record<string, string> = {}): Ran {
  const options = { cwd: folder, encoding: "utf8", env: { ...process.env, ...env } } as const;
  const { status, stdout, stderr } = spawnSync(process.execPath, args, options);
  return { code: status, out: stdout, err: stderr };
}

const start = (...args: string[]): Ran => node(root, ["scripts/start.mjs", ...args]);

describe("in a folder of its own", () => {
  let folder: string;
  let programs: string;

  const write = (name: string, text: string): void => {
    const path = join(folder, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  };
  /** A program found before the system's, written for the shell. */
  const program = (name: string, text: string): void => {
    write(join("programs", name), `#!/bin/sh\n${text}\n`);
    chmodSync(join(programs, name), 0o755);
  };
  const setup = (env: Record<string, string>): Ran => node(folder, ["scripts/setup.mjs"], env);
  const before = (): string => `${programs}:${process.env["PATH"]}`;

  const native = (options: object, env: Record<string, string>): Ran => {
    const code = `
      import { prepareNative } from "./scripts/native.mjs";
      console.log(await prepareNative(console.log, ${JSON.stringify(options)}));`;
    return node(folder, ["--input-type=module", "-e", code], env);
  };
  /** How often the fake installer ran. */
  const tries = (): number => readFileSync(join(folder, "tries"), "utf8").length;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "moescope-setup-"));
    programs = join(folder, "programs");
    mkdirSync(programs);
    cpSync(join(root, "scripts"), join(folder, "scripts"), { recursive: true });
    write("package.json", JSON.stringify({ name: "trial", version: "1.0.0", dependencies: { "is-number": "7.0.0" } }));
    const packages = { "": { dependencies: { "is-number": "7.0.0" } }, "node_modules/is-number": { version: "7.0.0" } };
    write("package-lock.json", JSON.stringify({ name: "trial", version: "1.0.0", lockfileVersion: 3, packages }));
  });

  afterEach(() => {
    rmSync(folder, { recursive: true });
  });

  test("without Python the set-up stops at its first step and says what to install", () => {
    const { code, out, err } = setup({ PATH: programs });
    expect({ code, out }).toEqual({ code: 1, out: "" });
    expect(err).toBe(
      'set-up stopped at "tools": Python 3.10 or newer is needed for JupyterLab, found none: install it (Debian and Ubuntu: apt-get install python3 python3-venv)\n',
    );
  });

  test("a Python that is too old is named", () => {
    program("python3", "echo 3.9.18; echo complete");
    expect(setup({ PATH: programs }).err).toContain("found only python3 3.9.18: install it");
  });

  test("a Python without its venv module is named, with the package that brings it", () => {
    program("python3", "echo 3.12.3; exit 1");
    expect(setup({ PATH: programs }).err).toContain("python3 is 3.12.3 but lacks the venv module: install it");
  });

  test("of several Pythons one is taken that the native library has a wheel for", () => {
    program("python3", "echo 3.14.0; echo complete");
    program("python3.12", "echo 3.12.3; echo complete");
    expect(
      setup({
        PATH: `${programs}:${dirname(process.execPath)}`,
        npm_config_registry: NOWHERE,
        npm_config_fetch_retries: "0",
      }).out,
    ).toContain("Python 3.12.3");
  });

  test("without network npm's failure is one line that says so and names the log", () => {
    program("python3", "echo 3.12.3; echo complete");
    const { code, err } = setup({ PATH: before(), npm_config_registry: NOWHERE, npm_config_fetch_retries: "0" });
    expect(code).toBe(1);
    expect(err).toBe(
      'set-up stopped at "npm packages": npm ci failed: no network (offline, a firewall, or a proxy that is not set); see .cache/logs/npm.log\n',
    );
    expect(readFileSync(join(folder, ".cache/logs/npm.log"), "utf8")).toContain("ECONNREFUSED");
  });

  test("without network pip's failure is one line too, and the next run goes on from there", () => {
    const packages = { "node_modules/is-number": { version: "7.0.0" } };
    write("node_modules/.package-lock.json", JSON.stringify({ packages }));
    write("node_modules/is-number/package.json", "{}");
    const env = {
      PIP_INDEX_URL: `${NOWHERE}/simple`,
      PIP_EXTRA_INDEX_URL: "",
      PIP_FIND_LINKS: "",
      PIP_NO_CACHE_DIR: "1",
    };
    const first = setup(env);
    expect(first.out).toContain("npm packages    as in package-lock.json");
    expect(first.out).toContain("making .venv with Python");
    expect(first.err).toBe(
      'set-up stopped at "Python packages": pip install failed: no network (offline, a firewall, or a proxy that is not set); see .cache/logs/pip.log\n',
    );
    const second = setup(env);
    expect(second.out).not.toContain("making .venv");
    expect(second.err).toBe(first.err);
  });

  test("a package that is missing or of another version than the lock file says is seen", () => {
    program("python3", "echo 3.12.3; echo complete");
    const env = { PATH: before(), npm_config_registry: NOWHERE, npm_config_fetch_retries: "0" };
    write(
      "node_modules/.package-lock.json",
      JSON.stringify({ packages: { "node_modules/is-number": { version: "6.0.0" } } }),
    );
    write("node_modules/is-number/package.json", "{}");
    expect(setup(env).err).toContain("npm ci failed");
  });

  describe("the native backend", () => {
    const installer = "node_modules/@tensorflow/tfjs-node/scripts/install.js";

    beforeEach(() => {
      const path = JSON.stringify(join(folder, "tries"));
      write(
        installer,
        `require("fs").appendFileSync(${path}, "x"); console.error("getaddrinfo ENOTFOUND host"); process.exit(1);`,
      );
      for (const name of ["g++", "c++", "clang++", "make"]) program(name, "exit 1");
    });

    test("that cannot be had is one line: why, what to install, and that wasm serves", () => {
      const { out } = native({}, { PATH: before(), CXX: "" });
      expect(out.trim().split("\n").at(-1)).toBe(
        "none, the slower wasm backend serves. prebuilt: no network (offline, a firewall, or a proxy that is not set); see .cache/logs/native-prebuilt.log. " +
          "built here: a C++ compiler and make missing (Debian and Ubuntu: apt-get install g++ make). To try again: npm run setup -- --retry",
      );
    });

    test("is not downloaded again at each start after it failed, but when asked to", () => {
      const env = { PATH: before(), CXX: "" };
      const first = native({}, env);
      const second = native({}, env);
      expect(tries()).toBe(1);
      expect(second.out.trim()).toBe(first.out.trim().split("\n").at(-1));
      native({ retry: true }, env);
      expect(tries()).toBe(2);
    });

    test("is looked for no further where npm left the package out", () => {
      rmSync(join(folder, "node_modules"), { recursive: true });
      const { out } = native({}, { PATH: before() });
      expect(out).toBe("none, the wasm backend serves: npm left out the optional @tensorflow/tfjs-node\n");
    });
  });
});

describe("in this clone", () => {
  test("a second set-up names each step and finds nothing to do", () => {
    expect(node(root, ["scripts/setup.mjs"]).err).toBe("");
    const { out } = node(root, ["scripts/setup.mjs"]);
    const lines = out
      .trim()
      .split("\n")
      .map((line) => line.replace(/ \([\d.]+ s\)$/, ""));
    expect(lines.map((line) => line.slice(0, 24).trim())).toEqual([
      "set-up: tools",
      "set-up: npm packages",
      "set-up: Python packages",
      "set-up: build",
      "set-up: native backend",
      "set-up: kernel",
    ]);
    expect(lines[1]).toContain("as in package-lock.json");
    expect(lines[3]).toContain("dist is up to date");
    expect(lines[5]).toContain("tslab is registered");
  });

  test("the kernel spec starts this Node and the project's tslab, wherever the kernel runs", () => {
    const spec = JSON.parse(readFileSync(join(root, ".cache/jupyter/data/kernels/tslab/kernel.json"), "utf8")) as {
      argv: string[];
    };
    expect(spec.argv.slice(0, 2)).toEqual([process.execPath, join(root, "node_modules/tslab/bin/tslab")]);
    expect(spec.argv.at(-1)).toBe("{connection_file}");
  });
});

const cell = (source: string): object => ({
  cell_type: "code",
  execution_count: null,
  metadata: {},
  outputs: [],
  source,
});

describe("npm start", () => {
  test("prints its usage when asked", () => {
    const { code, out } = start("--help");
    expect(code).toBe(0);
    expect(out).toMatch(/^usage: npm start/);
  });

  test.each([
    [["--hedless"], /^Unknown option '--hedless'/],
    [["no-such-notebook"], /^no one notebook is called "no-such-notebook"; there are: /],
    [["01", "02"], /^one notebook at a time, got 01, 02/],
    [["--save"], /^--save needs --headless/],
    [["--headless", "--no-browser"], /^--headless opens nothing/],
  ])("refuses %j before anything is installed", (args, message) => {
    const { code, out, err } = start(...args);
    expect({ code, out }).toEqual({ code: 2, out: "" });
    expect(err).toMatch(message);
    expect(err).toContain("usage: npm start");
  });

  test("prints what a failing cell printed, keeps what ran, and exits with 1", () => {
    const folder = mkdtempSync(join(tmpdir(), "moescope-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const cells = [
      cell('console.log("before")'),
      cell('throw new Error("out of " + "range")'),
      cell('console.log("after")'),
    ];
    const path = join(folder, "fails.ipynb");
    const text = JSON.stringify({ cells, metadata: {}, nbformat: 4, nbformat_minor: 4 });
    writeFileSync(path, text);
    const { code, out, err } = start("--headless", "--save", path);
    expect(code).toBe(1);
    expect(err).toMatch(/fails\.ipynb: cell 2 failed:[^]*Error: out of range/);
    expect(out).toContain("what ran is in .cache/executed/fails.ipynb");
    const result = readFileSync(join(root, ".cache/executed/fails.ipynb"), "utf8");
    expect(result).toContain("before\\n");
    expect(result).not.toContain("after\\n");
    expect(readFileSync(path, "utf8")).toBe(text);
  });
});

describe("what a failed program printed", async () => {
  const { diagnose } = (await import(String(new URL("../scripts/diagnose.mjs", import.meta.url)))) as {
    diagnose: (output: string) => string;
  };

  test.each([
    ["npm error code ENOSPC\nnpm error nospc ENOSPC: no space left on device, write", "the disk is full"],
    ["EACCES: permission denied, mkdir '/x'", "no right to write here"],
    ["ssl.SSLCertVerificationError: CERTIFICATE_VERIFY_FAILED", "certificate is not trusted"],
    [
      "ERROR: No matching distribution found for tensorflow-cpu==2.21.0",
      "no wheel for this Python version and platform",
    ],
    [
      "Connection refused\nERROR: No matching distribution found for jupyterlab==4.6.6 NewConnectionError",
      "no network",
    ],
    ["gyp ERR! stack Error: not found: make", "make is missing"],
  ])("%j means: %s", (output, meaning) => {
    expect(diagnose(output)).toContain(meaning);
  });

  test("is given by its last line with an error, where we know no better", () => {
    expect(diagnose("start\nTypeError: odd\n  at a.js\n")).toBe("TypeError: odd");
    expect(diagnose("one\ntwo\n\n")).toBe("two");
    expect(diagnose("")).toBe("it printed nothing");
  });
});

const file = (status: string, assertions: number): object => ({
  status,
  assertionResults: Array.from({ length: assertions }, () => ({})),
});

describe("the count of tests", async () => {
  const { tally } = (await import(String(new URL("../scripts/tally.mjs", import.meta.url)))) as {
    tally: (report: object | null, code: number) => { passed: number; failed: number };
  };
  test("is vitest's", () => {
    const testResults = [file("passed", 3), file("failed", 2)];
    expect(tally({ numPassedTests: 4, numFailedTests: 1, testResults }, 1)).toEqual({ passed: 4, failed: 1 });
    expect(tally({ numPassedTests: 5, numFailedTests: 0, testResults: [file("passed", 5)] }, 0)).toEqual({
      passed: 5,
      failed: 0,
    });
  });

  test("takes a file that does not load for a failure", () => {
    const testResults = [file("passed", 3), file("failed", 0)];
    expect(tally({ numPassedTests: 3, numFailedTests: 0, testResults }, 1)).toEqual({ passed: 3, failed: 1 });
  });

  test("takes no test, no report, and an error outside of tests for a failure", () => {
    expect(tally({ numPassedTests: 0, numFailedTests: 0, testResults: [] }, 0)).toEqual({ passed: 0, failed: 1 });
    expect(tally(null, 1)).toEqual({ passed: 0, failed: 1 });
    expect(tally({ numPassedTests: 2, numFailedTests: 0, testResults: [file("passed", 2)] }, 1)).toEqual({
      passed: 2,
      failed: 1,
    });
  });
});
