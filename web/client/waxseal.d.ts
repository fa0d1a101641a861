/** A session as its browser sees it. The times are the server's: count down with `remaining()`. */
export interface Session {
  /** `<lineage>.<generation>`: the lineage is the session, and a renewal raises the generation. */
  readonly id: string;
  readonly createdAt: Date;
  /** It ends then, unless a request moves it. */
  readonly idleExpiresAt: Date;
  /** The first request after it gives the session a new ID. */
  readonly renewAt: Date;
  /** It ends then, whatever happens. */
  readonly expiresAt: Date;
}

/** What became of the session: nothing, a later idle deadline, or a new session ID. */
export type Did = 'kept' | 'touched' | 'renewed';

/**
 * `refused`: the server does not accept it any more, for example because it was ended from elsewhere.
 * `no-cookie`: the browser did not keep the cookie of the login, because cookies are blocked or the page is not HTTPS.
 */
export type EndReason = 'logout' | 'idle' | 'absolute' | 'refused' | 'no-cookie';

export interface Options {
  /** Where Waxseal is. Default: this page's origin. */
  baseUrl?: string | URL;
  /** Who holds the token: the browser, in a cookie that no script can read, or this script. Default: `cookie`. */
  delivery?: 'cookie' | 'bearer';
  /** How many seconds before the end `about-to-end` is sent. Default: 60. */
  aboutToEnd?: number;
  /** Bearer only: the origins beside `baseUrl`'s that `fetch` sends the token to. Default: none. */
  audience?: Iterable<string | URL>;
}

export interface WaxsealEventMap {
  /** The session is another one, or a request of yours says what it did to it. */
  'changed': CustomEvent<{ session: Session; did: Did }>;
  /** Once for each deadline. */
  'about-to-end': CustomEvent<{ session: Session; timeout: 'idle' | 'absolute'; seconds: number }>;
  'ended': CustomEvent<{ reason: EndReason }>;
}

/** The session of this browser, the same in all its tabs. */
export class Waxseal extends EventTarget {
  constructor(options?: Options);
  readonly session: Session | null;
  /** Seconds until the three deadlines by the server's clock, never less than 0. */
  remaining(): { idle: number; renewal: number; absolute: number } | null;
  /** Whether there is a session already: the cookie's, or another tab's. Not activity. Throws if nobody can say. */
  restore(): Promise<Session | null>;
  /** Throws `Problem` if it is refused. */
  login(username: string, password: string): Promise<Session>;
  /** Ends this session, the user's others, or all. If it throws, the session may still be alive: try again. */
  logout(scope?: 'this' | 'others' | 'all'): Promise<void>;
  /** A later idle deadline, or a new session ID when that is due. One renewal for all tabs. */
  renew(): Promise<Session>;
  /**
   * Sets a new password. The session goes on under a new session ID in all tabs, and the user's other sessions end.
   * Throws `Problem` if it is refused. If the answer is lost, the session may have ended: log in with the new password.
   */
  changePassword(currentPassword: string, newPassword: string): Promise<Session>;
  /** As `fetch`, within the session. `background` says that the request is no sign of a user: a poll. */
  fetch(input: RequestInfo | URL, init?: RequestInit & { background?: boolean }): Promise<Response>;
  /** No more events and timers. The session goes on. */
  close(): void;

  addEventListener<K extends keyof WaxsealEventMap>(
    type: K, listener: (this: Waxseal, event: WaxsealEventMap[K]) => unknown, options?: boolean | AddEventListenerOptions): void;
  addEventListener(type: string, listener: EventListenerOrEventListenerObject | null, options?: boolean | AddEventListenerOptions): void;
  removeEventListener<K extends keyof WaxsealEventMap>(
    type: K, listener: (this: Waxseal, event: WaxsealEventMap[K]) => unknown, options?: boolean | EventListenerOptions): void;
  removeEventListener(type: string, listener: EventListenerOrEventListenerObject | null, options?: boolean | EventListenerOptions): void;
}

/** A refusal of Waxseal's (RFC 9457). */
export class Problem extends Error {
  constructor(status: number, code: string, detail: string, retryAfter?: number | null);
  readonly status: number;
  /** Stable, such as `invalid_credentials`; `unknown` if the answer is not Waxseal's. */
  readonly code: string;
  /** A sentence, or empty. */
  readonly detail: string;
  /** How many seconds to wait, if the answer says so. */
  readonly retryAfter: number | null;
}
