/** What a person can choose. */
export const THEMES = ['system', 'light', 'dark'] as const;

export type Theme = (typeof THEMES)[number];

const KEY = 'kanade.theme';
const dark = matchMedia('(prefers-color-scheme: dark)');

/** What the person chose. */
export function chosenTheme(): Theme {
  return THEMES.find((theme) => theme === localStorage.getItem(KEY)) ?? 'system';
}

/** Remembers the choice and shows it. */
export function chooseTheme(theme: Theme): void {
  localStorage.setItem(KEY, theme);
  showTheme();
}

/** Shows the chosen theme now, and from now on follows the system where it is chosen. */
export function followTheme(): void {
  showTheme();
  dark.addEventListener('change', showTheme);
}

function showTheme(): void {
  const theme = chosenTheme();
  const system = dark.matches ? 'dark' : 'light';
  document.documentElement.dataset.theme = theme === 'system' ? system : theme;
}
