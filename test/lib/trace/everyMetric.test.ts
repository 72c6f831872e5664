import { describe, expect, test } from "vitest";
import { SECTIONS, type Source } from "../../../lib/cli/metricsSections.ts";
import { sketch } from "../../../lib/metrics/sketch.ts";
import { importRouting } from "../../../lib/trace/import.ts";
import type { Imported } from "../../../lib/trace/imported.ts";
import { joinTraces } from "../../../lib/trace/sequences.ts";
import { fixture } from "./fixtures.ts";

const OPTIONS = { nExperts: 8, topK: 2, nLayers: 3 };

/** What a metric may say of what a recorder did not keep. */
const REASONS = {
  ranks: /in order of preference|without rank order/,
  probs: /hold the router probabilities/,
  text: /hold the tokens' text/,
  ids: /hold the token ids/,
  domains: /one domain for each sequence/,
  phases: /tell prompts from what was generated/,
} as const;
type Lack = keyof typeof REASONS;

/** What each metric needs beyond the chosen experts. */
const NEEDS: Readonly<Record<string, Lack>> = {
  loadByRank: "ranks",
  adjacentCoactivation: "ranks",
  trajectories: "ranks",
  expertFlow: "ranks",
  confidence: "probs",
  tokenClasses: "text",
  vocabulary: "ids",
  nextVocabulary: "ids",
  domains: "domains",
  phases: "phases",
};

function sourceOf(imported: Imported): Source {
  if (imported.kind === "counts") return { counts: imported.counts, sketch: null, trace: null };
  // Repeated, so that every group has units enough.
  const trace = joinTraces(Array.from({ length: 6 }, () => imported.trace));
  const { source, nExperts, topK, layers } = trace;
  const whole = sketch(trace);
  return { counts: { source, nExperts, topK, layers, counts: whole.counts }, sketch: whole, trace };
}

describe("every metric of what is imported", () => {
  test.each<[string, Lack[]]>([
    ["vllm/base64.jsonl", ["ranks", "probs", "text", "domains"]],
    ["vllm/nested.json", ["ranks", "probs", "text", "domains"]],
    ["vllm/array.npz", ["ranks", "probs", "text", "domains", "ids", "phases"]],
    ["sglang/generate.json", ["ranks", "probs", "text", "domains", "ids"]], // of the output alone they are known
    ["sglang/choices.json", ["ranks", "probs", "text", "domains", "ids"]],
    ["recorder/per_token.pt", ["ranks", "probs", "text", "domains"]],
    ["olmoe/dump.jsonl", ["probs", "text", "domains", "phases"]],
    ["logits/layers.safetensors", ["text", "domains", "phases"]],
    ["logits/stack.npz", ["text", "domains", "phases", "ids"]],
  ])("of %s is given, or refused because of what the recorder did not keep", async (path, lacks) => {
    const source = sourceOf(await importRouting("x", fixture(path), OPTIONS));
    for (const section of SECTIONS) {
      const need = NEEDS[section.name];
      const run = () => section.of(source, { draws: 4 });
      if (need !== undefined && lacks.includes(need)) expect(run, section.name).toThrow(REASONS[need]);
      else expect(run().rows.length, section.name).toBeGreaterThan(0);
    }
  });

  test.each(["imatrix/whole.gguf", "recorder/stat.pt", "recorder/per_pass.pt"])(
    "of %s is load and balance, and nothing else",
    async (path) => {
      const source = sourceOf(await importRouting("x", fixture(path), OPTIONS));
      const given = SECTIONS.filter(({ from }) => source[from] !== null).map(({ name }) => name);
      expect(given).toEqual(["load", "deviceBalance"]);
      for (const section of SECTIONS.filter(({ name }) => given.includes(name)))
        expect(section.of(source, { draws: 4 }).rows.length).toBeGreaterThan(0);
    },
  );
});
