// Why a verifier is not ready: what happened, and what to do about it.

import { OtherName, UnknownKind } from './feed.js';
import { BadStatus, Late } from './requests.js';

/** How long ready() waits for a temporary cause to pass, in ms. */
export const PATIENCE = 4_000;

/** Describes an error and its causes. @param {unknown} error @returns {string} */
export function describe(error) {
  const { message = String(error), cause } = /** @type {Error} */ (Object(error));
  return cause === undefined ? message : `${message}: ${describe(cause)}`;
}

/** @param {unknown} error */
function code(error) {
  return String(/** @type {{ code?: unknown }} */ (Object(/** @type {Error} */ (Object(error)).cause)).code ?? '');
}

const isTls = (/** @type {unknown} */ error) => /CERT|TLS|SSL|LEAF_SIGNATURE|EPROTO/.test(code(error));
const isRedirect = (/** @type {unknown} */ error) => /redirect/.test(describe(error));

/** Whether a retry may succeed soon. @param {unknown} error */
export function mayPass(error) {
  if (error instanceof Late) return true;
  // The next request gets a new token.
  if (error instanceof BadStatus) return error.status >= 500 || [408, 429].includes(error.status) || (error.path === '/revocations' && [401, 403].includes(error.status));
  // A TypeError is from fetch. It is temporary, unless TLS or a redirect caused it.
  return error instanceof TypeError && !isTls(error) && !isRedirect(error);
}

/** The error of ready(). `at` is the issuer's address. `error` is null if the issuer has not answered yet. @param {unknown} error @param {string} at */
export function notReady(error, at) {
  return new Error(`the verifier is not ready: ${why(error, at)}`, error === null ? undefined : { cause: error });
}

/** @param {unknown} error @param {string} at */
function why(error, at) {
  const reach = 'check the address, and that the issuer runs';
  if (error === null) return `the issuer at ${at} has not answered in full within ${PATIENCE / 1000} s: ${reach}`;
  if (error instanceof OtherName) return `${error.message}: give issuer the issuer's name to the letter; if it is reached at another address, give that as at`;
  if (error instanceof UnknownKind) return `the issuer at ${at}: ${error.message}`;
  if (error instanceof BadStatus) {
    if (error.path === '/oauth/token' && error.status === 401) return `the issuer at ${at} refused the client's credentials (401): check clientId and clientSecret, and that the client is enabled`;
    if (error.path === '/oauth/token' && error.status === 400) return `the issuer at ${at} does not let the client read the revocations (400): the client needs the scope revocations:read, as from: waxseal client add NAME --scope revocations:read`;
    if (mayPass(error)) return `the issuer at ${at} cannot answer now: ${error.message}: look at its log`;
  }
  if (isTls(error)) return `no secure connection to the issuer at ${at}: ${describe(error)}: its certificate must be for that host, and from an authority that this machine trusts`;
  if (mayPass(error)) return `the issuer at ${at} cannot be reached: ${describe(error)}: ${reach}`;
  return `what answers at ${at} does not answer as Waxseal does: ${describe(error)}: check the address and the clocks`;
}
