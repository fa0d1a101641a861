// The feed: pages of the revocation log, and whether a page continues the previous ones. docs/feed.md has the format.

import { createHash } from 'node:crypto';
import { fromBase64url, isClientId, isId, isKid } from './strict.js';

/** @import { Json, JsonObject } from './strict.js' */
/** An entry. A missing `from` (all) or `expires_at` (never) is Infinity. @typedef {{ seq: number, scope: string, key: string, from: number, graceUntil: number | null, spared: string | null, expiresAt: number, reason: string, at: number }} Entry */
/** @typedef {{ seq: number, hash: Buffer }} Cursor */

const NEVER = 2n ** 63n - 1n;
/** @type {{ [scope: string]: (key: unknown) => boolean }} */
const KEYS = { session: isId, token: isId, user: isId, client: isClientId, key: isKid, everything: (key) => key === '' };
// The scope and the key of an entry of a later version that ends nothing.
const IGNORABLE = /^ignorable:[a-z0-9_]{1,31} [!-~]{0,128}$/;

const sha256 = (/** @type {string | Buffer} */ bytes) => createHash('sha256').update(bytes).digest();
const isWhole = (/** @type {unknown} */ it) => Number.isSafeInteger(it);

const isKnown = (/** @type {unknown} */ scope) => typeof scope === 'string' && Object.hasOwn(KEYS, scope);

/** Reads an entry of any scope. @param {Json} wire @returns {Entry} */
function readEntry(wire) {
  const { seq, scope, key, from, grace_until, spared, expires_at, reason, at, ...others } = /** @type {JsonObject} */ (Object(wire));
  const maybe = (/** @type {unknown} */ it, fits = isWhole) => it === undefined || fits(it);
  const target = typeof scope === 'string' && typeof key === 'string' && (!isKnown(scope) || KEYS[scope]?.(key));
  const fits = target && isWhole(seq) && isWhole(at) && maybe(from) && maybe(grace_until) && maybe(expires_at) && maybe(spared, isId) && typeof reason === 'string' && !Object.keys(others).length;
  if (!fits) throw new Error('an entry that is malformed, or has a member that is not known here');
  return /** @type {Entry} */ ({ seq, scope, key, from: from ?? Infinity, graceUntil: grace_until ?? null, spared: spared ?? null, expiresAt: expires_at ?? Infinity, reason, at });
}

/** Returns the running hash after an entry, from the hash before it. @param {Buffer} before @param {Entry} entry */
export function chain(before, entry) {
  const pieces = [before];
  const number = (/** @type {number | bigint} */ it) => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64BE(it === Infinity ? NEVER : BigInt(it));
    pieces.push(bytes);
  };
  [entry.seq, entry.from, entry.expiresAt, entry.at].forEach(number);
  for (const text of [entry.scope, entry.key, entry.spared ?? '', entry.reason]) {
    const bytes = Buffer.from(text);
    number(bytes.length);
    pieces.push(bytes);
  }
  if (entry.graceUntil !== null) number(entry.graceUntil);
  return sha256(Buffer.concat(pieces));
}

/** @param {Entry[]} entries */
export const digest = (entries) => entries.reduce(chain, sha256('waxseal-revocations'));

/** An entry has a scope that this version does not know and must not skip. */
export class UnknownKind extends Error {
  /** @param {number} seq */
  constructor(seq) {
    super(`entry ${seq} of the revocation log is of a kind that this version does not know, and may end tokens; upgrade this verifier`);
  }
}

/** The issuer has another name than expected. */
export class OtherName extends Error {
  /** @param {unknown} said @param {string} expected */
  constructor(said, expected) {
    super(`the issuer says that it is ${JSON.stringify(said)}, and not ${JSON.stringify(expected)}`);
  }
}

/** A log read over the feed: first a snapshot, which has gaps, then the entries after it, which have none. */
export class Reading {
  /** @type {Cursor} */
  #cursor = { seq: 0, hash: Buffer.alloc(32) };
  #snapshot = true;

  /** The position to request next. */
  get next() { return `${this.#snapshot ? 'snapshot' : 'after'}=${this.#cursor.seq}`; }

  /**
   * Applies the answer to the request for `next`. Returns its entries, without those that end nothing, and whether they
   * reach the log's head. If it throws, nothing has changed; but if the log is another one than before, it starts again
   * with a snapshot.
   * @param {{ issuer: string, clientId: string, nonce: string }} question @param {JsonObject} said @param {Json | undefined} wire
   */
  take(question, said, wire) {
    const { iss, aud, nonce, now, age, after, after_hash: afterHash, snapshot, more, seq, hash, entries: signed, horizon, newest } = said;
    if (iss !== question.issuer) throw new OtherName(iss, question.issuer);
    if (aud !== question.clientId || nonce !== question.nonce) throw new Error('the page answers another question');
    const whole = [now, age, after, seq, horizon, newest].every(isWhole) && Number(age) >= 0;
    if (!whole || typeof snapshot !== 'boolean' || typeof more !== 'boolean' || typeof hash !== 'string') throw new Error('the page is malformed');
    const entries = (Array.isArray(wire) ? wire : [null]).map(readEntry);
    if (signed !== digest(entries).toString('base64url')) throw new Error("the page's entries are not what was signed");
    const unknown = entries.find(({ scope, key }) => !isKnown(scope) && !IGNORABLE.test(`${scope} ${key}`));
    if (unknown) throw new UnknownKind(unknown.seq);
    const end = { seq: Number(seq), hash: fromBase64url(hash) };
    // The issuer may answer with a new snapshot instead.
    const begins = snapshot && after === 0;
    const goesOn = snapshot === this.#snapshot && after === this.#cursor.seq;
    if (!begins && !goesOn) throw new Error('the page answers another question');
    // If the log is replaced between two pages of its snapshot, its hash differs where the next page continues.
    const same = begins || !snapshot || (typeof afterHash === 'string' && fromBase64url(afterHash).equals(this.#cursor.hash));
    if (!same || !(snapshot ? rises(Number(after), end, entries) : continues(this.#cursor, end, entries))) {
      const { seq } = this.#cursor;
      this.#cursor = { seq: 0, hash: Buffer.alloc(32) };
      this.#snapshot = true;
      throw new Error(`the log went back or was altered at seq ${seq}: it does not continue what was read before`);
    }
    if (more && entries.length === 0) throw new Error('the page says that more follows, and has nothing');
    this.#cursor = end;
    this.#snapshot = snapshot && more;
    return { entries: entries.filter(({ scope }) => isKnown(scope)), complete: !more, now: Number(now), age: Number(age), horizon: Number(horizon), newest: Number(newest) };
  }
}

/** @param {Cursor} from @param {Cursor} end @param {Entry[]} entries */
function continues({ seq, hash }, end, entries) {
  for (const entry of entries) {
    seq += 1;
    if (entry.seq !== seq) return false;
    hash = chain(hash, entry);
  }
  return seq === end.seq && hash.equals(end.hash);
}

/** Behind a gap, the hash cannot be checked: the issuer gives it. @param {number} after @param {Cursor} end @param {Entry[]} entries */
function rises(after, end, entries) {
  for (const { seq } of entries) {
    if (seq <= after) return false;
    after = seq;
  }
  return after <= end.seq && end.hash.length === 32;
}
