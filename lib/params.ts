import { type LatentConfig, type MlpConfig, type ModelConfig, mlpOf } from "./config.ts";
import { CheckpointError, listed } from "./errors.ts";

/**
 * Every parameter of a model, by name, with its shape. Matrices stand as x·W needs them, input axis first, but for those
 * of experts, [n_experts, out, in] (`ExpertWeights` says why); names follow the hooks' paths. A family's table says where
 * each comes from in a checkpoint.
 */
export function paramShapes(config: ModelConfig): Map<string, number[]> {
  const { dModel, dVocab } = config;
  const after = (name: string): [string, number[]][] => (config.postNorms === true ? [[name, [dModel]]] : []);
  const shapes = new Map<string, number[]>([["embed.W_E", [dVocab, dModel]]]);
  if (config.learnedPositions === true) shapes.set("embed.W_pos", [config.nCtx, dModel]);
  for (let l = 0; l < config.nLayers; l++) {
    const block: [string, number[]][] = [
      ["ln1.w", [dModel]],
      ...bias("ln1.b", config.normBias, dModel),
      ...attentionShapes(config),
      ...after("ln1_post.w"),
      ["ln2.w", [dModel]],
      ...bias("ln2.b", config.normBias, dModel),
      ...mlpShapes(mlpOf(config, l), dModel),
      ...after("ln2_post.w"),
    ];
    for (const [name, shape] of block) shapes.set(`blocks.${l}.${name}`, shape);
  }
  shapes.set("ln_final.w", [dModel]);
  if (config.normBias === true) shapes.set("ln_final.b", [dModel]);
  return config.tiedEmbeddings === true ? shapes : shapes.set("unembed.W_U", [dModel, dVocab]);
}

function attentionShapes(config: ModelConfig): [string, number[]][] {
  const { dModel, nHeads, nKvHeads, dHead, qkNorm, latent, attentionBias } = config;
  const sinks: [string, number[]][] = config.attentionSinks === true ? [["attn.sinks", [nHeads]]] : [];
  if (latent !== undefined) return [...latentShapes(config, latent), ...sinks];
  const norms: [string, number[]][] = [
    ["attn.q_norm.w", [qkNorm === "head" ? dHead : nHeads * dHead]],
    ["attn.k_norm.w", [qkNorm === "head" ? dHead : nKvHeads * dHead]],
  ];
  return [
    ...(qkNorm === undefined ? [] : norms),
    ["attn.W_QKV", [dModel, (nHeads + 2 * nKvHeads) * dHead]],
    ...bias("attn.b_QKV", attentionBias, (nHeads + 2 * nKvHeads) * dHead),
    ["attn.W_O", [nHeads * dHead, dModel]],
    ...bias("attn.b_O", attentionBias, dModel),
    ...sinks,
  ];
}

/** Down to the narrow vectors, their norms, and up from them; of keys, the rotated dimensions come straight from x. */
function latentShapes(
  { dModel, nHeads, dHead }: ModelConfig,
  { qRank, kvRank, dRope, dValue }: LatentConfig,
): [string, number[]][] {
  const queries: [string, number[]][] =
    qRank === null
      ? [["attn.W_Q", [dModel, nHeads * dHead]]]
      : [
          ["attn.W_Q_down", [dModel, qRank]],
          ["attn.q_latent_norm.w", [qRank]],
          ["attn.W_Q_up", [qRank, nHeads * dHead]],
        ];
  return [
    ...queries,
    ["attn.W_KV_down", [dModel, kvRank + dRope]],
    ["attn.kv_latent_norm.w", [kvRank]],
    ["attn.W_KV_up", [kvRank, nHeads * (dHead - dRope + dValue)]],
    ["attn.W_O", [nHeads * dValue, dModel]],
  ];
}

/** A bias, where the model has it. */
function bias(name: string, has: boolean | undefined, width: number): [string, number[]][] {
  return has === true ? [[name, [width]]] : [];
}

function mlpShapes(mlp: MlpConfig, dModel: number): [string, number[]][] {
  const { dFf } = mlp;
  if (mlp.kind === "dense") {
    const gate: [string, number[]][] = [["mlp.W_gate", [dModel, dFf]], ...bias("mlp.b_gate", mlp.bias, dFf)];
    return [
      ...(mlp.ungated === true ? [] : gate),
      ["mlp.W_up", [dModel, dFf]],
      ...bias("mlp.b_up", mlp.bias, dFf),
      ["mlp.W_down", [dFf, dModel]],
      ...bias("mlp.b_down", mlp.bias, dModel),
    ];
  }
  const { nExperts, dShared } = mlp;
  const shared =
    dShared === undefined ? [] : mlpShapes({ kind: "dense", activation: mlp.activation, dFf: dShared }, dModel);
  const biases: [string, number[]][] = [
    ["mlp.b_gate", [nExperts, dFf]],
    ["mlp.b_up", [nExperts, dFf]],
    ["mlp.b_down", [nExperts, dModel]],
  ];
  return [
    ["mlp.W_router", [dModel, nExperts]],
    ...bias("mlp.b_router", mlp.bias, nExperts),
    ...bias("mlp.b_choice", mlp.gating.kind === "sigmoid", nExperts),
    ["mlp.W_gate", [nExperts, dFf, dModel]],
    ["mlp.W_up", [nExperts, dFf, dModel]],
    ["mlp.W_down", [nExperts, dModel, dFf]],
    ...(mlp.bias === true ? biases : []),
    ...shared.map(([name, shape]): [string, number[]] => [name.replace("mlp.", "mlp.shared."), shape]),
  ];
}

/** The length of a parameter's input axis: the last of an expert's matrix, of other matrices that before the last. */
export function fanIn(shape: readonly number[]): number {
  return shape.length === 3 ? shape[2]! : shape.at(-2)!;
}

/** Parameters of a model: all of them, and those that one token uses (all but the experts it is not routed to). */
export function parameterCounts(config: ModelConfig): { total: number; active: number } {
  const { mlp } = config;
  let total = 0;
  let active = 0;
  for (const [name, shape] of paramShapes(config)) {
    const size = shape.reduce((a, b) => a * b, 1);
    const isOfExperts = /\.mlp\.(W|b)_(gate|up|down)$/.test(name) && mlpOf(config, layerOf(name)).kind === "moe";
    total += size;
    active += isOfExperts && mlp.kind === "moe" ? (size / mlp.nExperts) * mlp.topK : size;
  }
  return { total, active };
}

const layerOf = (param: string): number => Number(param.split(".")[1]);

/**
 * Checks that a model's parameters are all there.
 * @param shapes by name, as `paramShapes` gives them
 * @throws CheckpointError for one that is missing or has another shape
 */
export function checkParams(
  shapes: ReadonlyMap<string, readonly number[]>,
  params: ReadonlyMap<string, { shape: readonly number[] }>,
): void {
  for (const [name, shape] of shapes) {
    const found = params.get(name);
    if (found === undefined) throw new CheckpointError(`model: parameter ${name} is missing`);
    if (found.shape.join() !== shape.join())
      throw new CheckpointError(`model: ${name} must have shape [${listed(shape)}], got [${listed(found.shape)}]`);
  }
}
