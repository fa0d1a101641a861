// The revocation list: which revocation ends which tokens.

import { madeAt, sessionId } from './strict.js';

/** @import { Entry } from './feed.js' */
/** @import { Verified } from './token.js' */

/**
 * What is revoked of a target: everything before `from`. Of a renewed session also `from` itself, once `grace` is over.
 * Of a user, a client or everything, all but the session `spared`.
 * @typedef {{ from: number, grace: number, spared: string | null, expires: number }} Over
 */

// A clock that is further behind than this, in ms, was set back.
const STEP_BACK = 2000;

/**
 * Merges two revocations of one target: the stricter value in every field.
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
  /** The revocations by scope and key. @type {Map<string, Over>} */
  #over = new Map();
  /** In ms. A token that began and expires at or before it is dead. */
  #horizon = 0;
  /** The latest clock reading less the leeway, in ms, rounded down to a second. Tokens up to it have expired. */
  #latest = 0;
  /** The latest reading of the clock since it was last set back. */
  #shown = 0;
  /** The latest reading of the clock before that. */
  #shownBefore = 0;
  /** When the newest session or client token was issued. */
  #newest = 0;

  get size() { return this.#over.size; }

  /** Adds an entry. Repeating or reordering entries gives the same list. @param {Entry} entry */
  enter({ scope, key, from, graceUntil, spared, expiresAt }) {
    const name = `${scope} ${key}`;
    const over = { from: graceUntil === null ? from : from - 1, grace: graceUntil ?? Infinity, spared, expires: expiresAt };
    const known = this.#over.get(name);
    this.#over.set(name, known ? stricter(known, over) : over);
  }

  /** @param {number} time */
  noteNewest(time) { this.#newest = Math.max(this.#newest, time); }

  /** Raises the horizon, never lowers it, and drops the entries that it covers. It says nothing about the local clock. @param {number} horizon */
  raiseHorizon(horizon) {
    if (horizon <= this.#horizon) return;
    this.#horizon = horizon;
    for (const [name, over] of this.#over) if (over.expires <= horizon) this.#over.delete(name);
  }

  /**
   * Records a clock reading, and returns the time to use: the latest reading. A clock that is behind by more than two
   * seconds was set back, and the list follows it: what had expired stays dead, and so does what had begun by then.
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

  /** Returns the latest time that counts for what began then. Readings from before the clock was set back count for everything that the horizon is past. @param {number} began @param {number} now @param {number} leeway */
  #seen(began, now, leeway) {
    const seen = Math.max(now, this.#shown, this.#latest + leeway);
    return began <= this.#horizon ? Math.max(seen, this.#shownBefore, this.#horizon + leeway) : seen;
  }

  /** @param {string} kid */
  isKeyRevoked(kid) { return this.#over.has(`key ${kid}`); }

  /** Returns the scope of a revocation that ends the token, or null. One is enough. @param {Verified} verified @param {string} kid @param {number} now @param {number} leeway */
  ends({ kind, claims }, kid, now, leeway) {
    const [lineage, generation] = (kind === 'session' && sessionId(claims.sid)) || [claims.jti, 0];
    const began = madeAt(lineage);
    const cutOff = (/** @type {string} */ name) => {
      const over = this.#over.get(name);
      return over !== undefined && began < over.from && over.spared !== lineage;
    };
    const session = kind === 'session' ? this.#over.get(`session ${lineage}`) : undefined;
    // A grace that was over stays over, even if the clock is set back.
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
