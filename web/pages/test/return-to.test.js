// Random values of `return_to`: what the page accepts leads to the same origin by the URL parser of browsers (WHATWG) and
// by the expression of RFC 3986, appendix B. `WAXSEAL_FUZZ_SECONDS` runs for that long, with a new seed;
// `WAXSEAL_FUZZ_SEED` repeats one.

import assert from 'node:assert/strict';
import test from 'node:test';
import { returnTo } from '../return-to.js';

const ORIGIN = 'https://auth.example';
const RFC_3986 = /^(?:([^:/?#]+):)?(?:\/\/([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#(.*))?$/s;

const BEGINNINGS = ['/', '/', '/wiki', 'https://app.example', 'https://', 'http://', 'HTTPS://', '%2F', '%2f', 'https%3A%2F%2F', 'https:', '//', '/\\', ''];
const PIECES = [
  '/', '//', '\\', '%2f', '%2F', '%5c', '.', '..', '/.', '/..', '%2e', '%2E%2e', '@', '%40', ':', '%3a', '?', '%3F', '#', '%23', '&', '=', ' ', '%20',
  '\t', '\n', '\r', '\0', '\u000b', '%09', '%0a', '%0d', '%00', '%', '%zz', '%ff', '%c3%a9', 'http:', 'https:', 'javascript:', 'data:', 'https://', 'x',
  'auth.example', 'app.example', 'evil.example', ORIGIN, '127.0.0.1', '0x7f.1', '2130706433', '[::1]', '[', ']', ':443', ':80', ':8443', ':99999', 'user:word@',
  '\u00a0', '\ufeff', '\u2028', '\u3002', '\uff0f', '\uff0e', '\uff1a', '\uff20', '\uff3c', '\u2044', '\u2215', '\u00df', '\u0130', '\u200d', '\u00ad', '\ud800', '\ud83d\ude00',
  'xn--', 'xn--a', '-', '_', '*', '^', '|', ';', '"', '<', '>', '`', '{', '}', '~', '$', '+', ',', "'", '(', ')', '!',
];

/** A generator of numbers from 0 to 1, the same for the same seed (mulberry32). */
function seeded(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A query with a random `return_to`: as somebody wrote it, or as a browser's `location.search` has it. */
function randomSearch(random) {
  const one = (list) => list[Math.floor(random() * list.length)];
  let value = one(BEGINNINGS);
  for (let more = Math.floor(random() * 7); more > 0; more--) value += one(PIECES);
  try {
    if (random() < 0.3) value = encodeURIComponent(value);
  } catch {
    // Half of a surrogate pair has no encoding.
  }
  const search = `?return_to=${value}`;
  return random() < 0.5 ? search : new URL(`/${search}`, ORIGIN).search;
}

/** The text that a query asks to return to. */
function textOf(search) {
  const value = search.slice('?return_to='.length);
  return /^(?:\/|https?:)/i.test(value) ? value : decodeURIComponent(value.split('&', 1)[0]);
}

/** Returns whether the page accepts. */
function check(search) {
  const { url } = returnTo({ search, hash: '', origin: ORIGIN });
  if (url === null) return false;
  const [, scheme, authority] = RFC_3986.exec(textOf(search));
  if (scheme === undefined) {
    assert.equal(authority, undefined, 'another host, by RFC 3986');
    assert.equal(url.origin, ORIGIN, 'another origin, by the browser');
  } else {
    assert.match(scheme, /^https?$/i);
    assert.doesNotMatch(authority, /[@\\]/);
    assert.equal(new URL(`${scheme}://${authority}`).origin, url.origin, 'two origins');
  }
  // Where the browser goes: it parses the address again.
  const gone = new URL(url.href, `${ORIGIN}/pages/`);
  assert.equal(gone.href, url.href);
  assert.match(gone.protocol, /^https?:$/);
  assert.equal(gone.username + gone.password, '');
  return true;
}

test('both parsers find the same origin in an accepted value', () => {
  const { WAXSEAL_FUZZ_SECONDS: seconds, WAXSEAL_FUZZ_SEED: repeated } = process.env;
  const seed = repeated ?? (seconds ? Math.floor(Math.random() * 2 ** 32) : 1);
  const random = seeded(Number(seed));
  const end = Date.now() + 1000 * Number(seconds ?? 0);
  let [accepted, refused] = [0, 0];
  do {
    for (let left = 20_000; left > 0; left--) {
      const search = randomSearch(random);
      try {
        if (check(search)) accepted++;
        else refused++;
      } catch (cause) {
        throw new Error(`seed ${seed}: ${JSON.stringify(search)}`, { cause });
      }
    }
  } while (Date.now() < end);
  console.log(`return_to, seed ${seed}: ${accepted} accepted, ${refused} refused`);
  assert.ok(accepted > 1000 && refused > 1000, 'the values lead nowhere');
});
