import type { ModelConfig } from "../config.ts";
import { DBRX, DENSE_132B, LLAMA2_70B } from "./models.ts";
import { PUBLISHED_SPEEDS, type PublishedSpeed } from "./published.ts";
import { servingSpeed } from "./serving.ts";

/** A published ratio of speeds beside what the roofline gives. */
export interface ComparedSpeed extends PublishedSpeed {
  /** The roofline's ratio: at that many users, or its least and largest where the source names none. */
  predicted: { low: number; high: number };
  /** Predicted over published, less 1: of the low ends (null where the source has none) and the high ones. */
  error: { low: number | null; high: number };
}

const MODELS: Readonly<Record<PublishedSpeed["model"] | PublishedSpeed["against"], ModelConfig>> = {
  DBRX,
  "LLaMA2-70B": LLAMA2_70B,
  "Dense-132B": DENSE_132B,
};

/** Users that stand for the source's words, and for the whole of its figure. */
const FEW = [1];
const BATCH = [200];
const WHOLE_FIGURE = [1, 2, 4, 8, 16, 32, 64, 128, 200];

/**
 * The published ratios of serving speeds beside the roofline's, with the error of each. "Few" users are taken as 1, "batch"
 * as 200; ratios are of one user's tokens a second.
 * @example compareSpeeds().map(({ what, error }) => [what, error.high])
 */
export function compareSpeeds(): ComparedSpeed[] {
  return PUBLISHED_SPEEDS.map((published) => {
    const ratios = usersOf(published.users).map(
      (users) =>
        servingSpeed(MODELS[published.model], users).perUser / servingSpeed(MODELS[published.against], users).perUser,
    );
    const predicted = { low: Math.min(...ratios), high: Math.max(...ratios) };
    return {
      ...published,
      predicted,
      error: {
        low: published.low === null ? null : predicted.low / published.low - 1,
        high: predicted.high / published.high - 1,
      },
    };
  });
}

function usersOf(users: PublishedSpeed["users"]): readonly number[] {
  if (users === null) return WHOLE_FIGURE;
  if (users === "few") return FEW;
  return users === "batch" ? BATCH : [users];
}
