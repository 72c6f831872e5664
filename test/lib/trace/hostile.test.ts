import { readdirSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { CheckpointError, ConfigError } from "../../../lib/errors.ts";
import { importRouting } from "../../../lib/trace/import.ts";
import { seeded } from "../../helpers.ts";
import { fixture } from "./fixtures.ts";

const OPTIONS = { nExperts: 8, topK: 2, nLayers: 3 };
const GOLDEN = new URL("../../golden/trace/", import.meta.url);
const files = readdirSync(GOLDEN, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .flatMap(({ name }) => readdirSync(new URL(`${name}/`, GOLDEN)).map((file) => `${name}/${file}`));

/** What an import ends in: nothing but a whole result, or a refusal of ours in one line. */
async function outcome(bytes: Uint8Array): Promise<string> {
  try {
    const imported = await importRouting("x", bytes, OPTIONS);
    return imported.kind;
  } catch (error) {
    expect(error instanceof CheckpointError || error instanceof ConfigError, String(error)).toBe(true);
    expect((error as Error).message).not.toMatch(/[\n\r]/);
    return "refused";
  }
}

describe.each(files)("a damaged %s", (path) => {
  const bytes = fixture(path);

  test("is refused in plain words wherever it is cut", async () => {
    const whole = await outcome(bytes);
    for (let i = 0; i < 40; i++) {
      const cut = await outcome(bytes.slice(0, Math.floor((i / 40) * bytes.length)));
      if (!path.endsWith(".jsonl") && whole !== "refused") expect(cut).toBe("refused");
    }
  });

  test("is refused in plain words or read, whatever bytes are changed", async () => {
    const random = seeded(bytes.length);
    for (let i = 0; i < 150; i++) {
      const changed = bytes.slice();
      for (let n = 0; n <= i % 3; n++) changed[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
      await outcome(changed);
    }
  });
});
