import { describe, expect, test } from "vitest";
import {
  colorsOf,
  EXPERT_COLORS,
  EXPERT_PALETTES,
  hasExpertColors,
  inkOn,
  inTheme,
  relativeLuminance,
  THEMES,
  themed,
  themeStyle,
} from "../../viz/colors.ts";
import { UNDER_TEXT } from "../../viz/scale.ts";

type Triple = [number, number, number];

const BOTH = ["light", "dark"] as const;

function linear(color: string): Triple {
  return [1, 3, 5].map((at) => {
    const c = Number.parseInt(color.slice(at, at + 2), 16) / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  }) as Triple;
}

function times(matrix: readonly Triple[], [x, y, z]: Triple): Triple {
  return matrix.map(([a, b, c]) => a * x + b * y + c * z) as Triple;
}

/** Linear sRGB to CIE L*a*b* under D65. @see CIE 15:2004 and IEC 61966-2-1 */
function cielab(rgb: Triple): Triple {
  const xyz = times(
    [
      [0.4124564, 0.3575761, 0.1804375],
      [0.2126729, 0.7151522, 0.072175],
      [0.0193339, 0.119192, 0.9503041],
    ],
    rgb.map((c) => Math.min(1, Math.max(0, c))) as Triple,
  );
  const [x, y, z] = xyz.map((value, i) => {
    const t = value / [0.95047, 1, 1.08883][i]!;
    return t > (6 / 29) ** 3 ? Math.cbrt(t) : t / (3 * (6 / 29) ** 2) + 4 / 29;
  }) as Triple;
  return [116 * y - 16, 500 * (x - y), 200 * (y - z)];
}

/** @see Sharma, Wu and Dalal 2005, "The CIEDE2000 color-difference formula" */
function deltaE2000([l1, a1, b1]: Triple, [l2, a2, b2]: Triple): number {
  const [sin, cos] = [
    (deg: number) => Math.sin((deg * Math.PI) / 180),
    (deg: number) => Math.cos((deg * Math.PI) / 180),
  ];
  const seventh = (c: number): number => Math.sqrt(c ** 7 / (c ** 7 + 25 ** 7));
  const grow = 1 + 0.5 * (1 - seventh((Math.hypot(a1, b1) + Math.hypot(a2, b2)) / 2));
  const hue = (a: number, b: number): number => ((Math.atan2(b, a) * 180) / Math.PI + 360) % 360;
  const [c1, c2] = [Math.hypot(a1 * grow, b1), Math.hypot(a2 * grow, b2)];
  const [h1, h2] = [hue(a1 * grow, b1), hue(a2 * grow, b2)];
  const turn = c1 * c2 === 0 ? 0 : ((h2 - h1 + 540) % 360) - 180;
  const [dL, dC, dH] = [l2 - l1, c2 - c1, 2 * Math.sqrt(c1 * c2) * sin(turn / 2)];
  const [l, c] = [(l1 + l2) / 2, (c1 + c2) / 2];
  const h = c1 * c2 === 0 ? h1 + h2 : h1 + turn / 2;
  const t = 1 - 0.17 * cos(h - 30) + 0.24 * cos(2 * h) + 0.32 * cos(3 * h + 6) - 0.2 * cos(4 * h - 63);
  const [sL, sC, sH] = [1 + (0.015 * (l - 50) ** 2) / Math.sqrt(20 + (l - 50) ** 2), 1 + 0.045 * c, 1 + 0.015 * c * t];
  const around = ((((h + 360) % 360) - 275) / 25) ** 2;
  const rotation = -sin(60 * Math.exp(-around)) * 2 * seventh(c);
  return Math.sqrt((dL / sL) ** 2 + (dC / sC) ** 2 + (dH / sH) ** 2 + rotation * (dC / sC) * (dH / sH));
}

/** @see Machado et al. 2009, severity 1 */
const VISION: Record<string, readonly Triple[]> = {
  full: [
    [1, 0, 0],
    [0, 1, 0],
    [0, 0, 1],
  ],
  protanopia: [
    [0.152286, 1.052583, -0.204868],
    [0.114503, 0.786281, 0.099216],
    [-0.003882, -0.048116, 1.051998],
  ],
  deuteranopia: [
    [0.367322, 0.860646, -0.227968],
    [0.280085, 0.672501, 0.047413],
    [-0.01182, 0.04294, 0.968881],
  ],
  tritanopia: [
    [1.255528, -0.076749, -0.178779],
    [-0.078411, 0.930809, 0.147602],
    [0.004733, 0.691367, 0.3039],
  ],
};

function contrast(a: string, b: string): number {
  const [low, high] = [relativeLuminance(a), relativeLuminance(b)].sort((x, y) => x - y);
  return (high! + 0.05) / (low! + 0.05);
}

/** A colour over another. */
function over(color: string, ground: string, opacity: number): string {
  const channel = (of: string, at: number): number => Number.parseInt(of.slice(at, at + 2), 16);
  const mixed = [1, 3, 5].map((at) => Math.round(opacity * channel(color, at) + (1 - opacity) * channel(ground, at)));
  return `#${mixed.map((c) => c.toString(16).padStart(2, "0")).join("")}`;
}

describe("the measure of difference", () => {
  test.each([
    { a: [50, 2.6772, -79.7751], b: [50, 0, -82.7485], is: 2.0425 },
    { a: [50, 2.5, 0], b: [73, 25, -18], is: 27.1492 },
    { a: [50, 2.5, 0], b: [50, 3.1736, 0.5854], is: 1 },
    { a: [2.0776, 0.0795, -1.135], b: [0.9033, -0.0636, -0.5514], is: 0.9082 },
  ])("gives the published $is", ({ a, b, is }) => {
    expect(deltaE2000(a as Triple, b as Triple)).toBeCloseTo(is, 4);
  });
});

describe.each(BOTH)("expert colours on the %s ground", (theme) => {
  const { paper } = THEMES[theme];
  const palette = EXPERT_PALETTES[theme];

  test.each(
    Object.keys(VISION).flatMap((vision) => [
      { vision, n: 8, least: vision === "full" ? 14 : 10 },
      { vision, n: 16, least: vision === "full" ? 11.5 : 8 },
    ]),
  )("are all apart for $n experts with $vision vision: CIEDE2000 of $least or more", ({ vision, n, least }) => {
    const seen = palette.slice(0, n).map((color) => cielab(times(VISION[vision]!, linear(color))));
    for (const [i, a] of seen.entries())
      for (const b of seen.slice(i + 1)) expect(deltaE2000(a, b)).toBeGreaterThan(least);
  });

  test("stand out from it at 3:1 or more", () => {
    for (const color of palette) expect(contrast(color, paper)).toBeGreaterThanOrEqual(3);
  });

  test("carry a number that reads", () => {
    const colors = new Map(colorsOf(theme));
    for (const [expert, color] of palette.entries())
      expect(contrast(color, inTheme(inkOn(expert), theme))).toBeGreaterThan(4.5);
    expect(colors.get("e15")).toBe(palette[15]);
  });

  test("give experts e and e + 8 two lightness steps", () => {
    for (let e = 0; e < 8; e++) {
      const [deep, pale] = [palette[e]!, palette[e + 8]!].map((color) => cielab(linear(color))[0]);
      expect(pale! - deep!).toBeGreaterThan(5);
    }
  });
});

test("expert colours end at sixteen experts", () => {
  expect([8, 16, 17, 64].map(hasExpertColors)).toEqual([true, true, false, false]);
});

describe.each(BOTH)("the %s theme", (theme) => {
  const { paper, well, ink, muted } = THEMES[theme];

  test("keeps text readable, on paper and on stripes", () => {
    for (const role of ["ink", "muted", "accent"] as const)
      expect(contrast(THEMES[theme][role], paper)).toBeGreaterThan(4.5);
    for (const text of [ink, muted]) expect(contrast(text, well)).toBeGreaterThan(4.5);
  });

  test("keeps ink readable on the strongest shade that stands under text", () => {
    for (const role of ["value", "positive", "negative"] as const)
      expect(contrast(ink, over(THEMES[theme][role], paper, UNDER_TEXT))).toBeGreaterThan(4.5);
  });

  test("keeps marks visible", () => {
    for (const role of ["value", "positive", "negative"] as const)
      expect(contrast(THEMES[theme][role], paper)).toBeGreaterThan(3);
  });

  test("has two ends of the diverging scale that every vision tells apart", () => {
    const { positive, negative } = THEMES[theme];
    for (const matrix of Object.values(VISION)) {
      const [a, b] = [positive, negative].map((color) => cielab(times(matrix, linear(color))));
      expect(deltaE2000(a!, b!)).toBeGreaterThan(20);
    }
  });
});

describe("themes", () => {
  test("are written out for programs without variables", () => {
    const body = `<rect fill="${themed("paper")}"/><rect fill="${EXPERT_COLORS[3]}"/>`;
    expect(inTheme(themeStyle(body) + body, "dark")).toBe(
      `<rect fill="${THEMES.dark.paper}"/><rect fill="${EXPERT_PALETTES.dark[3]}"/>`,
    );
  });

  test("bring only the colours that a picture uses", () => {
    expect(themeStyle(themed("ink"))).toBe(
      '<style class="theme">svg{--ink:#1d2430}@media(prefers-color-scheme:dark){svg{--ink:#e7eaf0}}</style>',
    );
  });
});
