export interface Options {
  /** The issuer's name, the `iss` of its tokens, to the letter. */
  issuer: string;
  /** The credentials of a client with the scope `revocations:read`, as `waxseal client add` printed them. */
  clientId: string;
  clientSecret: string;
  /** Whom tokens may be meant for: one of these. Default: the issuer. */
  audience?: string | Iterable<string>;
  /** Where the issuer is reached, if not at its name. `https://`, or `http://` on this machine. */
  at?: string;
  /** How many seconds old the revocation list may be before tokens are refused with 503: 1 to 3600. Default: 5. */
  maxStaleness?: number;
  /** How many seconds this machine's clock may be from the issuer's: 0 to 60. Default: 5. */
  leeway?: number;
  fetch?: typeof globalThis.fetch;
  /** Milliseconds: the wall clock, and a clock that does not step. */
  clock?: { now(): number; uptime(): number };
  /** Is told once when the issuer cannot be followed and why, and once when it can be again. Default: `console.warn`. */
  log?: (message: string) => void;
}

interface CommonClaims {
  readonly iss: string;
  readonly sub: string;
  readonly aud: string;
  readonly client_id: string;
  /** Seconds since 1970, as all times. */
  readonly iat: number;
  /** From when the token is good. Waxseal's issuer writes none. */
  readonly nbf?: number;
  readonly exp: number;
  readonly jti: string;
  /** Words with one space between them. */
  readonly scope: string;
}

/** The claims of a client's own token. */
export interface ClientClaims extends CommonClaims {}

/** The claims of a session's token. */
export interface SessionClaims extends CommonClaims {
  /** `<lineage>.<generation>` */
  readonly sid: string;
  readonly auth_time: number;
  readonly renew_at: number;
  readonly session_expiry: number;
  readonly amr: readonly string[];
}

export type Verified =
  | { readonly kind: 'session'; readonly subject: string; readonly claims: SessionClaims }
  | { readonly kind: 'client'; readonly subject: string; readonly claims: ClientClaims };

/** Verifies tokens by itself, with the issuer's keys and revocations, which it keeps fresh in the background. */
export class Verifier {
  /** Throws a `TypeError` for options that are wrong. That the issuer cannot be reached is no reason. */
  constructor(options: Options);
  /**
   * Done when everything up to now has been read. It is rejected within 5 seconds with an `Error` that says what
   * happened and what to do: at once if the cause does not pass by itself, such as a wrong secret, and after 4 seconds
   * if it may, such as a refused connection. The verifier goes on trying, so that a later call can succeed.
   */
  ready(): Promise<void>;
  /** Whether tokens can be judged now: for a readiness probe. */
  readonly fresh: boolean;
  /** Throws a `Refusal`. */
  verify(token: string): Promise<Verified>;
  /** Stops following the issuer. No token is good any more. */
  close(): void;
}

/** Tell the caller the status and the code, and nobody but the log the `cause`. */
export class Refusal extends Error {
  constructor(code: 'invalid_token' | 'unavailable', cause: unknown);
  readonly code: 'invalid_token' | 'unavailable';
  readonly status: 401 | 503;
  override cause?: unknown;
}
