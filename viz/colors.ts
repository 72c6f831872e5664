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
 * One colour an expert for up to 16: eight hues after Okabe and Ito at two lightness steps, so that expert e and e + 8
 * share a hue. Lightness keeps every colour at 2:1 or more on both grounds; views add a label, since no palette of this
 * size is safe alone.
 * @see https://jfly.uni-koeln.de/color/
 */
export const EXPERT_COLORS: readonly string[] = (
  "#055b92 #b15744 #0e7f45 #942e7a #826500 #1d7cb4 #535c09 #737373 " +
  "#4d90da #f4826a #5eb475 #c27098 #d79e07 #37b4dc #958f04 #a6a6a6"
).split(" ");

/** Whether a model has few enough experts for colour to say which; beyond, position says it. */
export function hasExpertColors(nExperts: number): boolean {
  return nExperts <= EXPERT_COLORS.length;
}

/** Black or white, whichever reads better on a colour `#rrggbb`. */
export function inkOn(color: string): "#000000" | "#ffffff" {
  const luminance = relativeLuminance(color);
  return 1.05 / (luminance + 0.05) >= (luminance + 0.05) / 0.05 ? "#ffffff" : "#000000";
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

function declarations(theme: Theme): string {
  return Object.entries(THEMES[theme])
    .map(([role, color]) => `--${role}:${color}`)
    .join(";");
}

/** Style that lets a picture follow the reader's preference for light or dark. */
export const THEME_STYLE = `svg{${declarations("light")}}@media(prefers-color-scheme:dark){svg{${declarations("dark")}}}`;

/** A themed picture with one theme's colours written out, for programs that know no CSS variables. */
export function inTheme(svg: string, theme: Theme): string {
  return svg
    .replace(`<style>${THEME_STYLE}</style>`, "")
    .replace(/var\(--(\w+)\)/g, (whole, role: string) => (THEMES[theme] as Record<string, string>)[role] ?? whole);
}
