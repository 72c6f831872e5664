import { describe, expect, test } from "vitest";
import { cacheHitRate } from "../../../lib/metrics/cacheHitRate.ts";
import { capacityDrops } from "../../../lib/metrics/capacityDrops.ts";
import { coactivation } from "../../../lib/metrics/coactivation.ts";
import { windowLabels } from "../../../lib/metrics/labels.ts";
import { repetition } from "../../../lib/metrics/repetition.ts";
import { specialization } from "../../../lib/metrics/specialization.ts";
import { transitions } from "../../../lib/metrics/transitions.ts";
import { vocabulary } from "../../../lib/metrics/vocabulary.ts";
import { SIX } from "./traces.ts";

const wrong = "none" as never;

describe("a named option that does not exist is an error that lists what does", () => {
  test.each([
    ['coactivation: pairs must be one of "all", "adjacentRank", got "none"', () => coactivation(SIX, { pairs: wrong })],
    ['transitions: pairs must be one of "firstChoice", "sameRank", "all"', () => transitions(SIX, { pairs: wrong })],
    [
      'policy must be one of "lru", "lfu", "belady", got "none"',
      () => cacheHitRate(SIX, { capacity: 1, policy: wrong }),
    ],
    ['order must be one of "token", "rank", got "none"', () => capacityDrops(SIX, { capacityFactor: 1, order: wrong })],
    ['grouping must be one of "input", "next", "predicted", got "none"', () => vocabulary(SIX, { grouping: wrong })],
    ['choice must be one of "topK", "first", got "none"', () => vocabulary(SIX, { choice: wrong })],
    ['repetition: a measure must be one of "firstChoice", "anyOverlap"', () => repetition(SIX, { measures: [wrong] })],
    ['unit must be one of "sequence", "token"', () => specialization(SIX, windowLabels(SIX, 3), { unit: wrong })],
  ])("%s", (message, call) => {
    expect(call).toThrow(message);
  });
});
