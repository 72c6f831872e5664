import { expect, test } from "vitest";
import { count, percent, probability, quoted, real, times } from "../../viz/format.ts";

test.each([
  [0, "0.000"],
  [0.0004, "<0.001"],
  [0.0005, "0.001"],
  [0.25, "0.250"],
  [1, "1.000"],
])("writes the probability %d as %s", (value, text) => {
  expect(probability(value)).toBe(text);
});

test.each([
  [0, "0"],
  [-0.5, "−0.5"],
  [12.345, "12.3"],
  [1234.5, "1230"],
  [-0.00012, "−1.2e−4"],
  [250_000, "2.5e+5"],
  [Number.NaN, "NaN"],
  [-Infinity, "−Infinity"],
])("writes the number %d as %s", (value, text) => {
  expect(real(value)).toBe(text);
});

test("writes shares and counts", () => {
  expect(percent(0.0625)).toBe("6.3 %");
  expect(count(2048)).toBe("2,048");
});

test.each([
  [4.06, "4.1 ×"],
  [1, "1.0 ×"],
  [0.25, "0.25 ×"],
  [0.0312, "0.031 ×"],
  [Number.NaN, "–"],
])("writes the ratio %d as %s", (value, text) => {
  expect(times(value)).toBe(text);
});

test("quotes a token, and isolates one that runs from right to left", () => {
  expect(quoted("the")).toBe("“the”");
  expect(quoted("שלום")).toBe("“\u2068שלום\u2069”");
});
