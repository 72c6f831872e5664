import { describe, expect, test } from "vitest";
import { EXPERT_COLORS, hasExpertColors, inkOn, inTheme, relativeLuminance, THEMES, themed } from "../../viz/colors.ts";

type Triple = [number, number, number];

function linear(color: string): Triple {
  return [1, 3, 5].map((at) => {
    const c = Number.parseInt(color.slice(at, at + 2), 16) / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  }) as Triple;
}

function times(matrix: readonly Triple[], [x, y, z]: Triple): Triple {
  return matrix.map(([a, b, c]) => a * x + b * y + c * z) as Triple;
}

/** @see Ottosson 2020, OKLab */
function oklab(rgb: Triple): Triple {
  const cones = times(
    [
      [0.4122214708, 0.5363325363, 0.0514459929],
      [0.2119034982, 0.6806995451, 0.1073969566],
      [0.0883024619, 0.2817188376, 0.6299787005],
    ],
    rgb.map((c) => Math.min(1, Math.max(0, c))) as Triple,
  );
  return times(
    [
      [0.2104542553, 0.793617785, -0.0040720468],
      [1.9779984951, -2.428592205, 0.4505937099],
      [0.0259040371, 0.7827717662, -0.808675766],
    ],
    cones.map(Math.cbrt) as Triple,
  );
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

describe("expert colours", () => {
  test.each(Object.keys(VISION))("are all apart with %s vision", (vision) => {
    const seen = EXPERT_COLORS.map((color) => oklab(times(VISION[vision]!, linear(color))));
    const least = vision === "full" ? 0.08 : 0.049;
    for (const [i, a] of seen.entries())
      for (const b of seen.slice(i + 1)) expect(Math.hypot(...a.map((x, c) => x - b[c]!))).toBeGreaterThan(least);
  });

  test.each(["light", "dark"] as const)("stand out from the %s ground", (theme) => {
    for (const color of EXPERT_COLORS) expect(contrast(color, THEMES[theme].paper)).toBeGreaterThan(2);
  });

  test("carry a number that reads", () => {
    for (const color of EXPERT_COLORS) expect(contrast(color, inkOn(color))).toBeGreaterThan(4.5);
  });

  test("give experts e and e + 8 two lightness steps", () => {
    for (let e = 0; e < 8; e++) {
      const [dark, light] = [EXPERT_COLORS[e]!, EXPERT_COLORS[e + 8]!].map((color) => oklab(linear(color))[0]);
      expect(light! - dark!).toBeGreaterThan(0.1);
    }
  });

  test("end at sixteen experts", () => {
    expect([8, 16, 17, 64].map(hasExpertColors)).toEqual([true, true, false, false]);
  });
});

describe("themes", () => {
  test.each(["light", "dark"] as const)("keep text readable on the %s ground", (theme) => {
    for (const role of ["ink", "muted", "accent"] as const)
      expect(contrast(THEMES[theme][role], THEMES[theme].paper)).toBeGreaterThan(4.5);
  });

  test.each(["light", "dark"] as const)("keep marks visible on the %s ground", (theme) => {
    for (const role of ["value", "positive", "negative"] as const)
      expect(contrast(THEMES[theme][role], THEMES[theme].paper)).toBeGreaterThan(3);
  });

  test("are written out for programs without variables", () => {
    expect(inTheme(`<rect fill="${themed("paper")}"/>`, "dark")).toBe(`<rect fill="${THEMES.dark.paper}"/>`);
  });
});
