export { type BenchmarkScore, type BenchmarkScores, benchmarkScores } from "./benchmarkScores.ts";
export { combinations } from "./combinations.ts";
export { type ComparedSpeed, compareSpeeds } from "./compareSpeeds.ts";
export { DBRX, DENSE_132B, GROK_1, LLAMA2_70B, MIXTRAL_8X7B } from "./models.ts";
export {
  type Cost,
  decodePass,
  flopsPerToken,
  kvCacheBytes,
  type Pass,
  type PassCosts,
  passCosts,
  prefillPass,
} from "./passCosts.ts";
export {
  CLOSED_MODELS,
  LONG_CONTEXT,
  MT_BENCH,
  OPEN_MODELS,
  PUBLISHED_SPEEDS,
  PUBLISHED_TOTALS,
  type PublishedRow,
  type PublishedSpeed,
  type PublishedTable,
  RETRIEVAL,
  SPEED_SOURCES,
  TRAINING_EFFICIENCY,
  type TrainingRow,
} from "./published.ts";
export {
  ARTICLE_WORKLOAD,
  H100_NODE,
  type ServingNode,
  type ServingSpeed,
  servingSpeed,
  usersAtLatency,
  type Workload,
} from "./serving.ts";
export { trainingFlops } from "./trainingFlops.ts";
export { type WeightParts, weightParts } from "./weightParts.ts";
