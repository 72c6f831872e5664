/**
 * The one-to-one assignment of rows to columns with the largest sum (Hungarian method with potentials, O(n³)).
 * @param gains square, row by row: [n, n]
 * @returns the column of each row: [n]
 * @see Kuhn 1955, "The Hungarian method for the assignment problem"; Jonker and Volgenant 1987
 */
export function assignment(gains: Float64Array): Int32Array {
  const n = Math.sqrt(gains.length);
  const rowPrice = new Float64Array(n + 1);
  const columnPrice = new Float64Array(n + 1);
  const rowOf = new Int32Array(n + 1); // rows and columns count from 1; 0 is none
  for (let row = 1; row <= n; row++) {
    const slack = new Float64Array(n + 1).fill(Infinity);
    const before = new Int32Array(n + 1);
    const done = new Uint8Array(n + 1);
    rowOf[0] = row;
    let column = 0;
    while (rowOf[column] !== 0) {
      done[column] = 1;
      const at = rowOf[column]!;
      let [step, next] = [Infinity, 0];
      for (let j = 1; j <= n; j++) {
        if (done[j] === 1) continue;
        const left = -gains[(at - 1) * n + j - 1]! - rowPrice[at]! - columnPrice[j]!;
        if (left < slack[j]!) [slack[j], before[j]] = [left, column];
        if (slack[j]! < step) [step, next] = [slack[j]!, j];
      }
      for (let j = 0; j <= n; j++) {
        if (done[j] === 1) {
          rowPrice[rowOf[j]!]! += step;
          columnPrice[j]! -= step;
        } else slack[j]! -= step;
      }
      column = next;
    }
    while (column !== 0) {
      rowOf[column] = rowOf[before[column]!]!;
      column = before[column]!;
    }
  }
  const columnOf = new Int32Array(n);
  for (let j = 1; j <= n; j++) columnOf[rowOf[j]! - 1] = j - 1;
  return columnOf;
}
