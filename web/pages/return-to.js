// The address to open after sign-in: `/?return_to=/wiki/page?x=1`. Anyone can write such a link, so the address must be
// a path of this origin, or be at an origin in WAXSEAL_ALLOWED_ORIGINS.

import { base } from './base.js';

const PARAMETER = '?return_to=';
const ENCODED = /^(?:%2f|https?%3a)/i;
// Parsers differ in how they read `//`, `/\` and their encoded forms at the beginning.
const PATH = /^\/(?!\/|\\|%2f|%5c)/i;
// No username: `https://app.example@evil.example` is at evil.example.
const ADDRESS = /^https?:\/\/[^/?#@\\]+(?:[/?#]|$)/i;
const SKIP_LINK = '#main';
// The URL parser drops tabs and line breaks anywhere, and reads `\` as `/`.
const FORBIDDEN = /[\\\u0000-\u001f\u007f-\u009f]/;

/**
 * nginx cannot percent-encode what it puts into an address. So a value that begins with `/` or `https://` is taken as
 * it is, to the end of the query. A value that begins with an encoded form of these is decoded, up to the first `&`.
 */
const decoded = (value) => (ENCODED.test(value) ? decodeURIComponent(value.split('&', 1)[0]) : value);

/**
 * Returns where this page's address says to go: null if it does not say, `{ url: null }` if that is not allowed, else
 * `{ url }`. The browser keeps the fragment of a protected page across the proxy's redirect, so it is passed on.
 */
export function returnTo({ search, hash, origin }) {
  if (!search.startsWith(PARAMETER)) return null;
  const url = parse(search.slice(PARAMETER.length), origin);
  if (url && !url.hash && hash !== SKIP_LINK) url.hash = hash;
  return { url };
}

/** Parses an address. Returns null if it is malformed, or if it is a path that leads out of `origin`. */
function parse(value, origin) {
  let text, url;
  try {
    text = decoded(value);
    url = new URL(text, origin);
  } catch {
    return null;
  }
  const isPath = PATH.test(text);
  if (!(isPath || ADDRESS.test(text)) || FORBIDDEN.test(text)) return null;
  // Check what the browser's parser made of it: it has turned `/.//evil.example` into `//evil.example`.
  const { protocol, username, password, pathname } = url;
  if (!/^https?:$/.test(protocol) || username || password || pathname.startsWith('//')) return null;
  return isPath && url.origin !== origin ? null : url;
}

/** Whether the service allows redirects to an origin. Throws if there is no answer. */
async function isAllowed(origin) {
  if (origin === location.origin) return true;
  const question = new URL('pages/allowed-origin', base);
  question.searchParams.set('origin', origin);
  const response = await fetch(question);
  return response.ok && (await response.json()).allowed === true;
}

/** Returns the result of `returnTo`, once the service allows the address. */
export async function findReturn(page = location) {
  const found = returnTo(page);
  if (!found?.url || await isAllowed(found.url.origin)) return found;
  return { url: null };
}

const MARK = 'waxseal returned';
const A_MOMENT = 10_000;

/** The addresses that this tab recently went to from here, with the time of each. */
const recent = () => Object.entries(JSON.parse(sessionStorage.getItem(MARK) ?? '{}'))
  .filter(([, at]) => Math.abs(Date.now() - at) < A_MOMENT);

/** Opens the address. Replaces the sign-in page in the history: Back would lead here again. */
export function go(url) {
  sessionStorage.setItem(MARK, JSON.stringify(Object.fromEntries([...recent(), [url.href, Date.now()]])));
  location.replace(url.href);
}

/** Whether this tab went there recently. A page that sends users back here would otherwise cause an endless loop. */
export const hasJustGone = (url) => recent().some(([href]) => href === url.href);
