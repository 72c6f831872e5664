import { join } from "node:path";
import { combinations } from "../article/combinations.ts";
import type { CheckpointInfo } from "../checkpoint/checkpoint.ts";
import { exists, readJson } from "../checkpoint/folder.ts";
import { inGigabytes, memoryFor } from "../checkpoint/memory.ts";
import { openFolder } from "../checkpoint/node.ts";
import type { ModelConfig } from "../config.ts";
import { type EncoderDecoderConfig, encoderDecoderCount, encoderDecoderShapes } from "../encoderDecoderConfig.ts";
import { listed } from "../errors.ts";
import { isEncoderDecoder, parseConfig, parseEncoderDecoder } from "../families/index.ts";
import { parameterCounts, paramShapes } from "../params.ts";
import { type Command, parse } from "./command.ts";

async function checkpointInfo(folder: string): Promise<CheckpointInfo | null> {
  const names = ["model.safetensors", "model.safetensors.index.json"];
  const present = await Promise.all(names.map((name) => exists(join(folder, name))));
  if (!present.includes(true)) return null;
  const checkpoint = await openFolder(folder);
  await checkpoint.close();
  return checkpoint.info;
}

const number = (value: number | bigint): string => value.toLocaleString("en-US");

function onDisk(checkpoint: CheckpointInfo | null): string {
  if (checkpoint === null) return "none in this folder";
  const { tensors, files, bytes } = checkpoint;
  return `${number(tensors)} tensors in ${files} file(s), ${number(bytes)} bytes`;
}

/** Whether the model can be loaded here, with the numbers. */
function memoryLine({ needed, free }: ReturnType<typeof memoryFor>, streams: boolean): string {
  const verdict =
    needed <= free
      ? "it fits"
      : `it will not fit${streams ? "; --memory GB lets capture, generate and trace stream it" : ""}`;
  return `memory               ${inGigabytes(needed)} to load it whole, ${inGigabytes(free)} free here: ${verdict}`;
}

function lines(config: ModelConfig, checkpoint: CheckpointInfo | null): string[] {
  const { mlp, denseBlocks } = config;
  const { total, active } = parameterCounts(config);
  return [
    `family               ${config.family}`,
    `layers               ${config.nLayers}`,
    `d_model              ${config.dModel}`,
    `heads                ${config.nHeads} query, ${config.nKvHeads} key-value, of ${config.dHead}`,
    `vocabulary           ${number(config.dVocab)}`,
    `context              ${number(config.nCtx)} tokens`,
    ...(mlp.kind === "dense"
      ? [`experts              none: dense, d_ff ${number(mlp.dFf)}`]
      : [
          `experts              ${mlp.nExperts}, ${mlp.topK} per token, d_ff ${number(mlp.dFf)}`,
          `combinations         ${number(combinations(mlp.nExperts, mlp.topK))} sets of experts per layer`,
        ]),
    ...(denseBlocks === undefined
      ? []
      : [`dense layers         ${listed(denseBlocks.layers)}, d_ff ${number(denseBlocks.mlp.dFf)}`]),
    `parameters           ${number(total)}`,
    `active per token     ${number(active)} (${((100 * active) / total).toFixed(1)} %)`,
    `weights on disk      ${onDisk(checkpoint)}`,
    memoryLine(memoryFor(paramShapes(config)), true),
  ];
}

function encoderDecoderLines(config: EncoderDecoderConfig, checkpoint: CheckpointInfo | null): string[] {
  return [
    `family               ${config.family}, an encoder-decoder`,
    `layers               ${config.nEncoderLayers} encoder, ${config.nDecoderLayers} decoder`,
    `d_model              ${config.dModel}`,
    `heads                ${config.nHeads} of ${config.dHead}`,
    `vocabulary           ${number(config.dVocab)}`,
    `experts              none: dense, d_ff ${number(config.dFf)}`,
    `parameters           ${number(encoderDecoderCount(config))}`,
    `weights on disk      ${onDisk(checkpoint)}`,
    memoryLine(memoryFor(encoderDecoderShapes(config)), false),
  ];
}

export const infoCommand: Command = {
  usage: "moescope info MODEL [--json]",
  summary: "Sizes of a model: family, parameters, experts, tensors and bytes on disk, and whether memory holds it.",
  details: "MODEL    a folder with config.json, with or without weights\n--json   machine-readable",
  async run(args) {
    const { values, positionals } = parse(args, ["MODEL"], { json: { type: "boolean" } });
    const folder = positionals[0]!;
    const read = await readJson(join(folder, "config.json"));
    const checkpoint = await checkpointInfo(folder);
    if (isEncoderDecoder(read)) {
      const config = parseEncoderDecoder(read);
      const parameters = encoderDecoderCount(config);
      const memory = memoryFor(encoderDecoderShapes(config));
      const counts = { total: parameters, active: parameters };
      const json = { config, parameters: counts, combinations: null, checkpoint, memory };
      console.log(
        values.json === true ? JSON.stringify(json, null, 2) : encoderDecoderLines(config, checkpoint).join("\n"),
      );
      return;
    }
    const config = parseConfig(read);
    if (values.json !== true) {
      console.log(lines(config, checkpoint).join("\n"));
      return;
    }
    const { total, active } = parameterCounts(config);
    const { mlp } = config;
    const json = {
      config,
      parameters: { total, active },
      combinations: mlp.kind === "moe" ? Number(combinations(mlp.nExperts, mlp.topK)) : null,
      checkpoint,
      memory: memoryFor(paramShapes(config)),
    };
    console.log(JSON.stringify(json, null, 2));
  },
};
