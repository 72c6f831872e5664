import { beforeAll, describe, expect, test } from "vitest";
import { useBackend } from "../../../lib/backend.ts";
import { nextTokenLoss } from "../../../lib/nextTokenLoss.ts";
import { fromTokenizerJson } from "../../../lib/tokenizer/huggingFace.ts";
import { trainBpe } from "../../../lib/train/bpe.ts";
import { probeKind, readProbe } from "../../../scripts/studies/probe.ts";
import { randomModel, TINY } from "../../helpers.ts";

const TEXT = "a long text of which windows are taken, a long text of few words. ".repeat(3);
const tokenizer = fromTokenizerJson(trainBpe([TEXT], { vocabSize: 270 }));
const ids = [...tokenizer.encode(TEXT), ...tokenizer.specials.values()];

describe("the probe text", () => {
  beforeAll(async () => {
    await useBackend();
  });

  test("is windows far apart, each with the tokens that follow, and the bytes that those stand for", () => {
    const { inputs, labels, bytes } = probeKind("prose", [TEXT], tokenizer, { nWindows: 3, pos: 8 });
    const most = Math.floor((ids.length - 1) / 8);
    const starts = [0, Math.floor(most / 3) * 8, Math.floor((2 * most) / 3) * 8];
    expect(inputs.map((row) => [...row])).toEqual(starts.map((start) => ids.slice(start, start + 8)));
    expect(labels.map((row) => [...row])).toEqual(starts.map((start) => ids.slice(start + 1, start + 9)));
    const text = labels.map((row) => tokenizer.decode([...row])).join("");
    expect(bytes).toBe(Buffer.byteLength(text));
    // Two documents of one byte: the token between them stands for none.
    expect(probeKind("letters", ["a", "a"], tokenizer, { nWindows: 1, pos: 3 }).bytes).toBe(1);
  });

  test("refuses a kind with too little text", () => {
    expect(() => probeKind("prose", [TEXT], tokenizer, { nWindows: 8, pos: 800 })).toThrow(
      `probe: prose must hold 6401 held-out tokens, got ${ids.length}`,
    );
  });

  test("is read window by window: losses as nextTokenLoss has them, and the routing with the kinds of the windows", () => {
    const model = randomModel({ ...TINY, dVocab: tokenizer.vocabSize });
    const size = { nWindows: 2, pos: 8 };
    const probe = [probeKind("prose", [TEXT], tokenizer, size), probeKind("end", [TEXT.slice(60)], tokenizer, size)];
    const { bitsPerByte, natsPerToken, trace } = readProbe(model, probe, "tiny");
    const nats = probe.map(({ inputs, labels }) =>
      inputs.map((input, w) => {
        const row = [...input, labels[w]!.at(-1)!];
        const logits = model.run(row);
        const { perToken } = nextTokenLoss(logits, row);
        logits.dispose();
        return perToken.reduce((sum, loss) => sum + loss, 0);
      }),
    );
    for (const [i, { kind, bytes }] of probe.entries())
      expect(bitsPerByte[kind]).toBeCloseTo((nats[i]![0]! + nats[i]![1]!) / Math.LN2 / bytes, 4);
    expect(natsPerToken).toBeCloseTo(nats.flat().reduce((sum, loss) => sum + loss, 0) / 32, 5);
    expect(trace).toMatchObject({ nExperts: 5, topK: 2, domains: ["prose", "prose", "end", "end"] });
    expect([...trace!.tokenIds]).toEqual(probe.flatMap(({ inputs }) => inputs.flatMap((row) => [...row])));
    expect(trace!.routerProbs).toHaveLength(32 * 2 * 5);
    model.dispose();
  });
});
