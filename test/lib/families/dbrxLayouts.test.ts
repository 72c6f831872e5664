import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { useBackend } from "../../../lib/backend.ts";
import { memorySource } from "../../../lib/checkpoint/bytes.ts";
import { loadModel, readConfig } from "../../../lib/checkpoint/folder.ts";
import { loadModelFrom } from "../../../lib/checkpoint/load.ts";
import { openFolder } from "../../../lib/checkpoint/node.ts";
import { encodeSafetensors, type TensorData } from "../../../lib/checkpoint/write.ts";
import type { MoeModel } from "../../../lib/model.ts";
import { checkpointOf } from "../checkpoint/files.ts";

const GOLDEN = join(import.meta.dirname, "../../golden/dbrx");

/** A matrix of [rows, columns], turned. */
function turned(data: Float32Array, rows: number, columns: number): Float32Array {
  return Float32Array.from({ length: data.length }, (_, i) => data[(i % rows) * columns + Math.floor(i / rows)]!);
}

/**
 * A published-style DBRX as conversions lay it out: the flat [n_experts·d_ff, d_model] tensors become a tensor for each
 * expert, under another path, w2 turned to [d_model, d_ff] or left as it was.
 */
async function converted(name: string, path: string, turnsW2: boolean, nExperts: number): Promise<TensorData[]> {
  const file = await openFolder(join(GOLDEN, name));
  const tensors: TensorData[] = [];
  for (const { name: tensor, shape } of file.tensors.values()) {
    const data = await file.readFloat32(tensor);
    const [, block, part] = /^(.*)ffn\.experts\.mlp\.(w1|v1|w2)$/.exec(tensor) ?? [];
    if (part === undefined) {
      tensors.push({ name: tensor, shape, dtype: "F32", data });
      continue;
    }
    const [dFf, dModel] = [shape[0]! / nExperts, shape[1]!];
    for (let e = 0; e < nExperts; e++) {
      const own = data.slice(e * dFf * dModel, (e + 1) * dFf * dModel);
      const turns = part === "w2" && turnsW2;
      tensors.push({
        name: `${block}${path.replace("{e}", String(e))}.${part}.weight`,
        shape: turns ? [dModel, dFf] : [dFf, dModel],
        dtype: "F32",
        data: turns ? turned(own, dFf, dModel) : own,
      });
    }
  }
  await file.close();
  return tensors;
}

async function loadWith(name: string, tensors: readonly TensorData[]): Promise<MoeModel> {
  const source = memorySource("file", Buffer.concat([...encodeSafetensors(tensors)]));
  return loadModelFrom(await checkpointOf(source), await readConfig(join(GOLDEN, name)));
}

describe("a DBRX whose experts were taken apart", () => {
  beforeAll(async () => {
    await useBackend();
  });

  test.each([
    ["p1", "ffn.experts.mlp.{e}", true, 8],
    ["p1", "ffn.experts.mlp_experts.{e}", true, 8],
    ["p1", "ffn.experts.{e}", true, 8],
    ["p1", "ffn.experts.mlp.{e}", false, 8],
    ["glu", "ffn.experts.{e}", true, 1],
  ])(
    "has the parameters of the published layout, bit for bit: %s under %s, w2 turned: %s",
    async (name, path, ...how) => {
      const published = await loadModel(join(GOLDEN, name));
      const model = await loadWith(name, await converted(name, path, ...how));
      for (const [param, value] of published.params)
        expect(model.params.get(param)!.dataSync(), param).toEqual(value.dataSync());
      for (const m of [published, model]) m.dispose();
    },
  );

  test("and that lacks an expert is refused with its name", async () => {
    const tensors = await converted("p1", "ffn.experts.mlp.{e}", true, 8);
    const missing = "transformer.blocks.1.ffn.experts.mlp.6.v1.weight";
    await expect(
      loadWith(
        "p1",
        tensors.filter(({ name }) => name !== missing),
      ),
    ).rejects.toThrow(`file: no tensor is called "${missing}"`);
  });

  test("and quantised is refused with what it has besides", async () => {
    const tensors = await converted("p1", "ffn.experts.{e}", true, 8);
    const scales: TensorData = { name: "lm_head.scales", shape: [1], dtype: "F32", data: Float32Array.of(1) };
    await expect(loadWith("p1", [...tensors, scales])).rejects.toThrow(
      "file: tensors must all belong to a dbrx of this configuration, got also lm_head.scales",
    );
  });
});
