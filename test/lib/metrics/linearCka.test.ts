import { describe, expect, test } from "vitest";
import { linearCka } from "../../../lib/metrics/linearCka.ts";
import { seeded } from "../../../lib/metrics/random.ts";
import { everyChoice, mean } from "./traces.ts";

function numbers(n: number, seed: number): number[] {
  const uniform = seeded(seed);
  return Array.from({ length: n }, () => uniform() - 0.5);
}

/** Row by row (x, y) → the same turned by an angle, scaled and moved. */
function turned(points: readonly number[], angle: number): number[] {
  return points.map((_, i) => {
    const [x, y] = [points[i - (i % 2)]!, points[i - (i % 2) + 1]!];
    const value = i % 2 === 0 ? x * Math.cos(angle) - y * Math.sin(angle) : x * Math.sin(angle) + y * Math.cos(angle);
    return 7 * value + 2;
  });
}

describe("linearCka", () => {
  test("is 1 for the same outputs turned, scaled and moved", () => {
    const x = numbers(40, 1);
    expect(linearCka(x, turned(x, 0.7), { nTokens: 20, draws: 5 }).value).toBeCloseTo(1, 12);
  });

  test("is the squared correlation of single numbers", () => {
    // x −1,0,1 and y 0,0,3 centred −1,−1,2: covariance 3, variances 2 and 6.
    expect(linearCka([-1, 0, 1], [0, 0, 3], { nTokens: 3, draws: 5 }).value).toBeCloseTo(9 / 12, 12);
  });

  test("is symmetric", () => {
    const [x, y] = [numbers(30, 2), numbers(50, 3)];
    const options = { nTokens: 10, draws: 5 };
    expect(linearCka(x, y, options).value).toBeCloseTo(linearCka(y, x, options).value, 12);
  });

  test("has the chance that all orders of the tokens give", () => {
    const [x, y] = [numbers(10, 4), numbers(15, 5)];
    const orders = everyChoice(5, 5);
    const values = orders.map((order) => {
      const moved = order.flatMap((t) => y.slice(3 * t, 3 * t + 3));
      return linearCka(x, moved, { nTokens: 5, draws: 2 }).value;
    });
    expect(linearCka(x, y, { nTokens: 5, draws: 2 }).chance.mean).toBeCloseTo(mean(values), 12);
  });

  test("finds strangers within chance, high as it is for few tokens", () => {
    let inside = 0;
    for (let seed = 1; seed <= 30; seed++) {
      const { value, chance } = linearCka(numbers(160, seed), numbers(160, 50 + seed), { nTokens: 20 });
      inside += Number(value >= chance.low && value <= chance.high);
      expect(chance.mean).toBeGreaterThan(0.2);
    }
    expect(inside).toBeGreaterThanOrEqual(25);
  });

  test("has no number for what does not vary, and refuses what are no rows", () => {
    expect(linearCka([1, 1], [0, 1], { nTokens: 2, draws: 2 }).value).toBeNaN();
    expect(() => linearCka([1, 2, 3], [1, 2], { nTokens: 2 })).toThrow(
      "linearCka: outputs must be [n_tokens, width] of at least 2 tokens, got 3 numbers for 2",
    );
    expect(() => linearCka([1], [1], { nTokens: 1 })).toThrow("got 1 numbers for 1");
  });
});
