import type { Dice } from "./dice.ts";
import { signed, term } from "./numerals.ts";
import type { WorkedProblem } from "./workedProblem.ts";

export function linearEquation(dice: Dice): WorkedProblem {
  const name = dice.pick(["x", "y", "n", "t"]);
  const solution = dice.int(-12, 20);
  const left = dice.int(2, 12);
  const right = dice.pick([0, 0, dice.int(1, left - 1)]);
  const constant = dice.pick([-1, 1]) * dice.int(1, 40);
  const other = left * solution + constant - right * solution;
  const rightSide = right === 0 ? `${other}` : `${term(right, name)} ${signed(other)}`;
  const steps = [`${term(left, name)} ${signed(constant)} = ${rightSide}`];
  const coefficient = left - right;
  if (right !== 0) {
    steps.push(
      `subtract ${term(right, name)} on both sides: ${term(coefficient, name)} ${signed(constant)} = ${other}`,
    );
  }
  const verb = constant < 0 ? `add ${-constant}` : `subtract ${constant}`;
  steps.push(`${verb} on both sides: ${term(coefficient, name)} = ${other - constant}`);
  if (coefficient !== 1) steps.push(`divide both sides by ${coefficient}: ${name} = ${solution}`);
  steps.push(`check: ${left} * (${solution}) ${signed(constant)} = ${left * solution + constant}`);
  return {
    topic: "equation",
    question: `Solve for ${name}: ${steps[0]}`,
    steps: steps.slice(1),
    answer: `${name} = ${solution}`,
  };
}

export function twoEquations(dice: Dice): WorkedProblem {
  const [x, y] = [dice.int(-9, 12), dice.int(-9, 12)];
  const [a, b] = [dice.int(1, 6), dice.int(1, 6)];
  const c = dice.int(1, 6);
  const [first, second] = [a * x + b * y, c * x - b * y];
  const sum = a + c;
  return {
    topic: "equations",
    question: `Solve the two equations ${term(a, "x")} + ${term(b, "y")} = ${first} and ${term(c, "x")} - ${term(b, "y")} = ${second}.`,
    steps: [
      `add the equations: the y terms cancel, ${term(sum, "x")} = ${first + second}`,
      `divide by ${sum}: x = ${x}`,
      `put x = ${x} into the first: ${a} * (${x}) + ${term(b, "y")} = ${first}`,
      `${term(b, "y")} = ${first - a * x}, so y = ${y}`,
    ],
    answer: `x = ${x}, y = ${y}`,
  };
}

export function sequence(dice: Dice): WorkedProblem {
  const [start, step, index] = [dice.int(-20, 40), dice.pick([-1, 1]) * dice.int(2, 15), dice.int(8, 40)];
  const shown = [0, 1, 2, 3].map((i) => start + i * step);
  const value = start + (index - 1) * step;
  return {
    topic: "sequence",
    question: `The sequence ${shown.join(", ")}, ... goes on in equal steps. What is term number ${index}?`,
    steps: [
      `the step is ${shown[1]} - (${shown[0]}) = ${step}`,
      `term number n is ${start} + (n - 1) * (${step})`,
      `${start} + ${index - 1} * (${step}) = ${value}`,
    ],
    answer: `${value}`,
  };
}
