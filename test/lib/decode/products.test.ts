import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { padded } from "../../../lib/decode/dots.ts";
import { Products, type Task } from "../../../lib/decode/products.ts";
import { relativeError, seeded } from "../../helpers.ts";

/** Tasks with random weights and inputs. */
function tasksOf(products: Products, count: number, rows: number, inputs: number): Task[] {
  const random = seeded(rows * inputs);
  return Array.from({ length: count }, () => {
    const task = { matrix: products.matrix(rows, inputs), x: products.vector(inputs), out: products.vector(rows) };
    for (let r = 0; r < rows; r++)
      for (let i = 0; i < inputs; i++) task.matrix.values[r * padded(inputs) + i] = random() - 0.5;
    for (let i = 0; i < inputs; i++) task.x[i] = random() - 0.5;
    return task;
  });
}

function plainly({ matrix: { rows, values }, x }: Task): Float32Array {
  const width = values.length / rows;
  return Float32Array.from({ length: rows }, (_, r) =>
    x.reduce((sum, value, i) => sum + value * values[r * width + i]!, 0),
  );
}

describe.each([1, 2, 3])("with %i threads", (threads) => {
  let products: Products;
  beforeEach(() => {
    products = new Products(8, threads);
  });
  afterEach(() => {
    products.dispose();
  });

  test.each([
    // tasks, rows, inputs: of less than what is shared, of one chunk a task, of many chunks, of ragged ones
    [1, 5, 7],
    [3, 23, 100],
    [4, 256, 128],
    [8, 300, 250],
    [1, 5003, 96],
  ])("%i products of %i rows and %i inputs are what a plain loop gives", (count, rows, inputs) => {
    const tasks = tasksOf(products, count, rows, inputs);
    products.multiply(...tasks);
    for (const task of tasks) expect(relativeError(task.out, plainly(task))).toBeLessThan(1e-5);
  });

  test("thousands of products in a row, each reading what the one before wrote, come out right", () => {
    // Permutations: x goes round and is back, bit for bit, after as many turns as there are places.
    const size = 512;
    const [a, b] = [products.vector(size), products.vector(size)];
    const matrix = products.matrix(size, size);
    for (let r = 0; r < size; r++) matrix.values[r * size + ((r + 1) % size)] = 1;
    for (let i = 0; i < size; i++) a[i] = Math.sin(i);
    const start = a.slice();
    for (let turn = 0; turn < 4 * size; turn += 2) {
      products.multiply({ matrix, x: a, out: b });
      products.multiply({ matrix, x: b, out: a });
    }
    expect(a).toEqual(start);
    products.multiply({ matrix, x: a, out: b });
    expect(b[0]).toBe(start[1]);
  });

  test("more threads change no bit", () => {
    const alone = new Products(8, 1);
    const [ours, theirs] = [products, alone].map((each) => tasksOf(each, 4, 300, 250)) as [Task[], Task[]];
    products.multiply(...ours);
    alone.multiply(...theirs);
    expect(ours.map(({ out }) => out.slice())).toEqual(theirs.map(({ out }) => out.slice()));
  });
});

test("vectors are zeros, and lie apart", () => {
  const products = new Products(1, 1);
  const [a, b] = [products.vector(3), products.vector(1 << 17)];
  a.fill(1);
  expect(b.every((value) => value === 0)).toBe(true);
  b.fill(2);
  expect([...a]).toEqual([1, 1, 1]);
});

test("what does not fit into 4 GiB is refused", () => {
  expect(() => new Products(1, 1).matrix(1 << 16, 1 << 15)).toThrow(RangeError);
});
