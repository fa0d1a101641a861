// Where a person goes after sign-in: `/?return_to=/wiki/page?x=1`. Everybody can write such a link, so the address
// must be a path of this origin, or be at an origin in WAXSEAL_ALLOWED_ORIGINS.

import { base } from './base.js';

const PARAMETER = '?return_to=';
const ENCODED = /^(?:%2f|https?%3a)/i;
// Parsers differ over what `//`, `/\` and their encoded forms begin.
const PATH = /^\/(?!\/|\\|%2f|%5c)/i;
// No user name: `https://app.example@evil.example` is at evil.example.
const ADDRESS = /^https?:\/\/[^/?#@\\]+(?:[/?#]|$)/i;
const SKIP_LINK = '#main';
// The URL parser drops tabs and line breaks wherever they are, and takes `\` for `/`.
const FORBIDDEN = /[\\\u0000-\u001f\u007f-\u009f]/;

/**
 * nginx cannot percent-encode what it puts into an address: a value that begins with `/` or `https://` is taken as it
 * is, to the end of the query. One that begins with the encoded form of these is decoded, up to the first `&`.
 */
const decoded = (value) => (ENCODED.test(value) ? decodeURIComponent(value.split('&', 1)[0]) : value);

/**
 * What the address of this page says about where to go: null if it says nothing, `{ url: null }` if that may not be,
 * or `{ url }`. The browser carries the fragment of a protected page over the proxy's redirect: it goes on.
 */
export function returnTo({ search, hash, origin }) {
  if (!search.startsWith(PARAMETER)) return null;
  const url = parse(search.slice(PARAMETER.length), origin);
  if (url && !url.hash && hash !== SKIP_LINK) url.hash = hash;
  return { url };
}

/** The address, if it is well formed, and within `origin` if it is a path; null otherwise. */
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
  // The rest is about what the browser made of it: `/.//evil.example` is `//evil.example` by now.
  const { protocol, username, password, pathname } = url;
  if (!/^https?:$/.test(protocol) || username || password || pathname.startsWith('//')) return null;
  return isPath && url.origin !== origin ? null : url;
}

/** Whether the service lets people go to that origin. Throws if there is no answer. */
async function isAllowed(origin) {
  if (origin === location.origin) return true;
  const question = new URL('pages/allowed-origin', base);
  question.searchParams.set('origin', origin);
  const response = await fetch(question);
  return response.ok && (await response.json()).allowed === true;
}

/** What `returnTo` says of an address of this page, once the service allows it. */
export async function findReturn(page = location) {
  const found = returnTo(page);
  if (!found?.url || await isAllowed(found.url.origin)) return found;
  return { url: null };
}

const MARK = 'waxseal returned';
const A_MOMENT = 10_000;

/** The addresses that this tab went to from here just now, with the time of each. */
const recent = () => Object.entries(JSON.parse(sessionStorage.getItem(MARK) ?? '{}'))
  .filter(([, at]) => Math.abs(Date.now() - at) < A_MOMENT);

/** Goes there. The address of the sign-in page is not kept: Back would lead here again. */
export function go(url) {
  sessionStorage.setItem(MARK, JSON.stringify(Object.fromEntries([...recent(), [url.href, Date.now()]])));
  location.replace(url.href);
}

/** Whether this tab went there just now: a page that sends people back here would be opened without end. */
export const hasJustGone = (url) => recent().some(([href]) => href === url.href);
