/** The session of this browser. Times are the server's: use `remaining()` for a countdown. */
export interface Session {
  /** `<lineage>.<generation>`. The lineage identifies the session; a renewal raises the generation. */
  readonly id: string;
  readonly createdAt: Date;
  /** When the session ends, unless a request moves this deadline. */
  readonly idleExpiresAt: Date;
  /** When a new session ID is due. The first request after it renews the session. */
  readonly renewAt: Date;
  /** When the session ends in any case. */
  readonly expiresAt: Date;
}

/** What a request did to the session: nothing, a later idle deadline, or a new session ID. */
export type Did = 'kept' | 'touched' | 'renewed';

/**
 * Why a session ended.
 *
 * `refused`: the server no longer accepts it, for example because it was ended elsewhere.
 * `no-cookie`: the browser did not keep the login's cookie, because cookies are blocked or the page is not HTTPS.
 */
export type EndReason = 'logout' | 'idle' | 'absolute' | 'refused' | 'no-cookie';

export interface Options {
  /** The base URL of Waxseal. Default: this page's origin. */
  baseUrl?: string | URL;
  /** Who holds the token: the browser, in a cookie that no script can read, or this script. Default: `cookie`. */
  delivery?: 'cookie' | 'bearer';
  /** When `about-to-end` is sent, in seconds before the end. Default: 60. */
  aboutToEnd?: number;
  /** Bearer only: further origins that `fetch` sends the token to, besides that of `baseUrl`. Default: none. */
  audience?: Iterable<string | URL>;
}

export interface WaxsealEventMap {
  /** Sent when the session changes, and when an answer to a request says what the request did to it. */
  'changed': CustomEvent<{ session: Session; did: Did }>;
  /** Sent once for each deadline. */
  'about-to-end': CustomEvent<{ session: Session; timeout: 'idle' | 'absolute'; seconds: number }>;
  'ended': CustomEvent<{ reason: EndReason }>;
}

/** The session of this browser, shared by all its tabs. */
export class Waxseal extends EventTarget {
  constructor(options?: Options);
  readonly session: Session | null;
  /** Seconds until the three deadlines, by the server's clock; never less than 0. */
  remaining(): { idle: number; renewal: number; absolute: number } | null;
  /** Looks for an existing session: the cookie's, or another tab's. Not activity. Throws if this cannot be decided. */
  restore(): Promise<Session | null>;
  /** Starts a session. Throws `Problem` if the login is refused. */
  login(username: string, password: string): Promise<Session>;
  /** Ends this session, the user's others, or all. If it throws, the session may still be alive: try again. */
  logout(scope?: 'this' | 'others' | 'all'): Promise<void>;
  /** Moves the idle deadline, or gets a new session ID if one is due. One renewal serves all tabs. */
  renew(): Promise<Session>;
  /**
   * Sets a new password. This session continues in all tabs under a new session ID, and the user's other sessions end.
   * Throws `Problem` if it is refused. If the answer is lost, the session may have ended: log in with the new password.
   */
  changePassword(currentPassword: string, newPassword: string): Promise<Session>;
  /** Like `fetch`, within the session. `background` says that the request is not user activity, for example a poll. */
  fetch(input: RequestInfo | URL, init?: RequestInit & { background?: boolean }): Promise<Response>;
  /** Stops events and timers. The session stays alive. */
  close(): void;

  addEventListener<K extends keyof WaxsealEventMap>(
    type: K, listener: (this: Waxseal, event: WaxsealEventMap[K]) => unknown, options?: boolean | AddEventListenerOptions): void;
  addEventListener(type: string, listener: EventListenerOrEventListenerObject | null, options?: boolean | AddEventListenerOptions): void;
  removeEventListener<K extends keyof WaxsealEventMap>(
    type: K, listener: (this: Waxseal, event: WaxsealEventMap[K]) => unknown, options?: boolean | EventListenerOptions): void;
  removeEventListener(type: string, listener: EventListenerOrEventListenerObject | null, options?: boolean | EventListenerOptions): void;
}

/** A refusal by Waxseal (RFC 9457). */
export class Problem extends Error {
  constructor(status: number, code: string, detail: string, retryAfter?: number | null);
  readonly status: number;
  /** A stable code, such as `invalid_credentials`; `unknown` if the answer is not from Waxseal. */
  readonly code: string;
  /** A sentence for people, or empty. */
  readonly detail: string;
  /** The seconds to wait, if the answer gives them. */
  readonly retryAfter: number | null;
}
