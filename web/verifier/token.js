// Parses a token's text to claims, and checks whether they are acceptable here and now.

import { compactVerify, importJWK } from 'jose';
import { fromBase64url, isClientId, isId, isKid, parseObject, sessionId } from './strict.js';

/** @import { JsonObject } from './strict.js' */
/** @typedef {{ kid: string, alg: string, x: string, key: CryptoKey }} Key */
/** @typedef {import('./verifier.js').SessionClaims} SessionClaims @typedef {import('./verifier.js').ClientClaims} ClientClaims */
/** @typedef {{ kind: 'session', subject: string, claims: SessionClaims } | { kind: 'client', subject: string, claims: ClientClaims }} Verified */

const MAX_TOKEN = 8192;
const MAX_HEADER = 512;
const LIFETIME_CAP = 24 * 3600;
const LAST_SECOND = 253_402_300_799; // of the year 9999
const SESSION_CLAIMS = ['sid', 'auth_time', 'renew_at', 'session_expiry', 'amr'];

/** Throws an error with this message. @param {string} why @returns {never} */
const refuse = (why) => { throw new Error(why); };

/** Splits a signed text, and checks size, shape and header, in this order. @param {unknown} text @param {string} typ */
export function openJws(text, typ) {
  if (typeof text !== 'string' || text.length > MAX_TOKEN) return refuse('not a text of at most 8192 characters');
  const [header, payload, signature, ...rest] = text.split('.');
  if (!header || payload === undefined || !signature || rest.length) return refuse('not three parts');
  if (header.length > MAX_HEADER) refuse('the header is too long');
  [payload, signature].forEach(fromBase64url);
  const { alg, typ: said, kid, ...others } = parseObject(fromBase64url(header));
  if (Object.keys(others).length) refuse('a header parameter other than alg, typ and kid');
  if (typeof alg !== 'string' || !isKid(kid)) return refuse('no alg, or no kid');
  if (said !== typ) refuse(`typ is not ${typ}`);
  return { text, alg, kid: String(kid) };
}

/** Returns the payload if the key signed it. The key determines the algorithm. @param {{ text: string, alg: string }} jws @param {Key} key */
export async function payloadOf(jws, key) {
  const { payload } = await compactVerify(jws.text, key.key, { algorithms: [key.alg] });
  return parseObject(payload);
}

/** Parses a JWK set to keys by `kid`. One bad key refuses the whole set: the issuer's own keys must all be good. @param {JsonObject} set @returns {Promise<Map<string, Key>>} */
export async function keysOf(set) {
  /** @type {Map<string, Key>} */ const keys = new Map();
  for (const jwk of Array.isArray(set.keys) ? set.keys : refuse('not a JWK set')) {
    const { kty, crv, x, y, kid, alg, use, key_ops: ops, ...others } = jwk !== null && typeof jwk === 'object' && !Array.isArray(jwk) ? jwk : refuse('not a JWK');
    const own = kty === 'OKP' && crv === 'Ed25519' ? 'EdDSA' : kty === 'EC' && crv === 'P-256' ? 'ES256' : refuse('a key of an unknown kind');
    if (alg !== undefined && alg !== own && !(own === 'EdDSA' && alg === 'Ed25519')) refuse("a key's alg is another's");
    if ((use !== undefined && use !== 'sig') || (ops !== undefined && !(Array.isArray(ops) && ops.includes('verify')))) refuse('a key that is not to verify');
    if (['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k'].some((name) => name in others)) refuse('a key that carries a secret');
    const coordinates = own === 'ES256' ? [x, y] : [x];
    if (!coordinates.every((it) => typeof it === 'string' && fromBase64url(it).length === 32)) refuse('a coordinate is malformed');
    if (own === 'EdDSA' && isWeak(fromBase64url(String(x)))) refuse('a weak point');
    if (!isKid(kid) || keys.has(String(kid)) || [...keys.values()].some((key) => key.x === x)) refuse('a kid is missing, or a name or a key is there twice');
    const key = /** @type {CryptoKey} */ (await importJWK(/** @type {import('jose').JWK} */ ({ kty, crv, x, ...(own === 'ES256' && { y }) }), own));
    keys.set(String(kid), { kid: String(kid), alg: own, x: String(x), key });
  }
  return keys;
}

const P = 2n ** 255n - 19n;
// The y coordinates of the points of order 1, 2, 4 and 8.
const LOW_ORDER = [0n, 1n, P - 1n, 0x7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd84d3d706a17c7n, 0x05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826n];

/** Whether an Ed25519 point has a low order or is not canonical: one signature then fits many messages. @param {Buffer} point */
function isWeak(point) {
  const y = BigInt(`0x${Buffer.from(point).reverse().toString('hex')}`) & (2n ** 255n - 1n);
  return y >= P || LOW_ORDER.includes(y);
}

/** Parses the claims, and checks their types. The form of the subject tells a client's from a session's. @param {JsonObject} said @returns {Verified} */
export function readClaims(said) {
  const read = (/** @type {string} */ name, /** @type {(it: any) => unknown} */ fits) => (fits(said[name]) ? /** @type {any} */ (said[name]) : refuse(`claim ${name}`));
  const text = (/** @type {string} */ name) => read(name, (it) => typeof it === 'string');
  const time = (/** @type {string} */ name) => read(name, (it) => Number.isInteger(it) && it >= 0 && it <= LAST_SECOND);
  const common = { iss: text('iss'), aud: text('aud'), iat: time('iat'), exp: time('exp'), jti: read('jti', isId), scope: text('scope'), ...(said.nbf !== undefined && { nbf: time('nbf') }) };
  if (isClientId(said.sub)) {
    const id = read('client_id', (it) => it === said.sub);
    SESSION_CLAIMS.forEach((name) => read(name, (it) => it === undefined));
    if (common.scope !== '' && !(common.scope.length <= 1024 && /^[!#-[\]-~]+(?: [!#-[\]-~]+)*$/.test(common.scope))) refuse('claim scope');
    return { kind: 'client', subject: id, claims: { ...common, sub: id, client_id: id } };
  }
  const subject = read('sub', isId);
  const claims = {
    ...common, sub: subject, client_id: text('client_id'), sid: read('sid', (it) => sessionId(it) !== null),
    auth_time: time('auth_time'), renew_at: time('renew_at'), session_expiry: time('session_expiry'),
    amr: read('amr', (it) => Array.isArray(it) && it.every((method) => typeof method === 'string')),
  };
  return { kind: 'session', subject, claims };
}

/** Checks issuer, audience and times. `now` is in ms. @param {Verified} verified @param {{ issuer: string, audiences: string[], leeway: number }} policy @param {number} now */
export function checkClaims({ kind, claims }, { issuer, audiences, leeway }, now) {
  const { iss, aud, iat, nbf = iat, exp } = claims;
  if (!audiences.includes(aud)) refuse('meant for another audience');
  if (iss !== issuer) refuse("issuer (iss) does not match");
  if (now >= exp * 1000 + leeway) refuse('expired');
  if (iat * 1000 > now + leeway) refuse('issued in the future');
  if (nbf * 1000 > now + leeway) refuse('not good yet: its nbf is in the future');
  if (iat >= exp || nbf >= exp) refuse('iat, exp and auth_time are inconsistent');
  if (kind === 'client') {
    if (exp > iat + LIFETIME_CAP) refuse('iat, exp and auth_time are inconsistent');
    return;
  }
  const { auth_time, session_expiry } = claims;
  if (auth_time > iat || exp > session_expiry || session_expiry > auth_time + LIFETIME_CAP) refuse('iat, exp and auth_time are inconsistent');
}
