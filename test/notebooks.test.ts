import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));
const notebooks = readdirSync(join(root, "notebooks")).filter((name) => name.endsWith(".ipynb"));

/** Seconds for one notebook; a newcomer waits a minute at most, a busy machine may take longer. */
const LIMIT = 600;

interface Cell {
  cell_type: string;
  source: string | string[];
  outputs?: Output[];
}
interface Output {
  output_type: string;
  name?: string;
  data?: Record<string, unknown>;
}

const textOf = (value: unknown): string => (Array.isArray(value) ? value.join("") : String(value));

function cellsOf(path: string): Cell[] {
  return (JSON.parse(readFileSync(path, "utf8")) as { cells: Cell[] }).cells;
}

/** Addresses that a browser would ask for by itself on showing the html: not links, which wait for a click. */
function requested(html: string): string[] {
  const tags = html.matchAll(/<(?:script|img|iframe|link|source|video|audio|embed|object|image|use)\b[^>]*>/gi);
  const inTags = [...tags].flatMap(([tag]) => [...tag.matchAll(/(?:src|href|data|srcset)\s*=\s*["']?([^"'\s>]+)/gi)]);
  const inStyles = html.matchAll(/url\(\s*["']?([^"')]+)|@import\s+["']([^"']+)/gi);
  return [...inTags, ...inStyles]
    .map((match) => match[1] ?? match[2] ?? "")
    .filter((address) => !/^(data:|blob:|#|$)/i.test(address));
}

test("there is a notebook to begin with", () => {
  expect(notebooks).toContain("01-first-look.ipynb");
});

test("every notebook is in both tables of contents", () => {
  for (const [readme, folder] of [
    ["README.md", "notebooks/"],
    ["notebooks/README.md", ""],
  ] as const) {
    const text = readFileSync(join(root, readme), "utf8");
    for (const name of notebooks) expect(text, readme).toContain(`](${folder}${name})`);
  }
});

test("a request hidden in html is found, and data and links are none", () => {
  expect(requested('<script src="https://a.example/x.js"></script><img src=//b.example/y.png>')).toEqual([
    "https://a.example/x.js",
    "//b.example/y.png",
  ]);
  expect(requested("<p style=\"background: url('http://c.example/z')\"><style>@import 'd.css'</style>")).toEqual([
    "http://c.example/z",
    "d.css",
  ]);
  expect(requested('<img src="data:image/png;base64,AA=="><a href="https://e.example">e</a><use href="#f"/>')).toEqual(
    [],
  );
});

test.each(notebooks.filter((name) => name.startsWith("ja-")))("%s has the code of the English edition", (name) => {
  const code = (path: string): string[] =>
    cellsOf(join(root, "notebooks", path))
      .filter((cell) => cell.cell_type === "code")
      .map((cell) => textOf(cell.source));
  expect(code(name)).toEqual(code(name.slice("ja-".length)));
});

describe.each(notebooks)("%s", (name) => {
  const source = join(root, "notebooks", name);
  const result = join(root, ".cache", "executed", name);

  test("runs from top to bottom in a clean kernel", { timeout: LIMIT * 1000 }, () => {
    const command = ["scripts/start.mjs", "--headless", source];
    const run = spawnSync(process.execPath, command, { cwd: root, encoding: "utf8", timeout: LIMIT * 1000 });
    expect(run.status, `${run.stdout}\n${run.stderr}`).toBe(0);
    const printedErrors = cellsOf(result)
      .flatMap((cell) => cell.outputs ?? [])
      .filter((output) => output.output_type === "error" || output.name === "stderr");
    expect(printedErrors).toEqual([]);
  });

  test("is small enough to be read on the web, run and as committed", () => {
    for (const path of [source, result]) {
      expect(statSync(path).size).toBeLessThanOrEqual(2_000_000);
      for (const output of cellsOf(path).flatMap((cell) => cell.outputs ?? []))
        expect(JSON.stringify(output).length).toBeLessThanOrEqual(300_000);
    }
  });

  test("shows its outputs without a request to any host", () => {
    for (const path of [source, result])
      for (const { data = {} } of cellsOf(path).flatMap((cell) => cell.outputs ?? []))
        for (const [mime, value] of Object.entries(data))
          if (/html|svg|markdown/.test(mime)) expect(requested(textOf(value))).toEqual([]);
  });

  test("tells nothing about the machine it ran on", () => {
    for (const path of [source, result]) {
      const text = readFileSync(path, "utf8");
      for (const place of [root, `${homedir()}/`, "/tmp/"]) expect(text).not.toContain(place);
    }
  });

  test("opens with a question and explains each picture in prose", () => {
    const cells = cellsOf(source);
    expect(cells[0]?.cell_type).toBe("markdown");
    expect(textOf(cells[0]?.source)).toMatch(/^# .*[?？]/);
  });

  test("has no line of code that is wider than a page", () => {
    const code = cellsOf(source).filter((cell) => cell.cell_type === "code");
    const lines = code.flatMap((cell) => textOf(cell.source).split("\n"));
    expect(lines.filter((line) => line.length > 110)).toEqual([]);
  });

  test("imports the package by name, never its sources", () => {
    const code = cellsOf(source).filter((cell) => cell.cell_type === "code");
    expect(code.map((cell) => textOf(cell.source)).join("\n")).not.toMatch(/(?:from|import|require)\W*\.\.\//);
  });
});
