import { type ModelConfig, moeOf } from "../config.ts";
import { type Family, type Held, plain, turned, type WeightPart, type WeightRecipe } from "./family.ts";
import { Fields } from "./fields.ts";
import { expertsConfig, expertsJson, LLAMA_TENSORS, llamaConfig, llamaJson } from "./llamaStyle.ts";
import { recipeOf } from "./tensorNames.ts";
import { yarnConfig, yarnJson } from "./yarn.ts";

const FIELDS = { count: "num_local_experts", width: "intermediate_size" } as const;
const WINDOWED = "sliding_attention";

/** The gate is cut at this; the file does not always say it, and transformers never reads it. */
const GLU_LIMIT = 7;

/**
 * gpt-oss (OpenAI 2025): windows on every second layer, attention sinks, biases everywhere, softmax over the chosen
 * logits alone, and a gated unit of which both parts are cut. Experts lie in MXFP4, or in full as [in, out]; of both,
 * gate and up lie alternately. @see https://github.com/openai/gpt-oss
 */
export const gptoss: Family = {
  name: "gpt_oss",
  modelTypes: ["gpt_oss"],

  config(json) {
    const top = new Fields("config.json", json);
    top.only("attention_bias", [true]);
    top.only("swiglu_limit", [GLU_LIMIT]);
    top.object("quantization_config").only("quant_method", ["mxfp4"]);
    for (const rope of ["rope_parameters", "rope_scaling"])
      for (const scale of ["mscale", "mscale_all_dim"]) top.object(rope).only(scale, [null]);
    const shape = llamaConfig(top, 150000, { yarn: true, quantized: true });
    const yarn = yarnConfig(top, shape.nCtx);
    const window = windowOf(top, shape.nLayers);
    return {
      family: "gpt_oss",
      ...shape,
      ...(yarn === undefined ? {} : { yarn }),
      ...(window === undefined ? {} : { window }),
      clipQkv: null,
      attentionBias: true,
      attentionSinks: true,
      mlp: {
        ...expertsConfig(top, FIELDS),
        activation: "geluSigmoid",
        gating: { kind: "topKThenSoftmax" },
        bias: true,
        gluLimit: GLU_LIMIT,
      },
    };
  },

  toJson: (config) => ({
    architectures: ["GptOssForCausalLM"],
    model_type: "gpt_oss",
    ...llamaJson(config),
    hidden_act: "silu", // what the published file says, and nothing reads
    ...expertsJson(config, FIELDS),
    ...yarnJson(config.yarn),
    attention_bias: true,
    swiglu_limit: GLU_LIMIT,
    sliding_window: config.window?.size ?? null,
    layer_types: Array.from({ length: config.nLayers }, (_, l) =>
      config.window?.layers.includes(l) === true ? WINDOWED : "full_attention",
    ),
  }),

  recipe(param, config, held) {
    const [, layer, part] = /^blocks\.(\d+)\.(.+)$/.exec(param) ?? [];
    const own = part === undefined ? null : blockRecipe(part, `model.layers.${layer}`, config, held);
    return own ?? recipeOf([LLAMA_TENSORS], param, config);
  },
};

/** The blocks with a window: every second, from the first on, where the file does not list them. */
function windowOf(top: Fields, nLayers: number): ModelConfig["window"] | undefined {
  const size = top.numberOrNull("sliding_window", 128);
  const types =
    top.words("layer_types", [WINDOWED, "full_attention"]) ??
    Array.from({ length: nLayers }, (_, l) => (l % 2 === 0 ? WINDOWED : "full_attention"));
  if (types.length !== nLayers) throw top.error("layer_types", `a list of num_hidden_layers (${nLayers}) words`);
  const layers = [...types.keys()].filter((l) => types[l] === WINDOWED);
  return size === null || layers.length === 0 ? undefined : { size, layers };
}

/** Where sinks, router and experts come from; null for the other parts of a block. */
function blockRecipe(
  part: string,
  layer: string,
  config: ModelConfig,
  held: Held = () => undefined,
): WeightRecipe | null {
  const { dModel, nHeads } = config;
  const { nExperts, dFf } = moeOf(config, "gpt_oss");
  const mlp = `${layer}.mlp`;
  const every = { first: part.endsWith("_up") ? 1 : 0, of: 2 };
  switch (part) {
    case "attn.sinks":
      return plain(`${layer}.self_attn.sinks`, [nHeads]);
    case "mlp.W_router":
      return turned(`${mlp}.router.weight`, [nExperts, dModel]);
    case "mlp.b_router":
      return plain(`${mlp}.router.bias`, [nExperts]);
    case "mlp.b_gate":
    case "mlp.b_up": {
      const tensor = `${mlp}.experts.gate_up_proj_bias`;
      return { join: "none", parts: [{ tensor, shape: [nExperts, 2 * dFf], transposed: false, every }] };
    }
    case "mlp.b_down":
      return plain(`${mlp}.experts.down_proj_bias`, [nExperts, dModel]);
    case "mlp.W_gate":
    case "mlp.W_up":
      return matrices(`${mlp}.experts.gate_up_proj`, nExperts, [dModel, 2 * dFf], held, every);
    case "mlp.W_down":
      return matrices(`${mlp}.experts.down_proj`, nExperts, [dFf, dModel], held);
    default:
      return null;
  }
}

/** One [in, out] matrix of each expert, out of blocks of [out, in] where the file has those. */
function matrices(
  tensor: string,
  nExperts: number,
  [width, out]: readonly [width: number, out: number],
  held: Held,
  every?: { first: number; of: number },
): WeightRecipe {
  const packed = held(`${tensor}_blocks`) !== undefined;
  const rest = every === undefined ? {} : { every };
  const ofExpert = (_: unknown, e: number): WeightPart =>
    packed
      ? {
          tensor: `${tensor}_blocks`,
          shape: [nExperts, out, width / 32, 16],
          rows: [e * out, (e + 1) * out],
          transposed: true,
          scaling: { format: "mxfp4", scales: `${tensor}_scales` },
          ...rest,
        }
      : { tensor, shape: [nExperts, width, out], rows: [e * width, (e + 1) * width], transposed: false, ...rest };
  return { join: "experts", parts: Array.from({ length: nExperts }, ofExpert) };
}
