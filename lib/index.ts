export {
  type AblatedKind,
  type AblationOptions,
  ablateEachExpert,
  type ExpertAblations,
} from "./analysis/ablateEachExpert.ts";
export {
  type AttributionOptions,
  directLogitAttribution,
  type LogitAttribution,
} from "./analysis/directLogitAttribution.ts";
export { expertMeans } from "./analysis/expertMeans.ts";
export { type LogitLens, type LogitLensOptions, logitLens } from "./analysis/logitLens.ts";
export { type LossOptions, lossOf } from "./analysis/lossOf.ts";
export * from "./article/index.ts";
export { AXES, type Axis, type Shape, shapeText } from "./axes.ts";
export { type BackendName, useBackend } from "./backend.ts";
export { ActivationCache } from "./cache.ts";
export { Checkpoint, type CheckpointInfo } from "./checkpoint/checkpoint.ts";
export { loadEncoderDecoder, loadModel, loadTokenizer, readConfig, saveModel } from "./checkpoint/folder.ts";
export { openFolder, writeSafetensors } from "./checkpoint/node.ts";
export type { TensorData } from "./checkpoint/write.ts";
export {
  type DenseConfig,
  type Gating,
  type MlpConfig,
  type ModelConfig,
  type MoeConfig,
  mlpOf,
  moeLayers,
  moeOf,
} from "./config.ts";
export { type EncoderDecoderCacheOptions, EncoderDecoderModel, type TextPair } from "./encoderDecoder.ts";
export { type EncoderDecoderConfig, encoderDecoderCount, encoderDecoderShapes } from "./encoderDecoderConfig.ts";
export { ENCODER_DECODER_HOOKS, type EncoderDecoderHook } from "./encoderDecoderHooks.ts";
export { CheckpointError, ConfigError, ShapeError } from "./errors.ts";
export { FAMILIES, parseConfig } from "./families/index.ts";
export { type GenerateOptions, generate } from "./generate.ts";
export {
  type BlockHook,
  HOOKS,
  type HookContext,
  type HookFn,
  type HookName,
  type HookPattern,
  type Hooks,
  hookName,
  hookNames,
} from "./hooks.ts";
export { ABLATIONS, type Ablation, ablateExperts, type ExpertMeans } from "./interventions/ablateExperts.ts";
export { combineHooks } from "./interventions/combineHooks.ts";
export { forceExperts } from "./interventions/forceExperts.ts";
export { patchActivation } from "./interventions/patchActivation.ts";
export { steerRouter } from "./interventions/steerRouter.ts";
export * from "./metrics/index.ts";
export { type CacheOptions, MoeModel, type RunOptions } from "./model.ts";
export { type NextTokenLoss, nextTokenLoss } from "./nextTokenLoss.ts";
export { type LikelyToken, likeliestTokens, nextTokenLogits } from "./nextTokens.ts";
export { parameterCounts, paramShapes } from "./params.ts";
export type { SamplingOptions } from "./sample.ts";
export { chatPrompt, dbrxTokenizer } from "./tokenizer/dbrx.ts";
export { fromTokenizerJson } from "./tokenizer/huggingFace.ts";
export type { ChatMessage, EncodeOptions, Tokenizer } from "./tokenizer/tokenizer.ts";
export type { Tokens } from "./tokens.ts";
export { attentionTrace, type Captured, expertActivations, routingTrace } from "./trace/capture.ts";
export { type ExpertCounts, mergeCounts } from "./trace/counts.ts";
export { readCounts, writeCounts } from "./trace/countsFile.ts";
export { importRouting } from "./trace/import.ts";
export type { Imported, ImportOptions } from "./trace/imported.ts";
export { loadTrace, saveTrace } from "./trace/node.ts";
export type { AttentionTrace, ExpertActivations, RoutingTrace, TokenPiece } from "./trace/record.ts";
export { joinTraces, positionsOf, sequencesOf } from "./trace/sequences.ts";
export { openTrace, readTrace, type TraceFile } from "./trace/traceReader.ts";
export { type TextOfKind, type TraceTextsOptions, traceTexts } from "./trace/traceTexts.ts";
export { TraceWriter } from "./trace/traceWriter.ts";
export { type TextLoss, type TextLossOptions, textLoss } from "./train/evaluate.ts";
export { progressText } from "./train/progressText.ts";
export { parseRun, type TrainingRun } from "./train/run.ts";
export { readState, writeState } from "./train/state.ts";
export { type TrainingProgress, type TrainingState, type TrainOptions, train } from "./train/train.ts";
