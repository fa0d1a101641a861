// Where Waxseal is. Its pages are one folder below, whatever path a proxy serves them under.

export const base = new URL('..', import.meta.url);
