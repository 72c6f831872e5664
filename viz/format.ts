/** A probability or weight to three decimals; a positive one too small for that reads `<0.001`. */
export function probability(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  return value > 0 && value < 0.0005 ? "<0.001" : value.toFixed(3);
}

/** A share as a percentage to one decimal: `6.3 %`. */
export function percent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}

/** A real number to three significant digits, with a true minus sign. */
export function real(value: number): string {
  if (!Number.isFinite(value)) return String(value).replace("-", "−");
  if (value === 0) return "0";
  const size = Math.abs(value);
  const digits = size >= 1e5 || size < 1e-3 ? value.toExponential(1) : String(Number(value.toPrecision(3)));
  return digits.replaceAll("-", "−");
}

/** A ratio as a factor: `4.1 ×`; two digits where it is small. */
export function times(ratio: number): string {
  if (!Number.isFinite(ratio)) return "–";
  return `${ratio >= 0.95 ? ratio.toFixed(1) : String(Number(ratio.toPrecision(2)))} ×`;
}

/** A whole number with its thousands apart. */
export function count(value: number): string {
  return value.toLocaleString("en-US");
}

const RIGHT_TO_LEFT = /[\p{Script=Hebrew}\p{Script=Arabic}\p{Script=Syriac}\p{Script=Thaana}\p{Script=Nko}]/u;

/** A token inside a sentence: in quotes, and isolated where it would turn the words around it. */
export function quoted(token: string): string {
  return RIGHT_TO_LEFT.test(token) ? `“\u2068${token}\u2069”` : `“${token}”`;
}
