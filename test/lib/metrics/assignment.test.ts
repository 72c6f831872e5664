import * as fc from "fast-check";
import { expect, test } from "vitest";
import { assignment } from "../../../lib/metrics/assignment.ts";
import { everyChoice } from "./traces.ts";

test("assignment finds the largest sum of all orders", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 5 }), fc.infiniteStream(fc.integer({ min: -20, max: 20 })), (n, numbers) => {
      const gains = Float64Array.from({ length: n * n }, () => numbers.next().value as number);
      const sum = (columns: ArrayLike<number>): number =>
        Array.from(columns).reduce((total, column, row) => total + gains[row * n + column]!, 0);
      const found = assignment(gains);
      expect(found.toSorted()).toEqual(Int32Array.from({ length: n }, (_, i) => i));
      expect(sum(found)).toBe(Math.max(...everyChoice(n, n).map(sum)));
    }),
  );
});

test("assignment of nothing is nothing", () => {
  expect([...assignment(new Float64Array())]).toEqual([]);
});
