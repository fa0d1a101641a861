// The revocation list: what ends which tokens.

import { madeAt, sessionId } from './strict.js';

/** @import { Entry } from './feed.js' */
/** @import { Verified } from './token.js' */

/**
 * What is over of a thing: all before `from`. Of a session also `from` itself, from `grace` on, when it was renewed. Of
 * a user, a client or everything all but `spared`.
 * @typedef {{ from: number, grace: number, spared: string | null, expires: number }} Over
 */

// A clock that is this much behind was set back.
const STEP_BACK = 2000;

/**
 * Two revocations of one thing are the stricter in every field.
 * @param {Over} one @param {Over} other @returns {Over}
 */
function stricter(one, other) {
  const from = Math.max(one.from, other.from);
  const graces = [one, other].filter((over) => over.from === from).map((over) => over.grace);
  const leavesAlone = (/** @type {Over} */ over, /** @type {string} */ lineage) => madeAt(lineage) >= over.from || over.spared === lineage;
  const spared = [one.spared, other.spared].find((it) => it !== null && madeAt(it) < from && leavesAlone(one, it) && leavesAlone(other, it));
  return { from, grace: Math.min(...graces), spared: spared ?? null, expires: Math.max(one.expires, other.expires) };
}

export class RevocationList {
  /** By scope and key. @type {Map<string, Over>} */
  #over = new Map();
  /** What began and expires at or before it is dead, in ms. */
  #horizon = 0;
  /** The latest time up to which tokens were seen to have expired. */
  #latest = 0;
  /** The newest session or client's token that was issued. */
  #newest = 0;

  get size() { return this.#over.size; }

  /** Entering it twice, or in another order, gives the same list. @param {Entry} entry */
  enter({ scope, key, from, graceUntil, spared, expiresAt }) {
    const name = `${scope} ${key}`;
    const over = { from: graceUntil === null ? from : from - 1, grace: graceUntil ?? Infinity, spared, expires: expiresAt };
    const known = this.#over.get(name);
    this.#over.set(name, known ? stricter(known, over) : over);
  }

  /** @param {number} time */
  noteNewest(time) { this.#newest = Math.max(this.#newest, time); }

  /** Forward, never back. What it covers needs no entry. It says nothing of the clock here. @param {number} horizon */
  raiseHorizon(horizon) {
    if (horizon <= this.#horizon) return;
    this.#horizon = horizon;
    for (const [name, over] of this.#over) if (over.expires <= horizon) this.#over.delete(name);
  }

  /**
   * Takes note of the time up to which tokens have expired. If the clock was set back, what had expired stays dead, and
   * so does what was begun by then.
   * @param {number} expired
   */
  observe(expired) {
    const second = Math.floor(expired / 1000) * 1000;
    if (second < this.#latest - STEP_BACK) {
      this.#horizon = Math.max(this.#horizon, this.#latest, this.#newest);
      this.#latest = second;
    } else this.#latest = Math.max(this.#latest, second);
  }

  /** @param {string} kid */
  isKeyRevoked(kid) { return this.#over.has(`key ${kid}`); }

  /** The scope that ends it, or null. Any is enough. @param {Verified} verified @param {string} kid @param {number} now @param {number} leeway */
  ends({ kind, claims }, kid, now, leeway) {
    const [lineage, generation] = (kind === 'session' && sessionId(claims.sid)) || [claims.jti, 0];
    const began = madeAt(lineage);
    const cutOff = (/** @type {string} */ name) => {
      const over = this.#over.get(name);
      return over !== undefined && began < over.from && over.spared !== lineage;
    };
    const session = kind === 'session' ? this.#over.get(`session ${lineage}`) : undefined;
    // A grace that was over by a clock that was set back since stays over for sessions that began before.
    const shown = Math.max(this.#horizon, this.#latest);
    const seen = began <= shown ? Math.max(now, shown + leeway) : now;
    const expires = claims.exp * 1000;
    if ((expires <= this.#horizon && began <= this.#horizon) || expires <= this.#latest) return 'horizon';
    if (session && (generation < session.from || (generation === session.from && seen >= session.grace))) return 'session';
    if (this.#over.has(`token ${claims.jti}`)) return 'token';
    if (cutOff(kind === 'session' ? `user ${claims.sub}` : `client ${claims.sub}`)) return kind === 'session' ? 'user' : 'client';
    if (this.isKeyRevoked(kid)) return 'key';
    return cutOff('everything ') ? 'everything' : null;
  }
}
