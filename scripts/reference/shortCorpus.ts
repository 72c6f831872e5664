import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { worksheet } from "../../lib/train/corpus/maths.ts";

/** Files of this repository that stand for prose and for TypeScript. */
const ENGLISH = ["README.md", "CONTRIBUTING.md", "notebooks/README.md", "models/reference/README.md"];
const TYPESCRIPT = ["lib/train/bpe.ts", "lib/train/step.ts", "lib/train/run.ts", "lib/model.ts", "lib/sample.ts"];
const N_WORKSHEETS = 40;

/** A run that takes well under a minute on two cores. */
const RUN = {
  data: "corpus",
  out: "model",
  state: "state.safetensors",
  model: {
    model_type: "dbrx",
    d_model: 32,
    n_heads: 4,
    n_layers: 2,
    max_seq_len: 64,
    vocab_size: 512,
    attn_config: { kv_n_heads: 2, clip_qkv: 8, rope_theta: 500000 },
    ffn_config: { ffn_hidden_size: 32, moe_num_experts: 8, moe_top_k: 2, moe_loss_weight: 0.05 },
  },
  batch: 8,
  pos: 64,
  steps: 100,
  rate: 0.01,
  warmupSteps: 20,
  checkpointEvery: 20,
};

/**
 * Writes a small corpus that needs no download, worked mathematics and this repository's own text, and a run for it: the same
 * chain as the reference model's, short enough for a test. The last tenth of each text is held out.
 * @param root the repository
 */
export function writeShortCorpus(folder: string, root: string): void {
  const read = (path: string): string => readFileSync(join(root, path), "utf8");
  const kinds = {
    english: ENGLISH.map(read),
    maths: Array.from({ length: N_WORKSHEETS }, (_, seed) => worksheet(seed)),
    typescript: TYPESCRIPT.map(read),
  };
  for (const part of ["train", "heldout"]) mkdirSync(join(folder, "corpus", part), { recursive: true });
  for (const [kind, texts] of Object.entries(kinds)) {
    const text = texts.join("\n\n");
    const end = text.lastIndexOf("\n", 0.9 * text.length);
    for (const [part, half] of [
      ["train", text.slice(0, end)],
      ["heldout", text.slice(end + 1)],
    ] as const)
      writeFileSync(join(folder, "corpus", part, `${kind}.jsonl`), `${JSON.stringify({ text: half })}\n`);
  }
  writeFileSync(join(folder, "run.json"), `${JSON.stringify(RUN, null, 2)}\n`);
}
