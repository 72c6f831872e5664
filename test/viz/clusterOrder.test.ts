import { expect, test } from "vitest";
import { clusterOrder } from "../../viz/clusterOrder.ts";

test("puts like beside like", () => {
  // Two groups, {0, 3, 5} and {1, 2, 4}.
  const group = [0, 1, 1, 0, 1, 0];
  const likeness = group.flatMap((a) => group.map((b) => (a === b ? 1 : -1)));
  const order = clusterOrder(likeness, 6).map((i) => group[i]);
  expect([order.join(""), order.toReversed().join("")]).toContain("000111");
});

test("follows a chain from end to end", () => {
  const place = [3, 0, 4, 1, 2];
  const likeness = place.flatMap((a) => place.map((b) => -Math.abs(a - b)));
  const order = clusterOrder(likeness, 5).map((i) => place[i]!);
  const steps = order.slice(1).map((p, i) => Math.abs(p - order[i]!));
  expect(Math.max(...steps)).toBeLessThanOrEqual(2);
  expect(order.toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4]);
});

test("is empty for nothing and itself for one", () => {
  expect(clusterOrder([], 0)).toEqual([]);
  expect(clusterOrder([1], 1)).toEqual([0]);
});
