// The text of docs/metrics.md.
import { docstrings } from "./docstrings.ts";

interface Group {
  title: string;
  metrics: readonly string[];
}

export const GROUPS: readonly Group[] = [
  { title: "Load", metrics: ["loadStatistics", "loadPerExpert", "loadByLabel", "loadByRank"] },
  { title: "Confidence", metrics: ["confidence"] },
  {
    title: "Specialization",
    metrics: [
      "specialization",
      "jensenShannon",
      "vocabulary",
      "vocabularyChance",
      "mutualInformation",
      "activationRateDifference",
    ],
  },
  {
    title: "Pairs and paths",
    metrics: ["coactivation", "repetition", "transitions", "trajectories", "expertFlow"],
  },
  { title: "Over training", metrics: ["saturation"] },
  { title: "Serving", metrics: ["coverage", "cacheHitRate", "capacityDrops", "deviceBalance"] },
  {
    title: "Saliency and similarity of experts",
    metrics: ["saliency", "routingDivergence", "linearCka", "weightSimilarity"],
  },
];

const HEAD = `# Metrics of expert usage

<!-- made from the docstrings of lib/metrics by npm run docs -->

Every function takes a routing trace (or counts, or a sketch where it says so) and gives plain numbers, and beside each
measure what chance alone gives: a mean, and the bounds of the central 95 % of a sample of the same size. \`method\` says where
they come from: \`exact\`, a closed form; \`simulated\`, seeded draws of uniform routing; \`shuffled\`, the trace's own tokens or
labels in random order; \`asymptotic\`, the limit for many samples. Options \`draws\`, \`seed\` and \`onProgress\` are common to all
that simulate. \`moescope metrics FILE\` prints them for a trace.

E experts, k chosen per token, T tokens, n_e assignments of expert e, p_e = n_e / Σ n, g weight and f output of an expert.

Keep in mind: these measures are observational. A published audit found that none of them predicts well what removing an
expert does; an ablation (\`ablateExperts\`) answers that.

Where a published definition and published code differ, both are here: co-activation over all pairs or adjacent ranks only
(\`pairs\`), shares of assignments or of tokens (\`specialization\`), transitions by first choice or by rank (\`pairs\`), vocabulary
over all ids or those seen often enough (\`minSeen\`), REAP's gate before or after renormalising (\`weights\`), balance of devices
by SGLang, by vLLM's comment and by vLLM's code (\`deviceBalance\`).

The examples run on the shipped model: \`trace\` is its routing of the first tokens of its held-out passages, with their kinds
as domains; \`early\` is the same text with expert 0 of the first layer forbidden, in the place of an earlier checkpoint;
\`outputs\` are the expert outputs of the last layer; \`x\` and \`y\` those of the two experts there that meet most often, on their
\`nTokens\` common tokens; \`a\` and \`b\` the neurons of these two, \`dFf\` of each.
`;

/** @param results what each metric's example gives, as text; missing ones stay empty */
export function referencePage(results: ReadonlyMap<string, string>): string {
  const { functions, fieldsOf } = docstrings();
  const sections = GROUPS.map(({ title, metrics }) => {
    const parts = metrics.map((name) => {
      const found = functions.get(name);
      const tag = (what: string): string => {
        const text = found?.tags.get(what);
        if (text === undefined) throw new Error(`${name}: the docstring must have @${what}`);
        return text;
      };
      const fields = fieldsOf(found?.returns ?? "");
      const needs = found?.tags.get("throws");
      return [
        `### ${name}`,
        found!.text,
        [
          `- **Formula:** ${tag("formula")}`,
          `- **Chance:** ${tag("chance")}`,
          ...(found!.tags.has("see") ? [`- **Source:** ${tag("see")}`] : []),
          ...(needs === undefined ? [] : [`- **Refuses:** ${needs.replace(/\b(RangeError|ShapeError) (for )?/g, "")}`]),
        ].join("\n"),
        ...(fields.length > 0
          ? [`Gives:\n\n${fields.map((field) => `- \`${field.name}\`: ${field.text}`).join("\n")}`]
          : []),
        `\`\`\`ts\n${tag("example").replace(/ \/\/ .*$/, "")}\n\`\`\``,
        `\`\`\`text\n${results.get(name) ?? ""}\n\`\`\``,
      ].join("\n\n");
    });
    return [`## ${title}`, ...parts].join("\n\n");
  });
  const table = GROUPS.map(({ title, metrics }) => {
    const links = metrics.map((name) => `[${name}](#${name.toLowerCase()})`);
    return `- ${title}: ${links.join(", ")}`;
  }).join("\n");
  return `${[HEAD.trimEnd(), table, ...sections].join("\n\n")}\n`;
}

/** The page without what depends on the shipped model. */
export function withoutResults(page: string): string {
  return page.replace(/```text\n[^]*?\n```/g, "```text\n\n```");
}

/** The results that a page shows, one a metric, in their order. */
export function resultsIn(page: string): string[] {
  return Array.from(page.matchAll(/```text\n([^]*?)\n```/g), ([, text]) => text!);
}
