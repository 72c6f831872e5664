/** Rounds to three decimals, so that files are short and the same on every machine. */
export function round(value: number): number {
  return Math.round(value * 1000) / 1000 + 0;
}

/** Text made safe for html and XML, as content or inside double quotes; characters that XML cannot hold become �. */
export function escapeText(text: string): string {
  return text
    .replace(/[\p{Cc}\p{Surrogate}\p{Noncharacter_Code_Point}]/gu, (c) => ("\t\n\r".includes(c) ? c : "\ufffd"))
    .replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}

type Attributes = Record<string, string | number | null | undefined>;

/**
 * One element as markup. Attribute values are escaped and numbers rounded; null leaves an attribute out.
 * @param children markup, already escaped
 */
export function element(name: string, attributes: Attributes, ...children: string[]): string {
  const written = Object.entries(attributes)
    .filter(([, value]) => value !== null && value !== undefined)
    .map(([key, value]) => ` ${key}="${typeof value === "number" ? round(value) : escapeText(String(value))}"`)
    .join("");
  return children.length === 0 ? `<${name}${written}/>` : `<${name}${written}>${children.join("")}</${name}>`;
}

/** A line of text at a point. */
export function label(x: number, y: number, text: string, attributes: Attributes = {}): string {
  return element("text", { x, y, ...attributes }, escapeText(text));
}

/** The outline of a rectangle as path data, to a hundredth of a pixel: there are thousands of them. */
export function rectPath(x: number, y: number, width: number, height: number): string {
  const w = hundredth(width);
  return `M${hundredth(x)} ${hundredth(y)}h${w}v${hundredth(height)}h${-w}z`;
}

function hundredth(value: number): number {
  return Math.round(value * 100) / 100;
}

/** A line from left to right that leaves and arrives level, as path data. */
export function curvePath(x0: number, y0: number, x1: number, y1: number): string {
  const [a, b, c, d] = [x0, y0, x1, y1].map((n) => Math.round(n * 10) / 10);
  const middle = Math.round((x0 + x1) * 5) / 10;
  return `M${a} ${b}C${middle} ${b} ${middle} ${d} ${c} ${d}`;
}
