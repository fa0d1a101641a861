// Waxseal's browser client: this browser's session, its deadlines, and a `fetch` that keeps it alive.
// Exports other than Waxseal and Problem are for the tests, and are not in the types.

/** @import { Did, EndReason, Options, Problem as PublicProblem, Session, Waxseal as PublicWaxseal, WaxsealEventMap } from './waxseal.js' */

/**
 * The current session. Times are the server's, in ms since 1970. From `renewFrom` on, a fetch renews the token first.
 * @typedef {{ id: string, created: number, idle: number, renew: number, end: number, token: string | null, renewFrom: number }} State
 */

/** The part of a state that tells older from newer. @typedef {Pick<State, 'id' | 'idle'>} Known */
/**
 * A message from one tab to the others.
 * @typedef {{ type: 'hello' } | { type: 'session', state: State, did: Did, now: number } | { type: 'ended', last: Known, reason: EndReason }} Message
 */

const SERVER_ANSWERS_WITHIN = 20_000;
const TABS_ANSWER_WITHIN = 100;
// No timer is longer, so that the client notices when the machine slept. (A timer over 2^31 ms fires at once.)
const LONGEST_TIMER = 60_000;
const SLEPT = 2_000;

/** @implements {PublicProblem} */
export class Problem extends Error {
  /** @param {number} status @param {string} code @param {string} detail @param {number | null} [retryAfter] */
  constructor(status, code, detail, retryAfter = null) {
    super(detail || `HTTP ${status}`);
    this.name = 'Problem';
    this.status = status;
    this.code = code;
    this.detail = detail;
    this.retryAfter = retryAfter;
  }
}

/** @param {Response} response */
export async function problemOf(response) {
  const { code = 'unknown', detail = '' } = Object(await response.json().catch(() => null));
  return new Problem(response.status, String(code), String(detail), retryAfter(response.headers.get('Retry-After'), Date.now()));
}

const noSession = () => new Problem(401, 'no_credentials', 'There is no session.');

/** Parses `Retry-After` to seconds (RFC 9110, section 10.2.3). @param {string | null} value @param {number} now */
export function retryAfter(value, now) {
  if (value === null) return null;
  if (/^\d+$/.test(value)) return Number(value);
  const date = /^[A-Z][a-z]+,? /.test(value) ? Date.parse(value) : NaN;
  return Number.isNaN(date) ? null : Math.max(0, Math.ceil((date - now) / 1000));
}

const KEY = '[a-z*][a-z0-9_.*-]*';
const BARE_ITEM = String.raw`(?:-?\d{1,12}\.\d{1,3}|-?\d{1,15}|"(?:[ !#-\[\]-~]|\\["\\])*"|[A-Za-z*][-A-Za-z0-9!#$%&'*+.^_|~:/\x60]*|\?[01]|:[A-Za-z0-9+/=]*:|@-?\d{1,15}|%"[ !#-~]*")`;
const PARAMETERS = `(?:; *${KEY}(?:=${BARE_ITEM})?)*`;
const INNER_LIST = String.raw`\( *(?:${BARE_ITEM}${PARAMETERS}(?: +${BARE_ITEM}${PARAMETERS})*)? *\)`;
const MEMBER = new RegExp(String.raw`(${KEY})(?:=(?:(${BARE_ITEM})|${INNER_LIST}))?${PARAMETERS}(?:[ \t]*(,)[ \t]*|$)`, 'y');

/**
 * Parses the members of a dictionary (RFC 9651) to text, strings without their quotes; null if any of it is malformed.
 * Skips what the server may add one day, such as a parameter or an inner list.
 * @param {string} value
 */
export function dictionary(value) {
  const text = value.replace(/^ +| +$/g, '');
  /** @type {Map<string, string>} */
  const members = new Map();
  MEMBER.lastIndex = 0;
  for (let more = text !== ''; more;) {
    const found = MEMBER.exec(text);
    if (!found) return null;
    const [, key = '', item = '', comma] = found;
    members.set(key, item.startsWith('"') ? item.slice(1, -1).replace(/\\(.)/g, '$1') : item);
    more = comma !== undefined;
  }
  return members;
}

const SESSION_ID = /^[\w-]+\.\d+$/;

/** Parses the header `Waxseal-Session`; null if it is missing or malformed. @param {string | null} value */
export function readHeader(value) {
  const members = dictionary(value ?? '');
  const time = (/** @type {string} */ key) => (/^\d+$/.test(members?.get(key) ?? '') ? Number(members?.get(key)) * 1000 : NaN);
  const [id = '', did = ''] = [members?.get('id'), members?.get('did')];
  const said = { id, did: /** @type {Did} */ (did), now: time('now'), idle: time('idle'), renew: time('renew'), end: time('end') };
  const good = SESSION_ID.test(id) && /^(kept|touched|renewed)$/.test(did) && Number.isFinite(said.now + said.idle + said.renew + said.end);
  return good ? said : null;
}

/** Parses a session from the server's JSON. @param {any} body @param {string | null} token */
export function readSession(body, token) {
  const { id } = Object(body);
  const [now = NaN, created = NaN, idle = NaN, renew = NaN, end = NaN] =
    ['now', 'created_at', 'idle_expires_at', 'renew_at', 'expires_at'].map((key) => Date.parse(Object(body)[key]));
  if (!SESSION_ID.test(id) || !Number.isFinite(now + created + idle + renew + end)) throw new TypeError('The response is not one of Waxseal.');
  // The second half of the idle time is a reserve for delayed renewals. At the absolute end, no renewal helps.
  const renewFrom = idle < end ? Math.min(renew, (now + idle) / 2) : renew;
  return { now, state: { id, created, idle, renew, end, token, renewFrom } };
}

const lineage = (/** @type {Known} */ { id }) => id.slice(0, id.indexOf('.'));
const generation = (/** @type {Known} */ { id }) => Number(id.slice(id.indexOf('.') + 1));

/** What changed from one state to another; null if the other is not newer. @param {Known} before @param {Known} after @returns {Did | null} */
export function difference(before, after) {
  const later = generation(after) - generation(before);
  if (lineage(before) !== lineage(after) || later > 0) return 'renewed';
  return later === 0 && after.idle > before.idle ? 'touched' : null;
}

/** Whether the second of two logins wins. All tabs agree. @param {State} before @param {State} after */
export const isLater = (before, after) => after.created > before.created || (after.created === before.created && after.id > before.id);

/** The earlier of the two ends. @param {{ idle: number, end: number }} times @returns {{ at: number, timeout: 'idle' | 'absolute' }} */
export const endOf = ({ idle, end }) => (idle < end ? { at: idle, timeout: 'idle' } : { at: end, timeout: 'absolute' });

/** The delay before an unanswered request is repeated, in milliseconds. @param {number} unanswered @param {number | null} [wait] */
export const askAgainIn = (unanswered, wait) => Math.max(Math.min(2 ** unanswered, 60), Math.min(wait ?? 0, 600)) * 1000;

const HTTP = /^https?:$/;

/** The base URL of Waxseal, as a folder. @param {string | URL} url */
export function baseOf(url) {
  const base = new URL(url);
  if (!HTTP.test(base.protocol)) throw new TypeError(`${url} is not an HTTP URL`);
  base.search = base.hash = '';
  base.pathname = base.pathname.replace(/\/*$/, '/');
  return base;
}

/** @param {Iterable<string | URL>} urls */
export const originsOf = (urls) => new Set([...urls].map((url) => baseOf(url).origin));

/** Whether a URL, as the browser parses it, is at one of the origins. A blob URL never is. @param {string} url @param {ReadonlySet<string>} origins */
export function isAt(url, origins) {
  const { protocol, origin } = new URL(url);
  return HTTP.test(protocol) && origins.has(origin);
}

/** The server's time, from its answers and the time elapsed since. The browser's clock may be wrong. */
export class Clock {
  #ahead = -Infinity;
  #heard = -Infinity;
  #drift;

  constructor(elapsed = () => performance.now(), wall = () => Date.now()) {
    this.elapsed = elapsed;
    this.wall = wall;
    this.#drift = wall() - elapsed();
  }

  now() { return this.#ahead + this.elapsed(); }

  /** Records that the server's clock was at `now`, to the millisecond, at some time since `sent`. @param {number} now @param {number} sent */
  hear(now, sent) {
    this.hearsay(now);
    this.#ahead = Math.min(this.#ahead, now + 1 - sent);
    this.#heard = this.wall();
    this.#drift = this.#heard - this.elapsed();
  }

  /** Records a time that another tab or a possibly cached response gave: the server's is not before it. @param {number} now */
  hearsay(now) { this.#ahead = Math.max(this.#ahead, now - this.elapsed()); }

  /** How far the wall clock ran ahead of `elapsed` since the last answer: the machine slept, or the clock was set. */
  lost() { return this.wall() - this.elapsed() - this.#drift; }

  justHeard() { return Math.abs(this.wall() - this.#heard) < 1_000; }
}

/** @implements {PublicWaxseal} */
export class Waxseal extends EventTarget {
  #base;
  #cookie;
  #aboutToEnd;
  #origins; // that may receive the token, and whose answers are trusted
  /** @type {RequestCredentials} */ #credentials;
  #name; // of the channel and the lock: instances for different services must not share them
  #clock = new Clock();
  /** @type {State | null} */ #state = null;
  /** @type {Session | null} */ #session = null;
  #unproven = false; // a login set the cookie, and no request has carried it yet
  /** @type {Known | null} */ #over = null; // the session that ended last: requests in progress must not bring it back
  #lead = 0; // how long before the end `about-to-end` is sent, in ms
  #warned = 0; // the deadline that `about-to-end` was sent for
  #timer = 0;
  #askingAgain = 0;
  #unanswered = 0;
  /** @type {Promise<void> | null} */ #checking = null;
  /** @type {Promise<Session> | null} */ #renewing = null;
  /** @type {Set<() => void>} */ #waiting = new Set();
  /** @type {BroadcastChannel | null} */ #channel = null;
  #closing = new AbortController();

  /** @param {Options} [options] */
  constructor({ baseUrl = location.origin, delivery = 'cookie', aboutToEnd = 60, audience = [] } = {}) {
    super();
    if (!['cookie', 'bearer'].includes(delivery)) throw new TypeError(`delivery is cookie or bearer, not ${delivery}`);
    this.#base = baseOf(baseUrl);
    this.#cookie = delivery === 'cookie';
    this.#aboutToEnd = aboutToEnd * 1000;
    this.#origins = originsOf([this.#base, ...(this.#cookie ? [] : audience)]);
    this.#credentials = !this.#cookie ? 'omit' : this.#base.origin === globalThis.location?.origin ? 'same-origin' : 'include';
    this.#name = `waxseal 1 ${delivery} ${this.#base}`;
    if (globalThis.BroadcastChannel) {
      this.#channel = new BroadcastChannel(this.#name);
      this.#channel.onmessage = ({ data }) => this.#told(data);
    }
    // While the machine sleeps or the page is frozen, timers stop, and messages of other tabs are lost.
    const { signal } = this.#closing;
    const returned = (/** @type {Event} */ event) => {
      // A page from the back-forward cache has its old state, however short the time.
      const heard = this.#clock.justHeard() && !('persisted' in event && event.persisted);
      if (this.#state && globalThis.document?.visibilityState !== 'hidden' && !heard) this.#verify();
    };
    for (const type of ['focus', 'pageshow', 'online']) globalThis.addEventListener?.(type, returned, { signal });
    globalThis.document?.addEventListener('visibilitychange', returned, { signal });
  }

  get session() { return this.#session; }

  remaining() {
    if (!this.#state) return null;
    const until = (/** @type {number} */ at) => Math.max(0, (at - this.#clock.now()) / 1000);
    return { idle: until(this.#state.idle), renewal: until(this.#state.renew), absolute: until(this.#state.end) };
  }

  async restore() {
    if (this.#cookie || this.#state) await this.#check();
    else await this.#askTabs();
    return this.#session;
  }

  /** @param {string} username @param {string} password */
  async login(username, password) {
    const sent = this.#clock.elapsed();
    const response = await this.#send('login', { username, password, delivery: this.#cookie ? 'cookie' : 'bearer' });
    if (!response.ok) throw await problemOf(response);
    const state = await this.#read(response, sent);
    this.#unproven = this.#cookie;
    return this.#take(state, 'renewed', { asked: true });
  }

  /** @param {'this' | 'others' | 'all'} [scope] */
  async logout(scope = 'this') {
    for (;;) {
      if (!this.#state) await this.restore();
      const state = this.#state;
      if (!state) return;
      const response = await this.#send('logout', { scope });
      if (response.ok && scope !== 'others') this.#end(state, 'logout');
      if (response.ok) return;
      if (response.status !== 401) throw await problemOf(response);
      // If the token was superseded, the session is alive with a token that another tab has.
      await this.#check();
      if (this.#state === state) throw await problemOf(response);
    }
  }

  renew() {
    return (this.#renewing ??= this.#renewInTurn().finally(() => { this.#renewing = null; }));
  }

  /** @param {string} currentPassword @param {string} newPassword */
  async changePassword(currentPassword, newPassword) {
    const body = { current_password: currentPassword, new_password: newPassword };
    return this.#inTurn(async () => {
      for (;;) {
        if (!this.#state) await this.restore();
        const asked = this.#state;
        if (!asked) throw noSession();
        const sent = this.#clock.elapsed();
        const response = await this.#send('password', body);
        if (response.ok) {
          const state = await this.#read(response, sent);
          if (this.#state && lineage(this.#state) === lineage(state)) return this.#take(state, 'renewed', { asked: true });
          throw noSession(); // it ended meanwhile, or a login replaced it
        }
        if (response.status !== 401) throw await problemOf(response);
        // Another tab may have replaced the token.
        await this.#check();
        if (this.#state === asked) throw await problemOf(response);
      }
    });
  }

  /** @param {RequestInfo | URL} input @param {RequestInit & { background?: boolean }} [init] */
  async fetch(input, init = {}) {
    const request = new Request(input, init);
    let { credentials, redirect } = request;
    const { headers, referrer, referrerPolicy } = request;
    const ours = isAt(request.url, this.#origins);
    const carries = ours && !this.#cookie && !headers.has('Authorization');
    if (carries && !init.background && this.#state && this.#clock.now() >= this.#state.renewFrom) {
      // If this fails, the current token may still be valid; if not, the answer says so.
      await this.renew().catch(() => {});
    }
    const token = carries ? this.#state?.token : null;
    if (token) {
      headers.set('Authorization', `Bearer ${token}`);
      // Not every browser removes the header when a redirect leads to another origin.
      redirect = init.redirect ?? 'error';
    }
    // No cookie beside a token: Waxseal refuses a cookie and a token of different sessions.
    if ((token || (ours && this.#cookie)) && credentials === 'same-origin') credentials = init.credentials ?? this.#credentials;
    if (init.background && new URL(request.url).origin === this.#base.origin) headers.set('Waxseal-Activity', 'none');
    // The referrer is repeated, because any other change resets it.
    const response = await fetch(request, { credentials, redirect, referrer, referrerPolicy });
    if (response.url && isAt(response.url, this.#origins)) await this.#heed(response);
    return response;
  }

  close() {
    this.#closing.abort();
    clearTimeout(this.#timer);
    clearTimeout(this.#askingAgain);
    this.#channel?.close();
    this.#channel = null;
  }

  /** Sends a GET in the background, or a POST with a body. @param {string} path @param {object} [body] */
  #send(path, body) {
    const headers = new Headers(body ? { 'Content-Type': 'application/json' } : { 'Waxseal-Activity': 'none' });
    if (this.#state?.token) headers.set('Authorization', `Bearer ${this.#state.token}`);
    return fetch(new URL(path, this.#base), {
      method: body ? 'POST' : 'GET',
      headers,
      body: body ? JSON.stringify(body) : null,
      credentials: this.#credentials,
      cache: 'no-store',
      redirect: 'error',
      signal: AbortSignal.timeout?.(SERVER_ANSWERS_WITHIN),
    });
  }

  /** Reads the session in an answer, and sets the clock by it. @param {Response} response @param {number} sent @param {string | null} [token] */
  async #read(response, sent, token = null) {
    const { session, access_token, ...bare } = await response.json();
    const { now, state } = readSession(session ?? bare, access_token ?? token);
    this.#clock.hear(now, sent);
    clearTimeout(this.#askingAgain);
    this.#askingAgain = this.#unanswered = 0;
    this.#unproven = false;
    return state;
  }

  async #renewInTurn() {
    if (!this.#state) await this.restore();
    const before = this.#state;
    if (!before) throw noSession();
    return this.#inTurn(() => this.#renewUnlessDone(before));
  }

  /** Runs work that changes the session ID, one at a time across all tabs. @param {() => Promise<Session>} work @returns {Promise<Session>} */
  #inTurn(work) {
    const locks = globalThis.navigator?.locks;
    return /** @type {Promise<Session>} */ (locks ? locks.request(this.#name, work) : work());
  }

  /** @param {State} before */
  async #renewUnlessDone(before) {
    // A frozen page can have missed another tab's renewal, and renewing from the older session ID looks like theft.
    await this.#askTabs();
    const asked = this.#state;
    if (!asked || !this.#session) throw noSession();
    if (difference(before, asked)) return this.#session;
    const sent = this.#clock.elapsed();
    // The answer with the new session ID can be lost. A retry gets it again, but only within the grace.
    const response = await this.#send('session/renew', {}).catch(() => this.#send('session/renew', {}));
    if (response.ok) {
      const state = await this.#read(response, sent);
      if (this.#state && lineage(this.#state) === lineage(state)) {
        const did = difference(asked, state) ?? 'kept';
        // Kept although a renewal was due: a retry is useless until the session ID is due.
        if (did === 'kept' && this.#clock.now() >= asked.renewFrom) this.#state.renewFrom = state.renew;
        return this.#take(state, did, { asked: true });
      }
    } else if (response.status !== 401) {
      throw await problemOf(response);
    }
    // The session is over, or the answer is about a session that was replaced meanwhile.
    if (this.#state) await this.#check();
    if (!this.#session || this.#state === asked) throw response.ok ? noSession() : await problemOf(response);
    return this.#session;
  }

  /** @param {Response} response */
  async #heed(response) {
    const said = this.#cookie ? readHeader(response.headers.get('Waxseal-Session')) : null;
    if (said) {
      this.#unproven = false;
      const { did, now, ...times } = said;
      this.#clock.hearsay(now);
      const state = { ...(this.#state ?? { created: NaN, token: null, renewFrom: NaN }), ...times };
      if (this.#state && lineage(this.#state) === lineage(state)) this.#take(state, did, { asked: true });
      else if (!this.#isOver(state)) await this.#check().catch(() => {}); // a session that is not known here yet
    } else if (response.status === 401 && this.#state) {
      // The 401 may concern an older session than the current one, or something else altogether.
      await this.#check().catch(() => {});
    }
  }

  /** Asks the server about the current session. Throws if there is no answer: the state is then unknown. */
  #check() {
    return (this.#checking ??= this.#ask().finally(() => { this.#checking = null; }));
  }

  async #ask() {
    for (;;) {
      const asked = this.#state;
      const sent = this.#clock.elapsed();
      const response = await this.#send('session');
      if (response.status === 401) {
        if (asked?.token && asked === this.#state) await this.#askTabs();
        if (this.#state && asked !== this.#state) continue; // the answer is about the previous one
        if (!asked) return;
        if (this.#unproven && (await problemOf(response)).code === 'no_credentials') return this.#end(asked, 'no-cookie');
        // The wall clock counts here, because it continues while the machine sleeps.
        const { at, timeout } = endOf(asked);
        return this.#end(asked, this.#clock.now() + Math.max(0, this.#clock.lost()) >= at ? timeout : 'refused');
      }
      if (!response.ok) throw await problemOf(response);
      const state = await this.#read(response, sent, asked?.token);
      const mine = this.#state;
      if (asked && !mine) return; // it ended meanwhile
      if (mine && mine !== asked && lineage(mine) !== lineage(state)) continue;
      const did = mine ? difference(mine, state) : 'kept';
      if (mine) state.renewFrom = mine.renewFrom;
      const { at, timeout } = endOf(did || !mine ? state : mine);
      if (at > this.#clock.now()) this.#take(state, did ?? 'kept');
      else if (mine) this.#end(mine, timeout);
      return;
    }
  }

  /** Asks the server, and retries if there is no answer. A missing answer ends no session. */
  #verify() {
    clearTimeout(this.#askingAgain);
    this.#check().catch((error) => {
      clearTimeout(this.#askingAgain);
      if (!this.#state || this.#closing.signal.aborted) return;
      this.#askingAgain = setTimeout(() => this.#verify(), askAgainIn(++this.#unanswered, error.retryAfter));
    });
  }

  /** @param {State} state @param {Did} did @param {{ asked?: boolean, told?: boolean }} [how] @returns {Session} */
  #take(state, did, { asked = false, told = false } = {}) {
    let session = this.#session;
    const news = !session || !this.#state || difference(this.#state, state) !== null;
    if (!session || news) {
      const [createdAt, idleExpiresAt, renewAt, expiresAt] = [state.created, state.idle, state.renew, state.end].map((at) => new Date(at));
      session = Object.freeze(/** @type {Session} */ ({ id: state.id, createdAt, idleExpiresAt, renewAt, expiresAt }));
      this.#state = state;
      // If little time is left to begin with, the warning takes at most half of it.
      this.#lead = Math.min(this.#aboutToEnd, (endOf(state).at - this.#clock.now()) / 2);
      this.#session = session;
      if (!told) this.#post({ type: 'session', state, did, now: this.#clock.now() });
      for (const go of this.#waiting) go();
    }
    if (news || asked) this.#say('changed', { session, did });
    this.#watch();
    return session;
  }

  /** @param {State} state @param {EndReason} reason @param {boolean} [told] */
  #end(state, reason, told = false) {
    if (!this.#state || lineage(this.#state) !== lineage(state)) return;
    // A logout ends all generations of a session. A refused token may be one that was renewed elsewhere.
    this.#over = reason === 'logout' ? { id: `${lineage(state)}.Infinity`, idle: 0 } : { id: state.id, idle: state.idle };
    this.#state = this.#session = null;
    clearTimeout(this.#timer);
    clearTimeout(this.#askingAgain);
    this.#askingAgain = 0;
    if (!told) this.#post({ type: 'ended', last: this.#over, reason });
    this.#say('ended', { reason });
  }

  /** @param {Known} state */
  #isOver(state) { return this.#over && lineage(this.#over) === lineage(state) && !difference(this.#over, state); }

  /** @param {keyof WaxsealEventMap} type @param {object} detail */
  #say(type, detail) {
    if (!this.#closing.signal.aborted) this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  /** Sets the timer for the next deadline. */
  #watch() {
    clearTimeout(this.#timer);
    if (!this.#state || this.#closing.signal.aborted) return;
    const { at, timeout } = endOf(this.#state);
    const left = at - this.#clock.now();
    // Another tab or another request may have moved the end.
    if ((left <= 0 || Math.abs(this.#clock.lost()) > SLEPT) && !this.#askingAgain) this.#verify();
    if (left <= 0) return;
    const next = left > this.#lead ? left - this.#lead : left;
    this.#timer = setTimeout(() => this.#watch(), Math.min(Math.ceil(next), LONGEST_TIMER));
    if (left > this.#lead || this.#warned === at) return;
    this.#warned = at;
    this.#say('about-to-end', { session: this.#session, timeout, seconds: Math.ceil(left / 1000) });
  }

  /** Resolves when another tab reports a newer session than the current one, or after a time limit. */
  async #askTabs() {
    if (!this.#channel) return;
    await new Promise((resolve) => {
      const go = () => resolve(this.#waiting.delete(go));
      this.#waiting.add(go);
      setTimeout(go, TABS_ANSWER_WITHIN);
      this.#post({ type: 'hello' });
    });
  }

  /** @param {Message} message */
  #post(message) { this.#channel?.postMessage(message); }

  /** @param {Message} message */
  #told(message) {
    const mine = this.#state;
    if (message.type === 'hello') {
      if (mine) this.#post({ type: 'session', state: mine, did: 'kept', now: this.#clock.now() });
    } else if (message.type === 'ended') {
      if (!mine || lineage(mine) !== lineage(message.last)) this.#over = message.last;
      else if (difference(message.last, mine)) this.#verify(); // the other tab was behind
      else this.#end(mine, message.reason, true);
    } else if (message.type === 'session' && !this.#isOver(message.state)) {
      const { state, did, now } = message;
      this.#clock.hearsay(now);
      const another = mine && lineage(mine) !== lineage(state);
      if (another && this.#cookie) this.#verify(); // the server knows whose cookie it is
      else if (!mine || (another ? isLater(mine, state) : difference(mine, state))) this.#take(state, did, { told: true });
    }
  }
}
