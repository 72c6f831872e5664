/**
 * Worked mathematics made by a seeded program: every line of a solution is a true statement, so a model
 * trained on it can be checked line by line.
 */

/** One exercise: the question, the steps as they would be written down, and the answer. */
export interface WorkedProblem {
  topic: string;
  question: string;
  steps: string[];
  answer: string;
}

/** A source of whole numbers: `int(a, b)` is uniform over a..b, both included. */
export interface Dice {
  int(from: number, to: number): number;
  pick<T>(items: readonly T[]): T;
}

/** Dice that fall the same way for the same seed (mulberry32). */
export function seededDice(seed: number): Dice {
  let state = seed >>> 0;
  const uniform = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
  const int = (from: number, to: number): number => from + Math.floor(uniform() * (to - from + 1));
  return { int, pick: (items) => items[int(0, items.length - 1)]! };
}

const PLACES = ["ones", "tens", "hundreds", "thousands", "ten thousands", "hundred thousands", "millions"];

/** The decimal digits of a whole number, ones first. */
function digitsOf(value: number): number[] {
  return String(value).split("").toReversed().map(Number);
}

/** Two numbers under each other, as for column arithmetic. */
function columns(top: number, sign: string, bottom: number): string[] {
  const width = Math.max(String(top).length, String(bottom).length);
  return [`  ${String(top).padStart(width)}`, `${sign} ${String(bottom).padStart(width)}`];
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}

/** A fraction in lowest terms, written as a whole number where it is one. */
function fraction(numerator: number, denominator: number): string {
  const divisor = greatestCommonDivisor(numerator, denominator);
  return denominator === divisor ? `${numerator / divisor}` : `${numerator / divisor}/${denominator / divisor}`;
}

/** `+ 3` or `- 3`, for a term that follows another. */
function signed(value: number): string {
  return value < 0 ? `- ${-value}` : `+ ${value}`;
}

/** `3x`, but `x` for 1 and `-x` for -1. */
function term(coefficient: number, name: string): string {
  if (coefficient === 1) return name;
  return coefficient === -1 ? `-${name}` : `${coefficient}${name}`;
}

function addition(dice: Dice): WorkedProblem {
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

function subtraction(dice: Dice): WorkedProblem {
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

function multiplication(dice: Dice): WorkedProblem {
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

function division(dice: Dice): WorkedProblem {
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

function linearEquation(dice: Dice): WorkedProblem {
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

function twoEquations(dice: Dice): WorkedProblem {
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

function fractionSum(dice: Dice): WorkedProblem {
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

function euclid(dice: Dice): WorkedProblem {
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

function primeFactors(dice: Dice): WorkedProblem {
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

function percentage(dice: Dice): WorkedProblem {
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

const NAMES = ["Ada", "Emmy", "Carl", "Sofia", "Leon", "Mary", "Alan", "Grace", "Kurt", "Rosa", "Henri", "Hana"];
const GOODS = ["apples", "pencils", "stamps", "marbles", "books", "oranges", "tickets", "shells", "buttons"];

function shopping(dice: Dice): WorkedProblem {
  const [name, goods, extra] = [dice.pick(NAMES), dice.pick(GOODS), dice.pick(GOODS)];
  const [count, price] = [dice.int(3, 24), dice.int(2, 30)];
  const [more, cost] = [dice.int(2, 9), dice.int(2, 40)];
  const total = count * price + more * cost;
  const note = Math.ceil((total + 1) / 50) * 50;
  return {
    topic: "shopping",
    question: `${name} buys ${count} ${goods} at ${price} coins each and ${more} boxes of ${extra} at ${cost} coins a box, and pays with ${note} coins. How much change is there?`,
    steps: [
      `the ${goods} cost ${count} * ${price} = ${count * price} coins`,
      `the boxes cost ${more} * ${cost} = ${more * cost} coins`,
      `together ${count * price} + ${more * cost} = ${total} coins`,
      `change: ${note} - ${total} = ${note - total} coins`,
    ],
    answer: `${note - total} coins`,
  };
}

function sharing(dice: Dice): WorkedProblem {
  const [name, friend] = [dice.pick(NAMES), dice.pick(NAMES)];
  const goods = dice.pick(GOODS);
  const [people, each, left] = [dice.int(3, 12), dice.int(3, 30), dice.int(0, 2)];
  const total = people * each + left;
  const given = dice.int(2, Math.min(20, total - 2));
  return {
    topic: "sharing",
    question: `${name} has ${total - given} ${goods} and gets ${given} more from ${friend === name ? "a neighbour" : friend}. They are shared equally among ${people} children. How many does each child get, and how many are left?`,
    steps: [`there are ${total - given} + ${given} = ${total} ${goods}`, `${total} = ${people} * ${each} + ${left}`],
    answer: `${each} for each child, ${left} left`,
  };
}

function journey(dice: Dice): WorkedProblem {
  const vehicle = dice.pick(["A train", "A bus", "A ship", "A cyclist", "A lorry"]);
  const [speed, hours] = [dice.int(3, 30) * 4, dice.int(2, 9)];
  const [rest, later] = [dice.int(1, 5), dice.int(3, 30) * 4];
  const distance = speed * hours + later * rest;
  const meanSpeed = fraction(distance, hours + rest);
  return {
    topic: "journey",
    question: `${vehicle} travels ${hours} hours at ${speed} km per hour and then ${rest} hours at ${later} km per hour. How far does it go, and what is its mean speed?`,
    steps: [
      `first part: ${speed} * ${hours} = ${speed * hours} km`,
      `second part: ${later} * ${rest} = ${later * rest} km`,
      `distance: ${speed * hours} + ${later * rest} = ${distance} km`,
      `time: ${hours} + ${rest} = ${hours + rest} hours`,
      `mean speed: ${distance} / ${hours + rest} = ${meanSpeed} km per hour`,
    ],
    answer: `${distance} km, ${meanSpeed} km per hour`,
  };
}

function ages(dice: Dice): WorkedProblem {
  const [older, younger] = [dice.pick(NAMES.slice(0, 6)), dice.pick(NAMES.slice(6))];
  const [age, gap] = [dice.int(4, 40), dice.int(2, 25)];
  const sum = age + age + gap;
  return {
    topic: "ages",
    question: `${older} is ${gap} years older than ${younger}. Together they are ${sum} years old. How old are they?`,
    steps: [
      `let ${younger} be a years old, then ${older} is a + ${gap}`,
      `a + a + ${gap} = ${sum}`,
      `2a = ${sum} - ${gap} = ${sum - gap}`,
      `a = ${sum - gap} / 2 = ${age}, and ${age} + ${gap} = ${age + gap}`,
    ],
    answer: `${younger} is ${age}, ${older} is ${age + gap}`,
  };
}

function rectangle(dice: Dice): WorkedProblem {
  const [width, height] = [dice.int(2, 60), dice.int(2, 60)];
  return {
    topic: "rectangle",
    question: `A garden is ${width} m long and ${height} m wide. Find its area and its perimeter.`,
    steps: [
      `area: ${width} * ${height} = ${width * height} square metres`,
      `perimeter: 2 * (${width} + ${height}) = 2 * ${width + height} = ${2 * (width + height)} metres`,
    ],
    answer: `${width * height} square metres, ${2 * (width + height)} metres`,
  };
}

function sequence(dice: Dice): WorkedProblem {
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

function mean(dice: Dice): WorkedProblem {
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

function powers(dice: Dice): WorkedProblem {
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

/** Column arithmetic and equations are drawn twice as often as the others. */
const TOPICS = [
  addition,
  addition,
  subtraction,
  subtraction,
  multiplication,
  multiplication,
  division,
  division,
  linearEquation,
  linearEquation,
  twoEquations,
  fractionSum,
  euclid,
  primeFactors,
  percentage,
  shopping,
  sharing,
  journey,
  ages,
  rectangle,
  sequence,
  mean,
  powers,
];

/** One worked problem of a topic drawn by the dice. */
export function workedProblem(dice: Dice): WorkedProblem {
  return dice.pick(TOPICS)(dice);
}

/** The problem as it stands in the corpus: question, steps line by line, answer. */
export function writtenOut({ question, steps, answer }: WorkedProblem): string {
  return [`Problem: ${question}`, ...steps, `Answer: ${answer}`].join("\n");
}

/** A sheet of 3 to 8 worked problems; sheets of different seeds are independent. */
export function worksheet(seed: number): string {
  const dice = seededDice(seed);
  return Array.from({ length: dice.int(3, 8) }, () => writtenOut(workedProblem(dice))).join("\n\n");
}
