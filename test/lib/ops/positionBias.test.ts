import { readFileSync } from "node:fs";
import * as tf from "@tensorflow/tfjs";
import { beforeAll, expect, test } from "vitest";
import { useBackend } from "../../../lib/backend.ts";
import { positionBias, positionBucket } from "../../../lib/ops/positionBias.ts";
import { expectNoLeak } from "../../helpers.ts";

// What transformers' mT5 gives for key − query from −150 to 150 (test/golden/families/make_mt5.py).
const golden = JSON.parse(readFileSync(new URL("../../golden/families/mt5-buckets.json", import.meta.url), "utf8")) as {
  nBuckets: number;
  maxDistance: number;
  bidirectional: boolean;
  buckets: number[];
}[];

beforeAll(async () => {
  await useBackend();
});

test.each(golden)("$nBuckets buckets up to $maxDistance, both ways: $bidirectional, are transformers'", (setting) => {
  const buckets = setting.buckets.map((_, i) => positionBucket(i - 150, setting));
  expect(buckets).toEqual(setting.buckets);
});

test("a bias stands for each head at the bucket of key minus query", () => {
  const table = tf.tensor2d(
    Array.from({ length: 8 * 2 }, (_, i) => i),
    [8, 2],
  );
  const bias = positionBias(table, 3, { nBuckets: 8, maxDistance: 20, bidirectional: true });
  // Before the query: buckets 1, 2; itself: 0; after it: 4 more. A bucket b holds 2b and, for the second head, 2b + 1.
  expect(bias.arraySync()).toEqual([
    [
      [0, 10, 12],
      [2, 0, 10],
      [4, 2, 0],
    ],
    [
      [1, 11, 13],
      [3, 1, 11],
      [5, 3, 1],
    ],
  ]);
  bias.dispose();
  expectNoLeak(() => positionBias(table, 5, { nBuckets: 8, maxDistance: 20, bidirectional: false }).dispose());
  table.dispose();
});
