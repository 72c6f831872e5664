import { generate } from "../../lib/generate.ts";
import type { MoeModel } from "../../lib/model.ts";
import { hashUniform } from "../../lib/random.ts";
import type { Tokenizer } from "../../lib/tokenizer/tokenizer.ts";

/** Most tokens of a held-out document that are given (half of a shorter one), and that the model adds. */
const GIVEN = 64;
const ADDED = 64;

/** Continuations of each kind, by the seeds 1, 2 …: chosen by nothing else. */
const SAMPLES_A_KIND = 3;

const SAMPLING = { temperature: 0.8, topP: 0.95 };

export interface Sample {
  kind: string;
  seed: number;
  /** Which of the kind's held-out documents, from 0, and the text that its first tokens stand for. */
  document: number;
  given: string;
  added: string;
}

/** Continues the beginnings of held-out documents; the seed chooses the document and the tokens. */
export async function sampleContinuations(
  model: MoeModel,
  tokenizer: Tokenizer,
  heldOut: ReadonlyMap<string, readonly string[]>,
): Promise<Sample[]> {
  const samples: Sample[] = [];
  for (const [kind, documents] of heldOut)
    for (let seed = 1; seed <= SAMPLES_A_KIND; seed++) {
      const document = Math.floor(hashUniform(seed, 0) * documents.length);
      const ids = tokenizer.encode(documents[document]!);
      const given = ids.slice(0, Math.min(GIVEN, Math.ceil(ids.length / 2)));
      const added: number[] = [];
      for await (const id of generate(model, given, {
        ...SAMPLING,
        seed,
        maxTokens: ADDED,
        stopIds: [...tokenizer.specials.values()],
      }))
        added.push(id);
      samples.push({ kind, seed, document, given: tokenizer.decode(given), added: tokenizer.decode(added) });
    }
  return samples;
}
