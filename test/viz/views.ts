import { coactivation as countTogether } from "../../lib/metrics/coactivation.ts";
import { windowLabels } from "../../lib/metrics/labels.ts";
import { loadPerExpert } from "../../lib/metrics/load.ts";
import type { RoutingTrace, TokenPiece } from "../../lib/trace/record.ts";
import {
  attentionArcs,
  attentionHeads,
  attentionMap,
  coactivation,
  domainSpecialization,
  dotPlot,
  expertAblation,
  expertFlow,
  expertLoad,
  explorer,
  type Figure,
  logitLens,
  residualNorms,
  routerHeatmap,
  routerSteps,
  routingGrid,
  textActivations,
  trainingCurves,
} from "../../viz/index.ts";
import {
  ABLATION,
  ACTIVATIONS,
  ATTENTION,
  attentionOf,
  COMPARISON,
  HISTORY,
  LENS,
  largeTrace,
  piece,
  ROUTING,
  SMALL,
  seeded,
  stray,
  TWO_KINDS,
} from "./samples.ts";

/** Every view on its hand-made sample. */
export const VIEWS: Record<string, () => Figure> = {
  routingGrid: () => routingGrid(SMALL),
  routerHeatmap: () => routerHeatmap(SMALL),
  attentionMap: () => attentionMap(ATTENTION),
  textActivations: () => textActivations(ACTIVATIONS, { chance: 0.25 }),
  expertLoad: () => expertLoad(loadPerExpert(SMALL)),
  expertFlow: () => expertFlow(SMALL),
  trainingCurves: () => trainingCurves(HISTORY),
  dotPlot: () => dotPlot(COMPARISON),
  expertAblation: () => expertAblation(ABLATION),
  attentionHeads: () => attentionHeads(ATTENTION),
  attentionArcs: () => attentionArcs(ATTENTION),
  logitLens: () => logitLens(LENS),
  routerSteps: () => routerSteps(ROUTING),
  explorer: () => explorer(SMALL),
  residualNorms: () => residualNorms({ ...LENS, norms: [1, 2, 3, 4, 5, 60] }),
  coactivation: () => coactivation(countTogether(SMALL)),
  domainSpecialization: () => domainSpecialization(TWO_KINDS, { draws: 20 }),
};

/** The views that show which expert, on a routing of two layers or more. */
export const EXPERT_VIEWS: Record<string, (trace: RoutingTrace) => Figure> = {
  routingGrid: (trace) => routingGrid(trace),
  routerHeatmap: (trace) => routerHeatmap(trace),
  explorer: (trace) => explorer(trace),
  expertLoad: (trace) => expertLoad(loadPerExpert(trace)),
  expertFlow: (trace) => expertFlow(trace),
  coactivation: (trace) => coactivation(countTogether(trace)),
  domainSpecialization: (trace) =>
    domainSpecialization(trace, { labels: windowLabels(trace, trace.tokenIds.length / 2), draws: 20 }),
  expertAblation: ({ nExperts }) => {
    const tokens = Float64Array.from({ length: nExperts }, (_, e) => 99 * (e + 1));
    const kinds = [{ name: "zero", delta: tokens.map((n) => n / 1e6) }];
    return expertAblation({ layers: [0], nExperts, nTokens: 999, baseLoss: 2, tokens, kinds });
  },
  routerSteps: ({ routerProbs, nExperts, topK }) =>
    routerSteps({
      layer: 0,
      position: 0,
      piece: piece("a"),
      topK,
      gating: { kind: "topKThenSoftmax" },
      logits: routerProbs!.subarray(0, nExperts).map(Math.log),
    }),
};

/** Tokens that are hard to show, and how they must read. */
export const HARD_TOKENS: { piece: TokenPiece; reads: string }[] = [
  { piece: piece(" the"), reads: "␣the" },
  { piece: piece("\n"), reads: "↵" },
  { piece: piece("\t\r"), reads: "⇥␍" },
  { piece: stray(0xe3, 0x81), reads: "⟨E3 81⟩" },
  { piece: piece("مرحبا"), reads: "مرحبا" },
  { piece: piece("שלום"), reads: "שלום" },
  { piece: piece("東京"), reads: "東京" },
  { piece: piece("👩\u200d🔬"), reads: "👩\u200d🔬" },
  { piece: piece("<b>&lt;"), reads: "<b>&lt;" },
  { piece: piece('"><img>'), reads: '"><img>' },
  { piece: piece("\u202ea"), reads: "⟨U+202E⟩a" },
  { piece: piece("\u0301a"), reads: "◌\u0301a" },
  { piece: piece("\u0007"), reads: "␇" },
  { piece: piece("<s>", true), reads: "<s>" },
  { piece: piece(""), reads: "⟨⟩" },
];

/** The views that show text, on any text; `step` is the key that leads to the next token. */
export const TEXT_VIEWS: Record<string, { step: string; of: (pieces: TokenPiece[]) => Figure }> = {
  routingGrid: { step: "ArrowRight", of: (pieces) => routingGrid({ ...largeTrace(pieces.length, 8, 2, 2), pieces }) },
  routerHeatmap: {
    step: "ArrowDown",
    of: (pieces) => routerHeatmap({ ...largeTrace(pieces.length, 8, 2, 2), pieces }),
  },
  explorer: { step: "ArrowRight", of: (pieces) => explorer({ ...largeTrace(pieces.length, 8, 2, 2), pieces }) },
  attentionMap: { step: "ArrowDown", of: (pieces) => attentionMap({ ...attentionOf(pieces.length, 1), pieces }) },
  attentionArcs: { step: "ArrowDown", of: (pieces) => attentionArcs({ ...attentionOf(pieces.length, 1), pieces }) },
  textActivations: {
    step: "ArrowRight",
    of: (pieces) =>
      textActivations({
        layer: 0,
        expert: 1,
        dFf: 1,
        pieces,
        computed: Uint8Array.from(pieces, (_, t) => t % 2),
        values: Float32Array.from(pieces, (_, t) => t),
      }),
  },
  logitLens: {
    step: "ArrowRight",
    of: (pieces) =>
      logitLens({
        rows: ["layer 0"],
        pieces,
        dVocab: 99,
        topIds: pieces.map((_, t) => t),
        topProbs: pieces.map(() => 0.5),
        vocabulary: new Map(pieces.map((own, t) => [t, own])),
        lens: "the final norm",
      }),
  },
  residualNorms: {
    step: "ArrowRight",
    of: (pieces) => {
      const random = seeded(5);
      return residualNorms({ rows: ["layer 0"], pieces, norms: pieces.map(random) });
    },
  },
};
