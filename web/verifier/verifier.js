// Verifies Waxseal's tokens without a call to the issuer, and refuses revoked ones.

import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { PATIENCE, describe, mayPass, notReady } from './fault.js';
import { Reading } from './feed.js';
import { RevocationList } from './list.js';
import { BadStatus, Requests } from './requests.js';
import { isClientId } from './strict.js';
import { checkClaims, keysOf, openJws, payloadOf, readClaims } from './token.js';

/** @import { Options, Refusal as PublicRefusal, Verifier as PublicVerifier } from './verifier.js' */
/** @import { Key } from './token.js' */

const MAX_LEEWAY = 60;
const POLL_AT_LEAST_EACH = 1_000;
const ANSWER_WITHIN = 10_000;
// A verifier may keep keys for ten minutes: a key is published for longer before it signs.
const KEEP_KEYS = 300_000;
const COOL_DOWN = 30_000;
// The pause after each answer, however often the stream notifies.
const PAUSE = 5;
// The stream has a heartbeat every five seconds.
const SILENCE = 15_000;
const TOKEN = 'at+jwt';
const PAGE = 'waxseal-revocations+jwt';

/** @implements {PublicRefusal} */
export class Refusal extends Error {
  /** @param {'invalid_token' | 'unavailable'} code @param {unknown} cause */
  constructor(code, cause) {
    super(code === 'unavailable' ? 'The revocation state of the token is unknown at the moment. Try again later.' : 'The token is malformed, expired, revoked or not meant for this service.', { cause });
    this.name = 'Refusal';
    this.code = code;
    this.status = /** @type {401 | 503} */ (code === 'unavailable' ? 503 : 401);
  }
}

const closed = () => new Error('the verifier is closed');
const stale = () => new Refusal('unavailable', new Error('the revocation list is not provably fresh'));

/** @implements {PublicVerifier} */
export class Verifier {
  #clientId;
  #basic;
  #policy;
  #bound;
  #clock;
  #log;
  #at;
  #requests;
  #list = new RevocationList();
  #reading = new Reading();
  /** @type {Map<string, Key>} */
  #keys = new Map();
  #keysAsked = -Infinity;
  /** @type {Promise<void> | null} */
  #keysComing = null;
  #keysFetched = -Infinity;
  #token = { text: '', until: -Infinity };
  /** When the last request was sent whose answer proved the list complete, by both clocks. @type {{ uptime: number, wall: number } | null} */
  #proven = null;
  /** @type {string | null} */
  #trouble = null;
  /** Aborted when the stream notifies. */
  #bell = new AbortController();
  #closing = new AbortController();
  /** Callbacks that get the outcome of the next request: an error, or null. @type {Set<(outcome: unknown) => void>} */
  #waiting = new Set();

  /** @param {Options} options */
  constructor({ issuer, clientId, clientSecret, audience = issuer, at = issuer, maxStaleness = 5, leeway = 5, fetch = globalThis.fetch, clock, log = console.warn }) {
    const audiences = typeof audience === 'string' ? [audience] : [...audience];
    const base = new URL(at);
    if (!issuer || !isClientId(clientId) || !clientSecret || !audiences.length || audiences.includes('')) throw new TypeError('issuer, clientId and clientSecret are needed, and audiences must not be empty');
    const local = ['localhost', '127.0.0.1', '[::1]'].includes(base.hostname);
    if (base.protocol !== 'https:' && !(base.protocol === 'http:' && local)) throw new TypeError('the issuer is reached over https://, or on this machine');
    if (base.username || base.password) throw new TypeError('the address of the issuer has no name and no password in it');
    if (!(maxStaleness >= 1 && maxStaleness <= 3600)) throw new TypeError('maxStaleness is 1 to 3600 seconds');
    if (!(leeway >= 0 && leeway <= MAX_LEEWAY)) throw new TypeError('leeway is 0 to 60 seconds');
    this.#clientId = clientId;
    this.#basic = `Basic ${Buffer.from(`${encodeURIComponent(clientId)}:${encodeURIComponent(clientSecret)}`).toString('base64')}`;
    this.#policy = { issuer, audiences, leeway: leeway * 1000 };
    this.#bound = maxStaleness * 1000;
    this.#clock = clock ?? { now: () => Date.now(), uptime: () => performance.now() };
    this.#log = log;
    this.#at = at;
    this.#requests = new Requests(base.href, fetch, Math.min(this.#bound, ANSWER_WITHIN));
    this.#follow();
    this.#listen();
  }

  /** @returns {Promise<void>} */
  ready() {
    return new Promise((resolve, reject) => {
      if (this.fresh) return resolve();
      if (this.#closing.signal.aborted) return reject(closed());
      /** @type {unknown} */ let last = null;
      const end = (/** @type {Error | null} */ error) => {
        clearTimeout(timer);
        this.#waiting.delete(hear);
        if (error) reject(error);
        else resolve();
      };
      const hear = (/** @type {unknown} */ outcome) => {
        last = outcome;
        if (this.#closing.signal.aborted) end(closed());
        else if (this.fresh) end(null);
        else if (outcome !== null && !mayPass(outcome)) end(notReady(outcome, this.#at));
      };
      const timer = setTimeout(() => end(notReady(last, this.#at)), PATIENCE);
      this.#waiting.add(hear);
    });
  }

  get fresh() {
    if (this.#closing.signal.aborted || !this.#proven) return false;
    // The uptime does not step; the wall clock counts during suspension. The one that shows more time passed decides.
    return this.#clock.uptime() - this.#proven.uptime < this.#bound && this.#clock.now() - this.#proven.wall < this.#bound;
  }

  close() {
    this.#closing.abort();
    this.#bell.abort();
    this.#requests.close();
    this.#waiting.forEach((hear) => hear(null));
  }

  /** Checks in this order: size, shape, header, key, signature, claims, time and audience, revocation, freshness. @param {string} token */
  async verify(token) {
    try {
      const jws = openJws(token, TOKEN);
      const key = await this.#key(jws.kid);
      // Until the list is fresh, the keys may be old or missing too.
      if (!key) throw this.fresh ? new Error('signed with an unknown key') : stale();
      const verified = readClaims(await payloadOf(jws, key));
      const { leeway } = this.#policy;
      const now = this.#list.observe(this.#clock.now(), leeway);
      checkClaims(verified, this.#policy, now);
      // A known revocation applies however old the list is.
      const scope = this.#list.ends(verified, key.kid, now, leeway);
      if (scope !== null) throw new Error(`revoked, scope ${scope}`);
      if (!this.fresh) throw stale();
      return verified;
    } catch (cause) {
      throw cause instanceof Refusal ? cause : new Refusal('invalid_token', cause);
    }
  }

  /** Returns the key with this `kid`. Fetches an unknown one from the issuer, with a cool-down: anyone can name a key. @param {string} kid */
  async #key(kid) {
    const cool = this.#clock.uptime() - this.#keysAsked >= COOL_DOWN;
    if (!this.#keys.has(kid) && (this.#keysComing || cool)) await this.#fetchKeys().catch(() => {});
    return this.#keys.get(kid);
  }

  #fetchKeys() {
    const fetching = async () => {
      const asked = this.#clock.uptime();
      this.#keysAsked = asked;
      this.#keys = await keysOf(await this.#requests.object('/.well-known/jwks.json'));
      this.#keysFetched = asked;
    };
    this.#keysComing ??= fetching().finally(() => { this.#keysComing = null; });
    return this.#keysComing;
  }

  /** Returns the header with a token that is valid for a while yet. */
  async #authorization() {
    const asked = this.#clock.uptime();
    if (asked >= this.#token.until) {
      const granted = await this.#requests.object('/oauth/token', {
        method: 'POST',
        headers: { Authorization: this.#basic },
        body: new URLSearchParams({ grant_type: 'client_credentials', scope: 'revocations:read' }),
      });
      const { access_token: text, expires_in: seconds } = granted;
      if (typeof text !== 'string' || !/^[!-~]+$/.test(text) || !(Number(seconds) > 0)) throw new Error('/oauth/token gave no token');
      this.#token = { text, until: asked + Number(seconds) * 500 };
    }
    return { Authorization: `Bearer ${this.#token.text}` };
  }

  /** @template T @param {() => Promise<T>} asking @returns {Promise<T>} */
  async #authorized(asking) {
    return asking().catch((error) => {
      // The token was revoked, or the issuer has new keys.
      if (error instanceof BadStatus && [401, 403].includes(error.status)) this.#token.until = -Infinity;
      throw error;
    });
  }

  /** Reads one page, and applies it. Returns true if it reached the log's head. */
  async #readPage() {
    const headers = await this.#authorization();
    const nonce = randomBytes(16).toString('base64url');
    const [wall, uptime] = [this.#clock.now(), this.#clock.uptime()];
    const { page, entries: wire, ...others } = await this.#authorized(() => this.#requests.object(`/revocations?${this.#reading.next}&nonce=${nonce}`, { headers }));
    const answered = this.#clock.now();
    if (Object.keys(others).length) throw new Error('the page is malformed');
    const jws = openJws(page, PAGE);
    // The page comes from the issuer, not from a stranger: no cool-down for its key.
    if (!this.#keys.has(jws.kid)) await this.#fetchKeys();
    const key = this.#keys.get(jws.kid);
    if (!key || this.#list.isKeyRevoked(key.kid)) throw new Error(`the page is signed with the key ${jws.kid}, which is unknown or revoked`);
    const said = await payloadOf(jws, key);
    const { issuer, leeway } = this.#policy;
    const brought = this.#reading.take({ issuer, clientId: this.#clientId, nonce }, said, wire);
    brought.entries.forEach((entry) => this.#list.enter(entry));
    this.#list.noteNewest(brought.newest);
    this.#list.raiseHorizon(brought.horizon);
    // A wrong clock misjudges what has expired.
    if (brought.now < wall - leeway || brought.now > answered + leeway) throw new Error("this clock and the issuer's differ by more than the leeway");
    this.#list.observe(answered, leeway);
    if (brought.complete) this.#proven = { uptime: uptime - brought.age, wall: wall - brought.age };
    return brought.complete;
  }

  /** Keeps the keys and the list fresh. */
  async #follow() {
    const closing = this.#closing.signal;
    while (!closing.aborted) {
      this.#bell = new AbortController();
      /** @type {unknown} */ let fault = null;
      /** @type {string | null} */ let trouble = null;
      const asked = this.#keys.size ? this.#keysAsked + COOL_DOWN : -Infinity;
      if (this.#clock.uptime() >= Math.max(asked, this.#keysFetched + KEEP_KEYS)) {
        await this.#fetchKeys().catch((error) => {
          fault = error;
          trouble = `the keys: ${describe(error)}`;
        });
      }
      try {
        while (!(await this.#readPage()));
      } catch (error) {
        fault ??= error;
        trouble ??= describe(error);
      }
      this.#waiting.forEach((hear) => hear(fault));
      this.#say(trouble);
      await sleep(PAUSE);
      // If the issuer cannot be read, notifications do not cause more requests.
      const signal = trouble === null ? this.#bell.signal : closing;
      const wait = Math.max(Math.min(this.#bound / 4, POLL_AT_LEAST_EACH), this.#untilNext(fault));
      await sleep(wait, undefined, { signal }).catch(() => {});
    }
  }

  /** Returns the wait that a refusal asks for, at most half of the time left to prove the list, so that it stays fresh. Once the list is stale, at most the bound. @param {unknown} fault */
  #untilNext(fault) {
    const told = fault instanceof BadStatus ? fault.retryAfter : 0;
    const age = this.#proven ? this.#clock.uptime() - this.#proven.uptime : Infinity;
    return Math.min(told, this.fresh ? (this.#bound - age) / 2 : this.#bound);
  }

  /** Follows the stream. A notification proves nothing; it only triggers a request. */
  async #listen() {
    const { signal } = this.#closing;
    // Starts after the first good answer, so that only one of the two loops requests the first token.
    await new Promise((resolve) => {
      const hear = (/** @type {unknown} */ outcome) => {
        if (outcome !== null && !this.fresh) return;
        this.#waiting.delete(hear);
        resolve(undefined);
      };
      this.#waiting.add(hear);
    });
    while (!signal.aborted) {
      let wait = POLL_AT_LEAST_EACH;
      try {
        const headers = { ...(await this.#authorization()), Accept: 'text/event-stream' };
        await this.#authorized(() => this.#requests.stream('/revocations', { headers }, SILENCE, () => this.#bell.abort()));
      } catch (error) {
        // The other loop continues without the stream, and reports what is wrong.
        if (error instanceof BadStatus) wait = Math.max(wait, Math.min(error.retryAfter, SILENCE));
      }
      await sleep(wait, undefined, { signal }).catch(() => {});
    }
  }

  /** Logs once why the list cannot be kept fresh, and once when it can be again. @param {string | null} trouble */
  #say(trouble) {
    if (this.#closing.signal.aborted || trouble === this.#trouble) return;
    if (trouble !== null) this.#log(`waxseal: the revocations cannot be read: ${trouble}`);
    else this.#log('waxseal: the revocations can be read again');
    this.#trouble = trouble;
  }
}
