import type { ModelConfig } from "../config.ts";

/** A piece of a checkpoint that fills (part of) a parameter. */
export interface WeightPart {
  /** The tensor's name in the file. */
  tensor: string;
  /** The shape that it must have in the file. */
  shape: readonly number[];
  /**
   * Only these rows, from `start` up to, not including, `end`; every axis but the last counts as one (of MXFP4: every
   * axis but the last two, for those are one row).
   */
  rows?: readonly [start: number, end: number];
  /** The file holds [out, in]; else [in, out]. Read, it is turned if the parameter lies the other way. */
  transposed: boolean;
  /** What is added to each value as it is read: a gain that the file holds as its distance from 1. */
  plus?: number;
  /** Of the outputs only every `of`-th, from `first` on. */
  every?: { first: number; of: number };
  /** The file holds numbers of few bits, and in the tensor `scales` a factor for each block of them. */
  scaling?: { format: "mxfp4" | "fp8"; scales: string };
}

/** How a parameter is put together: one part as it is, parts side by side, or one part for each expert, outputs first. */
export interface WeightRecipe {
  join: "none" | "columns" | "experts";
  parts: readonly WeightPart[];
}

/** The shape of a tensor in the checkpoint at hand; undefined where there is none of that name. */
export type Held = (tensor: string) => readonly number[] | undefined;

/** A model family: how to read its configuration and where its weights lie. Data, not behaviour. */
export interface Family {
  name: string;
  /** Values of `model_type` in config.json that belong to it. */
  modelTypes: readonly string[];
  /** Tensors that checkpoints may hold and that are no weights, such as tables that can be computed. */
  ignored?: RegExp;
  /** So are those of layers past the last one. */
  ignoredLayers?: boolean;
  /**
   * What a configuration says of training alone is not read, for all families alike: dropout, and noise on what a router
   * reads. Our own training has neither.
   * @param json a parsed config.json
   * @throws ConfigError
   */
  config(json: Record<string, unknown>): ModelConfig;
  /** Fields of config.json that are written with a point even when whole: strict readers tell 1 from 1.0. */
  floatFields?: readonly string[];
  /** Tensors that no parameter needs and that readers of the format look for; they are written as zeros. */
  fillers?(config: ModelConfig): { tensor: string; shape: readonly number[] }[];
  /** The config.json that `config` reads back as the same configuration. */
  toJson(config: ModelConfig): Record<string, unknown>;
  /**
   * Where a parameter (a name of `paramShapes`) comes from.
   * @param held decides between the ways that the family's checkpoints are laid out; left out: the way to write one
   */
  recipe(param: string, config: ModelConfig, held?: Held): WeightRecipe;
}

/** A recipe of one tensor as it lies in the file. */
export function plain(tensor: string, shape: readonly number[]): WeightRecipe {
  return { join: "none", parts: [{ tensor, shape, transposed: false }] };
}

/** A recipe of one tensor that the file holds as [out, in]. */
export function turned(tensor: string, shape: readonly number[]): WeightRecipe {
  return { join: "none", parts: [{ tensor, shape, transposed: true }] };
}
