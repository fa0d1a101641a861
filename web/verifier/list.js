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
  /** The time up to which tokens have expired: what the clock has shown less the leeway, in whole seconds. */
  #latest = 0;
  /** The latest time that the clock has shown since it was last set back. */
  #shown = 0;
  /** The latest time that it had shown before that. */
  #shownBefore = 0;
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
   * Takes note of what the clock shows, and gives the time to go by: the latest that the clock has shown. A clock that is
   * behind by more than two seconds was set back, and is followed: what had expired stays dead, and so does what was
   * begun by then.
   * @param {number} now @param {number} leeway
   */
  observe(now, leeway) {
    const expired = Math.floor((now - leeway) / 1000) * 1000;
    if (expired < this.#latest - STEP_BACK || now < this.#shown - STEP_BACK) {
      this.#horizon = Math.max(this.#horizon, this.#latest, this.#newest);
      this.#shownBefore = Math.max(this.#shownBefore, this.#shown);
      this.#latest = Math.min(this.#latest, expired);
      this.#shown = now;
    } else {
      this.#latest = Math.max(this.#latest, expired);
      this.#shown = Math.max(this.#shown, now);
    }
    return this.#shown;
  }

  /** The latest time that counts for what began then. What the clock had shown before it was set back counts for all that the horizon is past. @param {number} began @param {number} now @param {number} leeway */
  #seen(began, now, leeway) {
    const seen = Math.max(now, this.#shown, this.#latest + leeway);
    return began <= this.#horizon ? Math.max(seen, this.#shownBefore, this.#horizon + leeway) : seen;
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
    // A grace that was over stays over, also when the clock was set back.
    const seen = this.#seen(began, now, leeway);
    const expires = claims.exp * 1000;
    if ((expires <= this.#horizon && began <= this.#horizon) || expires <= this.#latest) return 'horizon';
    if (session && (generation < session.from || (generation === session.from && seen >= session.grace))) return 'session';
    if (this.#over.has(`token ${claims.jti}`)) return 'token';
    if (cutOff(kind === 'session' ? `user ${claims.sub}` : `client ${claims.sub}`)) return kind === 'session' ? 'user' : 'client';
    if (this.isKeyRevoked(kid)) return 'key';
    return cutOff('everything ') ? 'everything' : null;
  }
}
