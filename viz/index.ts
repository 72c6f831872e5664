export { type AttentionArcsData, type AttentionArcsOptions, attentionArcs } from "./attentionArcs.ts";
export {
  type AttentionHeadsData,
  type AttentionHeadsOptions,
  attentionHeads,
  type HeadSummary,
} from "./attentionHeads.ts";
export { type AttentionMapData, type AttentionMapOptions, attentionMap } from "./attentionMap.ts";
export { type CoactivationData, type CoactivationOptions, coactivation, type PairCounts } from "./coactivation.ts";
export type { ExplorerState } from "./contract.ts";
export type { TrainingCurvesData } from "./curvePoints.ts";
export { type InitOptions, init, liveText, show } from "./display.ts";
export {
  type DomainSpecializationData,
  type DomainSpecializationOptions,
  domainSpecialization,
} from "./domainSpecialization.ts";
export { type Comparison, type Dot, type DotPlotData, type DotPlotOptions, dotPlot } from "./dotPlot.ts";
export {
  type AblationKind,
  type AblationResults,
  type ExpertAblationData,
  type ExpertAblationOptions,
  expertAblation,
} from "./expertAblation.ts";
export { type ExpertFlowData, type ExpertFlowOptions, expertFlow } from "./expertFlow.ts";
export { type ExpertLoadData, type ExpertLoadOptions, expertLoad } from "./expertLoad.ts";
export { type ExplorerOptions, explorer } from "./explorer.ts";
export type { ExplorerData } from "./explorerData.ts";
export { Figure, type MimeBundle, type SaveOptions } from "./figure.ts";
export type { ScriptSource } from "./html.ts";
export { type LensResult, type LogitLensData, type LogitLensOptions, logitLens } from "./logitLens.ts";
export {
  type ResidualNorms,
  type ResidualNormsData,
  type ResidualNormsOptions,
  residualNorms,
} from "./residualNorms.ts";
export { type RouterHeatmapData, type RouterHeatmapOptions, routerHeatmap } from "./routerHeatmap.ts";
export { type RouterStepsData, type RouterStepsOptions, routerSteps, type TokenRouting } from "./routerSteps.ts";
export { type RoutingGridData, type RoutingGridOptions, routingGrid } from "./routingGrid.ts";
export { type RunRecord, type RunSize, runCurves } from "./runCurves.ts";
export { type TextActivationsData, type TextActivationsOptions, textActivations } from "./textActivations.ts";
export { type TrainingCurvesOptions, trainingCurves } from "./trainingCurves.ts";
export type { Curve, TrainingHistory } from "./trainingHistory.ts";
