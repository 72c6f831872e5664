import type { AttentionTrace, ExpertActivations, RoutingTrace, TokenPiece } from "../../lib/trace/record.ts";
import type { Comparison } from "../../viz/dotPlot.ts";
import type { AblationResults } from "../../viz/expertAblation.ts";
import type { LensResult } from "../../viz/logitLens.ts";
import type { TokenRouting } from "../../viz/routerSteps.ts";
import type { TrainingHistory } from "../../viz/trainingHistory.ts";

/** A token whose bytes are whole characters. */
export function piece(text: string, special = false): TokenPiece {
  return { id: text.length, bytes: new TextEncoder().encode(text), text, special };
}

/** A token that ends inside a character. */
export function stray(...bytes: number[]): TokenPiece {
  return { id: 900, bytes: Uint8Array.from(bytes), text: null, special: false };
}

/**
 * Three tokens, two layers, four experts, two chosen, by hand. Layer 0: (0,1) (0,2) (3,0); layer 2: (1,2) (1,3) (2,1).
 */
export const SMALL: RoutingTrace = {
  source: { engine: "hand", model: "none" },
  nExperts: 4,
  topK: 2,
  layers: [0, 2],
  tokenIds: Int32Array.from([5, 17, 3]),
  pieces: [piece("<s>", true), piece(" the"), piece("\n")],
  sequenceOffsets: Int32Array.from([0, 3]),
  expertIndices: Uint16Array.from([0, 1, 1, 2, 0, 2, 1, 3, 3, 0, 2, 1]),
  expertWeights: Float32Array.from([0.75, 0.25, 0.5, 0.5, 0.625, 0.375, 0.875, 0.125, 0.5, 0.5, 0.75, 0.25]),
  routerProbs: Float32Array.from(
    [
      [0.6, 0.2, 0.1, 0.1],
      [0.125, 0.375, 0.375, 0.125],
      [0.5, 0.125, 0.25, 0.125],
      [0.0625, 0.75, 0.0625, 0.125],
      [0.375, 0.125, 0.125, 0.375],
      [0.125, 0.25, 0.5, 0.125],
    ].flat(),
  ),
  rankOrdered: true,
};

/** Three tokens, two heads; head 1 gives row 2 as 0.5, 0.125, 0.375. */
export const ATTENTION: AttentionTrace = {
  layer: 1,
  nHeads: 2,
  pieces: [piece("<s>", true), piece("東京"), piece(" x")],
  pattern: Float32Array.from(
    [
      [1, 0, 0, 0.5, 0.5, 0, 0.25, 0.25, 0.5],
      [1, 0, 0, 0.75, 0.25, 0, 0.5, 0.125, 0.375],
    ].flat(),
  ),
};

/** Four tokens, three neurons; the second and fourth token went to this expert. */
export const ACTIVATIONS: ExpertActivations = {
  layer: 1,
  expert: 7,
  dFf: 3,
  pieces: [piece("Two"), piece(" dogs"), piece(".\n"), piece("三")],
  computed: Uint8Array.from([0, 1, 0, 1]),
  values: Float32Array.from([
    Number.NaN,
    Number.NaN,
    Number.NaN,
    0.5,
    -2,
    0,
    Number.NaN,
    Number.NaN,
    Number.NaN,
    1,
    4,
    -3,
  ]),
};

/** A picture with a line for each element, so that a changed snapshot shows what changed. */
export function byLine(svg: string): string {
  return `${svg.replaceAll("><", ">\n<")}\n`;
}

/** Numbers in [0, 1) that are the same in every run. */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

/** A routing of any size, its tokens as long and as varied as real ones. */
export function largeTrace(nTokens: number, nExperts: number, topK: number, nLayers: number): RoutingTrace {
  const random = seeded(1);
  const words = [" understanding", "東京", "\n", " the", " (x)", "⟨s⟩", " 12", " Straße", "😀", "_name"];
  const indices = new Uint16Array(nTokens * nLayers * topK);
  const weights = new Float32Array(indices.length);
  const probs = new Float32Array(nTokens * nLayers * nExperts);
  for (let row = 0; row < nTokens * nLayers; row++) {
    const scores = Array.from({ length: nExperts }, (_, expert) => ({ expert, p: Math.exp(4 * random()) }));
    const sum = scores.reduce((total, { p }) => total + p, 0);
    for (const { expert, p } of scores) probs[row * nExperts + expert] = p / sum;
    const chosen = scores.toSorted((a, b) => b.p - a.p).slice(0, topK);
    const mass = chosen.reduce((total, { p }) => total + p, 0);
    for (const [k, { expert, p }] of chosen.entries()) {
      indices[row * topK + k] = expert;
      weights[row * topK + k] = p / mass;
    }
  }
  return {
    source: { engine: "seeded", model: "none" },
    nExperts,
    topK,
    layers: Array.from({ length: nLayers }, (_, layer) => layer),
    tokenIds: new Int32Array(nTokens),
    pieces: Array.from({ length: nTokens }, () => piece(words[Math.floor(random() * words.length)]!)),
    sequenceOffsets: Int32Array.from([0, nTokens]),
    expertIndices: indices,
    expertWeights: weights,
    routerProbs: probs,
    rankOrdered: true,
  };
}

/** Attention of any size: every head another, its rows summing to 1. */
export function attentionOf(nTokens: number, nHeads: number): AttentionTrace {
  const random = seeded(2);
  const pattern = new Float32Array(nHeads * nTokens * nTokens);
  for (let row = 0; row < nHeads * nTokens; row++) {
    const q = row % nTokens;
    const scores = Array.from({ length: q + 1 }, () => random());
    const sum = scores.reduce((a, b) => a + b, 0);
    for (const [k, score] of scores.entries()) pattern[row * nTokens + k] = score / sum;
  }
  return { layer: 0, nHeads, pieces: largeTrace(nTokens, 1, 1, 1).pieces!, pattern };
}

/** Twelve texts of two tokens: prose takes experts 0 and 1, code 3 and 1. */
export const TWO_KINDS: RoutingTrace = {
  ...SMALL,
  layers: [4],
  tokenIds: new Int32Array(24),
  pieces: Array.from({ length: 24 }, () => piece(" the")),
  sequenceOffsets: Int32Array.from({ length: 13 }, (_, s) => 2 * s),
  expertIndices: Uint16Array.from({ length: 48 }, (_, i) => (i % 2 === 1 ? 1 : i < 24 ? 0 : 3)),
  expertWeights: null,
  routerProbs: null,
  domains: Array.from({ length: 12 }, (_, s) => (s < 6 ? "prose" : "code")),
};

/** Four steps of a run with two layers; one load was not measured. */
export const HISTORY: TrainingHistory = {
  steps: [1, 10, 100, 1000],
  layers: [0, 3],
  curves: [
    { name: "cross-entropy, nats", values: [8, 6, 4, 2], baseline: { value: 8.3, name: "uniform guess" } },
    {
      name: "MaxVio",
      values: [
        [0.5, Number.NaN, 0.25, 0.125],
        [1, Number.NaN, 0.75, 0.5],
      ],
      baseline: { value: 0, name: "even load" },
    },
  ],
};

/** Two layers of three experts; one expert with few tokens, and one that one way was not run on. */
export const ABLATION: AblationResults = {
  layers: [0, 3],
  nExperts: 3,
  nTokens: 200,
  baseLoss: 2.5,
  tokens: [100, 20, 60, 200, 40, 200],
  kinds: [
    { name: "zero", delta: [0.1, 9, -0.05, 0.2, 0.1, 0.5] },
    { name: "reroute", delta: [0, 9, Number.NaN, -0.05, 0.05, 0.25] },
  ],
};

/** Two tokens read after the embedding and after two layers; three tokens of five are listed. */
export const LENS: LensResult = {
  rows: ["embedding", "layer 0", "layer 1"],
  pieces: [
    { ...piece(" a"), id: 1 },
    { ...piece("b\n"), id: 2 },
  ],
  dVocab: 5,
  // By row and token: (3 …) (4 …); (2 …) (4 …); (2 …) (0 …).
  topIds: [3, 2, 1, 4, 0, 1, 2, 3, 1, 4, 0, 2, 2, 1, 3, 0, 4, 2],
  topProbs: [
    0.5, 0.25, 0.125, 0.375, 0.25, 0.125, 0.625, 0.25, 0.0625, 0.5, 0.25, 0.125, 0.75, 0.125, 0.0625, 0.875, 0.0625,
    0.03125,
  ],
  vocabulary: new Map([0, 2, 3].map((id) => [id, { ...piece(["<e>", "", "b\n", "三"][id]!), id }])),
  finalRank: [2, 2, 1, 2, 1, 1],
  lens: "the final norm",
};

/** Four experts with probabilities 0.5, 0.25, 0.2 and 0.05; two are chosen, with outputs at a right angle. */
export const ROUTING: TokenRouting = {
  layer: 2,
  position: 7,
  piece: piece(" the"),
  topK: 2,
  gating: { kind: "softmaxThenTopK", normalize: 1 },
  logits: [0.2, 0.5, 0.05, 0.25].map(Math.log),
  indices: [1, 3],
  weights: [2 / 3, 1 / 3],
  outputs: [3, 0, 0, 6],
};

export const COMPARISON: Comparison = {
  title: "Two tests",
  quantity: "accuracy, %",
  note: "100 questions each",
  series: ["ours", "theirs"],
  rows: [
    {
      name: "sums",
      dots: [
        { value: 50, low: 40, high: 60 },
        { value: 70, otherwise: "8-shot" },
      ],
    },
    { name: "spelling <b>", dots: [{ value: 80 }, null] },
  ],
  baseline: { value: 25, name: "guess" },
};
