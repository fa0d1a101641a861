// The base URL of Waxseal: the folder above its pages, below any path that a proxy adds.

export const base = new URL('..', import.meta.url);
