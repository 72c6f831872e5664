import type { Dice } from "./dice.ts";
import { fraction, greatestCommonDivisor } from "./numerals.ts";
import type { WorkedProblem } from "./workedProblem.ts";

export function fractionSum(dice: Dice): WorkedProblem {
  const [b, d] = [dice.int(2, 12), dice.int(2, 12)];
  const [a, c] = [dice.int(1, b), dice.int(1, d)];
  const divisor = greatestCommonDivisor(b, d);
  const common = (b * d) / divisor;
  const [left, right] = [(a * common) / b, (c * common) / d];
  const steps = [
    `the least common multiple of ${b} and ${d} is ${common}`,
    `${a}/${b} = ${left}/${common} and ${c}/${d} = ${right}/${common}`,
    `${left}/${common} + ${right}/${common} = ${left + right}/${common}`,
  ];
  const reduced = fraction(left + right, common);
  const shared = greatestCommonDivisor(left + right, common);
  if (shared > 1) steps.push(`divide both by ${shared}: ${left + right}/${common} = ${reduced}`);
  return {
    topic: "fractions",
    question: `Add the fractions ${a}/${b} and ${c}/${d}.`,
    steps,
    answer: `${a}/${b} + ${c}/${d} = ${reduced}`,
  };
}

export function euclid(dice: Dice): WorkedProblem {
  const scale = dice.int(1, 24);
  const [a, b] = [scale * dice.int(8, 60), scale * dice.int(2, 40)];
  const steps: string[] = [];
  for (let [big, small] = [Math.max(a, b), Math.min(a, b)]; small > 0; [big, small] = [small, big % small]) {
    steps.push(`${big} = ${small} * ${Math.floor(big / small)} + ${big % small}`);
  }
  const divisor = greatestCommonDivisor(a, b);
  return {
    topic: "divisor",
    question: `Find the greatest common divisor of ${a} and ${b}.`,
    steps: [...steps, `the last remainder that is not 0, or the smaller number, is ${divisor}`],
    answer: `gcd(${a}, ${b}) = ${divisor}`,
  };
}

export function primeFactors(dice: Dice): WorkedProblem {
  const value = dice.int(12, 2000);
  const factors: number[] = [];
  const steps: string[] = [];
  let rest = value;
  for (let prime = 2; prime * prime <= rest; prime++) {
    while (rest % prime === 0) {
      steps.push(`${rest} / ${prime} = ${rest / prime}`);
      factors.push(prime);
      rest /= prime;
    }
  }
  if (rest > 1) {
    factors.push(rest);
    steps.push(`${rest} is prime`);
  }
  const answer = factors.length === 1 ? `${value} is prime` : `${value} = ${factors.join(" * ")}`;
  return { topic: "factors", question: `Write ${value} as a product of primes.`, steps, answer };
}

export function percentage(dice: Dice): WorkedProblem {
  const percent = dice.pick([5, 10, 12, 15, 20, 25, 30, 40, 60, 75]);
  const price = dice.int(2, 60) * 20;
  const part = (price * percent) / 100;
  const rises = dice.pick([true, false]);
  const thing = dice.pick(["a bicycle", "a coat", "a lamp", "a table", "a camera", "a guitar", "a tent"]);
  const result = rises ? price + part : price - part;
  return {
    topic: "percentage",
    question: `The price of ${thing} is ${price} coins. It ${rises ? "rises" : "falls"} by ${percent} percent. What is the new price?`,
    steps: [
      `${percent} percent of ${price} is ${price} * ${percent} / 100 = ${part}`,
      `${price} ${rises ? "+" : "-"} ${part} = ${result}`,
    ],
    answer: `${result} coins`,
  };
}

export function mean(dice: Dice): WorkedProblem {
  const values = Array.from({ length: dice.int(3, 7) }, () => dice.int(1, 99));
  const total = values.reduce((sum, value) => sum + value);
  const result = fraction(total, values.length);
  return {
    topic: "mean",
    question: `Find the mean of ${values.join(", ")}.`,
    steps: [
      `${values.join(" + ")} = ${total}`,
      `there are ${values.length} numbers: ${total} / ${values.length} = ${result}`,
    ],
    answer: result,
  };
}
