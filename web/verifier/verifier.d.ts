export interface Options {
  /** The issuer's exact name, the `iss` of its tokens. */
  issuer: string;
  /** The credentials of a client with the scope `revocations:read`, as `waxseal client add` printed them. */
  clientId: string;
  clientSecret: string;
  /** The accepted audiences; a token must name one of them. Default: the issuer. */
  audience?: string | Iterable<string>;
  /** The issuer's address, if it differs from its name. `https://`, or `http://` on this machine. */
  at?: string;
  /** The greatest age of the revocation list in seconds, 1 to 3600; beyond it, tokens get 503. Default: 5. */
  maxStaleness?: number;
  /** The greatest difference between this machine's clock and the issuer's, in seconds, 0 to 60. Default: 5. */
  leeway?: number;
  fetch?: typeof globalThis.fetch;
  /** In milliseconds: the wall clock, and a clock that does not step. */
  clock?: { now(): number; uptime(): number };
  /**
   * Called once when the issuer cannot be followed, with the reason, and once when it can be again. Default:
   * `console.warn`.
   */
  log?: (message: string) => void;
}

interface CommonClaims {
  readonly iss: string;
  readonly sub: string;
  readonly aud: string;
  readonly client_id: string;
  /** Seconds since 1970, like all times. */
  readonly iat: number;
  /** The start of the token's validity. Waxseal's issuer does not write it. */
  readonly nbf?: number;
  readonly exp: number;
  readonly jti: string;
  /** Words separated by single spaces. */
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

/** Verifies tokens locally, with the issuer's keys and revocations, which it keeps fresh in the background. */
export class Verifier {
  /** Throws a `TypeError` for invalid options, but not if the issuer cannot be reached. */
  constructor(options: Options);
  /**
   * Resolves when the keys and all revocations up to now are read. Rejects within 5 seconds with an `Error` that says
   * what happened and what to do: at once for a permanent cause, such as a wrong secret, and after 4 seconds for a
   * cause that may pass, such as a refused connection. The verifier keeps trying, so a later call can succeed.
   */
  ready(): Promise<void>;
  /** Whether the verifier can judge tokens now. For a readiness probe. */
  readonly fresh: boolean;
  /** Resolves to the verified claims. Rejects with a `Refusal`. */
  verify(token: string): Promise<Verified>;
  /** Stops following the issuer. From then on, every token is refused. */
  close(): void;
}

/** A token was refused. Send the status and the code to the caller, and the `cause` to the log only. */
export class Refusal extends Error {
  constructor(code: 'invalid_token' | 'unavailable', cause: unknown);
  readonly code: 'invalid_token' | 'unavailable';
  readonly status: 401 | 503;
  override cause?: unknown;
}
