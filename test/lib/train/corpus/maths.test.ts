import { describe, expect, test } from "vitest";
import { seededDice } from "../../../../lib/train/corpus/dice.ts";
import { workedProblem, worksheet, writtenOut } from "../../../../lib/train/corpus/maths.ts";
import type { WorkedProblem } from "../../../../lib/train/corpus/workedProblem.ts";

const PROBLEMS: WorkedProblem[] = Array.from({ length: 6000 }, (_, seed) => workedProblem(seededDice(seed)));
const TOPICS = [...new Set(PROBLEMS.map(({ topic }) => topic))];

/** Every `expression = expression …` of numbers in a text; the note that may follow a borrowed digit is left out. */
function equations(text: string): string[] {
  const lines = text.split("\n").map((line) => line.replace(/ \(\d+ less .*$/, ""));
  return lines
    .flatMap((line) => [...line.matchAll(/(?<![\w^])[-(\d][-\d +*/^().]*(?:= [-(\d][-\d +*/^().]*)+/g)])
    .map(([match]) => match.replace(/[ .]+$/, ""))
    .filter((match) => /[+*/^]| - /.test(match));
}

/** The value of an arithmetic expression, by a small parser of its own. */
function value(expression: string): number {
  const tokens = expression.match(/\d+(?:\.\d+)?|[-+*/^()]/g) ?? [];
  let at = 0;
  function primary(): number {
    const token = tokens[at++];
    if (token === "-") return -primary();
    if (token !== "(") return Number(token);
    const inner = sum();
    at++;
    return inner;
  }
  function power(): number {
    const base = primary();
    return tokens[at] === "^" ? base ** (at++, primary()) : base;
  }
  function product(): number {
    let total = power();
    while (tokens[at] === "*" || tokens[at] === "/") total = tokens[at++] === "*" ? total * power() : total / power();
    return total;
  }
  function sum(): number {
    let total = product();
    while (tokens[at] === "+" || tokens[at] === "-")
      total = tokens[at++] === "+" ? total + product() : total - product();
    return total;
  }
  const result = sum();
  expect(at, `all of ${expression} is read`).toBe(tokens.length);
  return result;
}

const numbers = (text: string): number[] => [...text.matchAll(/\d+/g)].map(([digits]) => Number(digits));

test("this test finds the equations in a text", () => {
  expect(equations("ones: 16 - 9 = 7 (7 less the 1 lent is 6)\nso 2 * 3 = 6, or 1 + 1 = 2 = 4 / 2.")).toEqual([
    "16 - 9 = 7",
    "2 * 3 = 6",
    "1 + 1 = 2 = 4 / 2",
  ]);
});

test("the parser of this test reads arithmetic as usual", () => {
  expect(value("2 + 3 * 4")).toBe(14);
  expect(value("2 * (3 + 4) - 6 / 2")).toBe(11);
  expect(value("3 * (-2) - 1")).toBe(-7);
  expect(value("2^5")).toBe(32);
});

describe.each(TOPICS)("%s", (topic) => {
  const problems = of(topic);

  test("every equation between numbers holds", () => {
    const all = problems.flatMap((problem) => equations(writtenOut(problem)));
    for (const equation of all) {
      const sides = equation.split("=").map(value);
      for (const side of sides) expect(side, equation).toBeCloseTo(sides[0]!, 9);
    }
    if (topic !== "equations") expect(all.length).toBeGreaterThanOrEqual(problems.length / 2);
  });

  test("there are no negative zeros, long fractions, doubled signs or missing values", () => {
    for (const problem of problems)
      expect(writtenOut(problem)).not.toMatch(/NaN|undefined|Infinity|-0\b|\.\d{3}|\+ -|- -/);
  });
});

function of(topic: string): WorkedProblem[] {
  return PROBLEMS.filter((problem) => problem.topic === topic);
}

function isPrime(n: number): boolean {
  return n > 1 && Array.from({ length: n - 2 }, (_, i) => i + 2).every((divisor) => n % divisor > 0);
}

describe("the answer", () => {
  test("of an equation solves it", () => {
    for (const { question, answer } of of("equation")) {
      const [name, solution] = answer.split(" = ");
      const [left, right] = question.split(": ")[1]!.split(" = ");
      const put = (side: string): number =>
        value(
          side.replaceAll(new RegExp(`(\\d*)${name}`, "g"), (_, factor: string) => `${factor || 1} * (${solution})`),
        );
      expect(put(left!), question).toBe(put(right!));
    }
  });

  test("of two equations solves both", () => {
    for (const { question, answer } of of("equations")) {
      const [x, y] = answer.match(/-?\d+/g)!;
      const put = (side: string): number =>
        value(
          side.replaceAll(
            /(\d*)([xy])/g,
            (_, factor: string, name: string) => `${factor || 1} * (${name === "x" ? x : y})`,
          ),
        );
      const sides = [...question.matchAll(/([\d]*x [+-] \d*y) = (-?\d+)/g)];
      expect(sides).toHaveLength(2);
      for (const [, left, right] of sides) expect(put(left!), question).toBe(Number(right));
    }
  });

  test("of a divisor divides both numbers, and no larger number does", () => {
    for (const { answer } of of("divisor").slice(0, 60)) {
      const [a, b, divisor] = numbers(answer) as [number, number, number];
      const common = Array.from({ length: Math.min(a, b) }, (_, i) => i + 1).filter((n) => a % n === 0 && b % n === 0);
      expect(divisor).toBe(common.at(-1));
    }
  });

  test("of prime factors has only primes", () => {
    for (const { answer } of of("factors").slice(0, 60)) {
      const [whole, ...factors] = numbers(answer);
      for (const factor of factors.length > 0 ? factors : [whole!]) expect(isPrime(factor), answer).toBe(true);
    }
  });

  test("of shopping is the change", () => {
    for (const { question, answer } of of("shopping")) {
      const [count, price, more, cost, paid] = numbers(question) as [number, number, number, number, number];
      expect(numbers(answer)).toEqual([paid - count * price - more * cost]);
    }
  });

  test("of sharing leaves fewer than there are children", () => {
    for (const { question, answer } of of("sharing")) {
      const [had, got, children] = numbers(question) as [number, number, number];
      expect(numbers(answer)).toEqual([Math.floor((had + got) / children), (had + got) % children]);
    }
  });

  test("of ages fits what is said", () => {
    for (const { question, answer } of of("ages")) {
      const [gap, sum] = numbers(question) as [number, number];
      const [younger, older] = numbers(answer) as [number, number];
      expect([older - younger, older + younger]).toEqual([gap, sum]);
    }
  });

  test("of a sequence continues it", () => {
    for (const { question, answer } of of("sequence")) {
      const values = question.match(/-?\d+/g)!.map(Number);
      const [first, second, , , index] = values as [number, number, number, number, number];
      let term = first;
      for (let i = 1; i < index; i++) term += second - first;
      expect(Number(answer)).toBe(term);
    }
  });
});

test("column addition carries digit by digit", () => {
  const found = PROBLEMS.find(
    ({ topic, steps }) => topic === "addition" && steps.at(-1)!.startsWith("write the last carry"),
  )!;
  const [a, b] = numbers(found.question) as [number, number];
  const digits = found.steps
    .filter((step) => step.includes("write"))
    .map((step) => /write (?:the last carry )?(\d)/.exec(step)![1]);
  expect(digits.toReversed().join("")).toBe(String(a + b));
});

test("the dice are uniform within their bounds", () => {
  const dice = seededDice(1);
  const counts = [0, 0, 0, 0, 0];
  for (let i = 0; i < 50000; i++) counts[dice.int(3, 7) - 3]!++;
  for (const count of counts) expect(Math.abs(count - 10000)).toBeLessThan(400);
});

test("a sheet is the same for the same seed, and sheets of many seeds differ", () => {
  expect(worksheet(42)).toBe(worksheet(42));
  expect(new Set(Array.from({ length: 2000 }, (_, seed) => worksheet(seed))).size).toBe(2000);
});

test("a sheet has three to eight problems, each with its answer", () => {
  for (let seed = 0; seed < 200; seed++) {
    const problems = worksheet(seed).split("\n\n");
    expect(problems.length).toBeGreaterThanOrEqual(3);
    expect(problems.length).toBeLessThanOrEqual(8);
    for (const problem of problems) expect(problem).toMatch(/^Problem: .+\n[\s\S]+\nAnswer: .+$/);
  }
});
