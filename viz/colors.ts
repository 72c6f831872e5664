/** Colours by meaning, for a light and a dark ground. */
export const THEMES = {
  light: {
    /** The ground itself. */
    paper: "#ffffff",
    ink: "#1d2430",
    /** Secondary text: at least 4.5:1 on paper. */
    muted: "#5a6372",
    /** Frames and ticks. */
    faint: "#c8ced8",
    /** The ground of a cell in which nothing stands. */
    well: "#f0f2f5",
    /** Full end of a sequential scale, which starts at paper. */
    value: "#0f4c8a",
    /** The two ends of a diverging scale, whose middle is paper. */
    negative: "#5e3c99",
    positive: "#c2570c",
    /** What is pointed at. */
    accent: "#c2185b",
  },
  dark: {
    paper: "#14181f",
    ink: "#e7eaf0",
    muted: "#a3acba",
    faint: "#414a58",
    well: "#20262f",
    value: "#8cc8ff",
    negative: "#b9a2f2",
    positive: "#f5a55a",
    accent: "#ff7aa8",
  },
} as const;

export type Theme = keyof typeof THEMES;
export type Role = keyof (typeof THEMES)["light"];

/** A colour that follows the theme, as it stands in a picture before {@link inTheme}. */
export function themed(role: Role): string {
  return `var(--${role})`;
}

/**
 * The colours of up to 16 experts on each ground: eight hues at two lightness steps, about the same from ground to ground.
 * Each has a contrast of 3:1 or more with its ground, and they were spread by search to be as far apart as they can in full
 * colour vision and in its three common deficiencies (a test measures both). Views add a label, since no palette of this
 * size is safe alone.
 */
export const EXPERT_PALETTES: Record<Theme, readonly string[]> = {
  light: (
    "#32367c #6a0000 #004a2b #825974 #5f5906 #08699d #506b4a #3c343a " +
    "#747aa1 #e6541e #3da577 #da5cc9 #877e54 #1693ee #2d911c #978c92"
  ).split(" "),
  dark: (
    "#71789f #c26a5e #749f86 #b58da7 #857c11 #05a6f6 #33b608 #7c7b7c " +
    "#a7c0fc #d9a6a6 #76f8c1 #dcb7d6 #ead825 #b6e5ff #92c47f #e2d8df"
  ).split(" "),
};

/** The colour of each expert, as it stands in a picture before {@link inTheme}. */
export const EXPERT_COLORS: readonly string[] = EXPERT_PALETTES.light.map((_, expert) => `var(--e${expert})`);

/** Whether a model has few enough experts for colour to say which; beyond, position says it. */
export function hasExpertColors(nExperts: number): boolean {
  return nExperts <= EXPERT_COLORS.length;
}

/** The ink that reads best on an expert's colour. */
export function inkOn(expert: number): string {
  return `var(--on${expert})`;
}

/** Black or white, whichever reads better on a colour `#rrggbb`. */
function blackOrWhite(color: string): string {
  const luminance = relativeLuminance(color);
  return 1.05 / (luminance + 0.05) >= (luminance + 0.05) / 0.05 ? "#ffffff" : "#000000";
}

/**
 * Every colour of a theme under its name: roles, experts, and the ink on each expert; and whether what is drawn for one
 * ground alone is displayed.
 */
export function colorsOf(theme: Theme): [name: string, color: string][] {
  const experts = EXPERT_PALETTES[theme].flatMap((color, e): [string, string][] => [
    [`e${e}`, color],
    [`on${e}`, blackOrWhite(color)],
  ]);
  const shown = Object.keys(THEMES).map((own): [string, string] => [own, own === theme ? "inline" : "none"]);
  return [...Object.entries(THEMES[theme]), ...experts, ...shown];
}

/**
 * Relative luminance of a colour `#rrggbb`, 0 (black) to 1 (white).
 * @see WCAG 2.2, "relative luminance"
 */
export function relativeLuminance(color: string): number {
  const [r, g, b] = [1, 3, 5].map((at) => {
    const channel = Number.parseInt(color.slice(at, at + 2), 16) / 255;
    return channel <= 0.04045 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!;
}

const NAMES = /var\(--(\w+)\)/g;

/** Style that lets a picture follow the reader's preference for light or dark: the colours that it uses, on each ground. */
export function themeStyle(body: string): string {
  const used = new Set(Array.from(body.matchAll(NAMES), ([, name]) => name!));
  const [light, dark] = (["light", "dark"] as const).map((theme) =>
    colorsOf(theme)
      .filter(([name]) => used.has(name))
      .map(([name, color]) => `--${name}:${color}`)
      .join(";"),
  );
  return `<style class="theme">svg{${light}}@media(prefers-color-scheme:dark){svg{${dark}}}</style>`;
}

/** A themed picture with one theme's colours written out, for programs that know no CSS variables. */
export function inTheme(svg: string, theme: Theme): string {
  const colors = new Map(colorsOf(theme));
  return svg
    .replace(/<style class="theme">[^<]*<\/style>/, "")
    .replace(NAMES, (whole, name: string) => colors.get(name) ?? whole)
    .replace(/<image[^>]*;display:none"[^>]*>/g, "");
}
