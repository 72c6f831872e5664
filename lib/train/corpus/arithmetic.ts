import type { Dice } from "./dice.ts";
import { columns, digitsOf, PLACES } from "./numerals.ts";
import type { WorkedProblem } from "./workedProblem.ts";

export function addition(dice: Dice): WorkedProblem {
  const length = dice.int(2, 6);
  const a = dice.int(10 ** (length - 1), 10 ** length - 1);
  const b = dice.int(10, 10 ** length - 1);
  const [top, bottom] = [digitsOf(a), digitsOf(b)];
  const steps = columns(a, "+", b);
  let carry = 0;
  for (let i = 0; i < Math.max(top.length, bottom.length); i++) {
    const parts = [top[i] ?? 0, bottom[i] ?? 0, ...(carry ? [carry] : [])];
    const sum = parts.reduce((total, part) => total + part);
    carry = Math.floor(sum / 10);
    const result = carry ? `write ${sum % 10}, carry ${carry}` : `write ${sum}`;
    steps.push(`${PLACES[i]}: ${parts.join(" + ")} = ${sum}, ${result}`);
  }
  if (carry) steps.push(`write the last carry ${carry} in front`);
  return { topic: "addition", question: `Add ${a} and ${b}.`, steps, answer: `${a} + ${b} = ${a + b}` };
}

export function subtraction(dice: Dice): WorkedProblem {
  const length = dice.int(2, 6);
  const a = dice.int(10 ** (length - 1) + 1, 10 ** length - 1);
  const b = dice.int(10 ** (length - 2), a - 1);
  const [top, bottom] = [digitsOf(a), digitsOf(b)];
  const steps = columns(a, "-", b);
  let borrowed = 0;
  for (let i = 0; i < top.length; i++) {
    const [upper, lower] = [top[i]! - borrowed, bottom[i] ?? 0];
    const after = borrowed ? ` (${top[i]} less the 1 lent is ${upper})` : "";
    borrowed = upper < lower ? 1 : 0;
    const from = upper + 10 * borrowed;
    const loan = borrowed ? `borrow 10, ` : "";
    steps.push(`${PLACES[i]}: ${loan}${from} - ${lower} = ${from - lower}${after}`);
  }
  return { topic: "subtraction", question: `Subtract ${b} from ${a}.`, steps, answer: `${a} - ${b} = ${a - b}` };
}

export function multiplication(dice: Dice): WorkedProblem {
  const a = dice.int(12, 9999);
  const b = dice.int(2, dice.pick([9, 99, 999]));
  const partial = digitsOf(b).map((digit, place) => ({
    factor: digit * 10 ** place,
    product: a * digit * 10 ** place,
  }));
  const used = partial.filter(({ factor }) => factor > 0);
  const steps = used.map(({ factor, product }) => `${a} * ${factor} = ${product}`);
  if (used.length > 1) steps.push(`${used.map(({ product }) => product).join(" + ")} = ${a * b}`);
  return { topic: "multiplication", question: `Multiply ${a} by ${b}.`, steps, answer: `${a} * ${b} = ${a * b}` };
}

export function division(dice: Dice): WorkedProblem {
  const divisor = dice.int(2, dice.pick([9, 25]));
  const dividend = dice.int(divisor + 1, dice.pick([999, 99999]));
  const steps: string[] = [];
  let rest = 0;
  for (const digit of String(dividend)) {
    const current = rest * 10 + Number(digit);
    const times = Math.floor(current / divisor);
    rest = current % divisor;
    steps.push(`bring down ${digit}: ${current} = ${divisor} * ${times} + ${rest}, write ${times}`);
  }
  const quotient = Math.floor(dividend / divisor);
  return {
    topic: "division",
    question: `Divide ${dividend} by ${divisor} with remainder.`,
    steps: [...steps, `check: ${divisor} * ${quotient} + ${rest} = ${dividend}`],
    answer: `${dividend} = ${divisor} * ${quotient} + ${rest}`,
  };
}

export function powers(dice: Dice): WorkedProblem {
  const base = dice.int(2, 12);
  const exponent = dice.int(2, base < 4 ? 9 : 5);
  const steps: string[] = [];
  for (let i = 2, value = base; i <= exponent; i++, value *= base) {
    steps.push(`${base}^${i} = ${value} * ${base} = ${value * base}`);
  }
  return {
    topic: "power",
    question: `Work out ${base}^${exponent}.`,
    steps,
    answer: `${base}^${exponent} = ${base ** exponent}`,
  };
}
