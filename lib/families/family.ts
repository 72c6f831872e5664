import type { ModelConfig } from "../config.ts";

/** A piece of a checkpoint tensor that fills (part of) a parameter. */
export interface WeightSource {
  /** The tensor's name in the file. */
  tensor: string;
  /** The shape that it must have in the file. */
  shape: readonly number[];
  /** How the whole tensor is seen before it is turned; default: its shape. */
  view?: readonly number[];
  /** The file holds [out, in]; the parameter wants the last two axes exchanged. */
  transposed: boolean;
}

/** A model family: how to read its configuration and where its weights lie. Data, not behaviour. */
export interface Family {
  name: string;
  /** Values of `model_type` in config.json that belong to it. */
  modelTypes: readonly string[];
  /**
   * @param json a parsed config.json
   * @throws ConfigError
   */
  config(json: Record<string, unknown>): ModelConfig;
  /** The config.json that `config` reads back as the same configuration. */
  toJson(config: ModelConfig): Record<string, unknown>;
  /** Where a parameter (a name of `paramShapes`) comes from. */
  source(param: string, config: ModelConfig): WeightSource;
}
