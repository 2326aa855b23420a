// Light, dark, or as the system says (the default).
export type Theme = 'auto' | 'light' | 'dark';
const key = 'dunlin.theme';
const next: Record<Theme, Theme> = { auto: 'light', light: 'dark', dark: 'auto' };

class ThemeSwitch {
  choice = $state<Theme>((localStorage.getItem(key) as Theme | null) ?? 'auto');
  /** Counts changes, so that what is drawn on a canvas is drawn anew. */
  turn = $state(0);

  constructor() {
    this.#apply();
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.turn++);
  }

  turnOver() {
    this.choice = next[this.choice];
    localStorage.setItem(key, this.choice);
    this.#apply();
    this.turn++;
  }

  #apply() {
    if (this.choice === 'auto') delete document.documentElement.dataset['theme'];
    else document.documentElement.dataset['theme'] = this.choice;
  }
}

export const theme = new ThemeSwitch();
