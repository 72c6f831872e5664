export { type AblationChanges, ablationAgreement } from "./ablationAgreement.ts";
export { activationRateDifference } from "./activationRateDifference.ts";
export { type CacheHitRate, type CacheHitRateOptions, type CachePolicy, cacheHitRate } from "./cacheHitRate.ts";
export { type CapacityDrops, type CapacityOptions, capacityDrops, type DropOrder } from "./capacityDrops.ts";
export type { Chance, Measure, SimulationOptions } from "./chance.ts";
export { type Coactivation, coactivation } from "./coactivation.ts";
export { type Confidence, type ConfidenceMeasure, confidence } from "./confidence.ts";
export { countPairs, type PairCounts, type PairKind } from "./countPairs.ts";
export { type Coverage, type CoverageOptions, coverage } from "./coverage.ts";
export { type DeviceBalance, type DeviceBalanceOptions, deviceBalance } from "./deviceBalance.ts";
export { expectedDistinctExperts } from "./distinctExperts.ts";
export { type ExpertFlow, type ExpertFlowOptions, expertFlow, type FlowEdge, type FlowNode } from "./expertFlow.ts";
export { jensenShannon } from "./jensenShannon.ts";
export {
  domainLabels,
  type Labels,
  phaseLabels,
  positionLabels,
  tokenClassLabels,
  windowLabels,
} from "./labels.ts";
export { linearCka } from "./linearCka.ts";
export { type ExpertLoad, loadPerExpert } from "./load.ts";
export { type GroupLoad, loadByLabel } from "./loadByLabel.ts";
export { loadByRank, type RankLoad } from "./loadByRank.ts";
export { loadChance, type RoutingSize } from "./loadChance.ts";
export { type LoadShape, loadShape } from "./loadShape.ts";
export { type LoadStatistics, type LoadStatisticsOptions, loadStatistics } from "./loadStatistics.ts";
export { type DocumentLosses, type LossDifference, lossDifference } from "./lossDifference.ts";
export { type MutualInformation, mutualInformation } from "./mutualInformation.ts";
export { type OverlapMeasure, overlapChance, overlapOf } from "./overlap.ts";
export { type Estimate, pairedBootstrap } from "./pairedBootstrap.ts";
export { rankCorrelation } from "./rankCorrelation.ts";
export {
  type Repeated,
  type Repetition,
  type RepetitionMeasure,
  type RepetitionOptions,
  repetition,
} from "./repetition.ts";
export { type RoutingDivergence, routingDivergence } from "./routingDivergence.ts";
export { type ExpertOutputs, SALIENCIES, type Saliency, type SaliencyName, saliency } from "./saliency.ts";
export { type Saturation, type SaturationMeasure, type SaturationOptions, saturation } from "./saturation.ts";
export { mergeSketches, type Sketch, sketch } from "./sketch.ts";
export { type Specialization, type SpecializationOptions, specialization } from "./specialization.ts";
export type { Grouping } from "./tokenGroups.ts";
export { type Trajectories, type TrajectoriesOptions, trajectories } from "./trajectories.ts";
export { type Transition, type TransitionPairs, type TransitionsOptions, transitions } from "./transitions.ts";
export { type VocabularyOptions, type VocabularySpecialization, vocabulary } from "./vocabulary.ts";
export { type VocabularyChance, vocabularyChance } from "./vocabularyChance.ts";
export { type WeightSimilarity, weightSimilarity } from "./weightSimilarity.ts";
