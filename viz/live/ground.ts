import { colorsOf, THEMES, type Theme } from "../colors.ts";

/** Takes the theme of the ground that the figure really stands on, now and whenever the page changes its theme. */
export function followGround(host: HTMLElement, box: HTMLElement): void {
  const follow = (): void => {
    const ground = groundOf(host);
    const theme: Theme = ground.dark ? "dark" : "light";
    for (const [role, color] of colorsOf(theme)) box.style.setProperty(`--${role}`, color);
    box.style.setProperty("--tip", THEMES[theme].paper);
    box.style.setProperty("--paper", ground.color);
  };
  follow();
  const changed = new MutationObserver(() => {
    if (host.isConnected) requestAnimationFrame(follow);
    else changed.disconnect();
  });
  const attributeFilter = ["class", "style", "data-jp-theme-light", "data-vscode-theme-kind", "data-theme"];
  for (const node of [document.documentElement, document.body])
    changed.observe(node, { attributes: true, attributeFilter });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", follow);
}

/** The first opaque background under an element; without one, the page's own canvas. */
function groundOf(host: HTMLElement): { color: string; dark: boolean } {
  for (let node: HTMLElement | null = host; node !== null; node = node.parentElement) {
    const color = getComputedStyle(node).backgroundColor;
    if (opacityOf(color) > 0.5) return { color, dark: isDark(color) };
  }
  host.style.backgroundColor = "Canvas";
  const color = getComputedStyle(host).backgroundColor;
  host.style.backgroundColor = "";
  return { color, dark: isDark(color) };
}

function channels(color: string): number[] {
  return (color.match(/[\d.]+/g) ?? []).map(Number);
}

function opacityOf(color: string): number {
  return channels(color)[3] ?? 1;
}

function isDark(color: string): boolean {
  const [r = 255, g = 255, b = 255] = channels(color);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b < 128;
}
