// An issuer that tells the truth until it is told to lie: a real server, with a real key.

import { createServer } from 'node:http';
import { CompactSign, exportJWK, generateKeyPair } from 'jose';
import { chain, digest } from '../feed.js';
import { Verifier } from '../verifier.js';

export const ISSUER = 'https://issuer.example';
const CLIENT = 'client-01a312ff-0580-7b0b-ba2c-8e6795508a1e';

/** A UUID of version 7 that was made then. */
export function id(at, nth = 0) {
  const time = at.toString(16).padStart(12, '0');
  return `${time.slice(0, 8)}-${time.slice(8)}-7000-8000-${nth.toString(16).padStart(12, '0')}`;
}

export async function keyPair(kid) {
  const { publicKey, privateKey } = await generateKeyPair('EdDSA', { extractable: true });
  return { kid, privateKey, jwk: { ...(await exportJWK(publicKey)), kid, use: 'sig', alg: 'EdDSA' } };
}

export const sign = (typ, said, key, header = {}) =>
  new CompactSign(Buffer.from(JSON.stringify(said))).setProtectedHeader({ alg: 'EdDSA', typ, kid: key.kid, ...header }).sign(key.privateKey);

export class Liar {
  log = [];
  hashes = [Buffer.alloc(32)];
  /** What is done to the statement, the answer, or the whole response. */
  lies = {};
  pageSize = 4096;
  asked = { keys: 0, token: 0, pages: [] };
  said = [];
  #verifiers = [];

  static async start() {
    const liar = new Liar();
    liar.key = await keyPair('one');
    liar.published = [liar.key];
    liar.server = createServer((request, response) => liar.#answer(request, response).catch((error) => response.destroy(error)));
    await new Promise((resolve) => { liar.server.listen(0, '127.0.0.1', resolve); });
    liar.url = `http://127.0.0.1:${liar.server.address().port}`;
    return liar;
  }

  /** A verifier that follows it. */
  verifier(options = {}) {
    const verifier = new Verifier({ issuer: ISSUER, at: this.url, clientId: CLIENT, clientSecret: 'wxs_0', maxStaleness: 1, log: (message) => this.said.push(message), ...options });
    this.#verifiers.push(verifier);
    return verifier;
  }

  close() {
    this.#verifiers.forEach((verifier) => verifier.close());
    this.server.closeAllConnections();
    this.server.close();
  }

  /** Writes to its log. */
  revoke(scope, key, more = {}) {
    const entry = { seq: this.log.length + 1, scope, key, from: Infinity, graceUntil: null, spared: null, expiresAt: Infinity, reason: 'logout', at: Date.now(), ...more };
    this.log.push(entry);
    this.hashes.push(chain(this.hashes.at(-1), entry));
    return entry;
  }

  session(changes = {}, key = this.key) {
    const now = Math.floor(Date.now() / 1000);
    const lineage = id(now * 1000, 1);
    const claims = { iss: ISSUER, sub: id(1), aud: ISSUER, client_id: 'waxseal', iat: now, exp: now + 900, jti: id(now * 1000, 2), sid: `${lineage}.0`, auth_time: now, renew_at: now + 1800, session_expiry: now + 7200, amr: ['pwd'], scope: 'session', ...changes };
    return sign('at+jwt', claims, key);
  }

  async #answer(request, response) {
    const { pathname, search, searchParams } = new URL(request.url, this.url);
    const json = (body) => response.setHeader('Content-Type', 'application/json').end(JSON.stringify(body));
    if (pathname === '/.well-known/jwks.json') {
      this.asked.keys += 1;
      return json({ keys: this.published.map(({ jwk }) => jwk) });
    }
    if (pathname === '/oauth/token') {
      this.asked.token += 1;
      if (this.lies.token) return this.lies.token(response);
      return json({ access_token: 'good', token_type: 'Bearer', expires_in: 300 });
    }
    if (request.headers.accept === 'text/event-stream') {
      this.ring = () => response.write('event: head\ndata: {"seq":1}\n\n');
      return response.writeHead(200, { 'Content-Type': 'text/event-stream' }).flushHeaders();
    }
    const snapshot = !searchParams.has('after');
    const after = Number(searchParams.get('after') ?? searchParams.get('snapshot') ?? 0);
    this.asked.pages.push(request.url);
    const from = after > this.log.length ? 0 : after;
    const entries = this.log.slice(from, from + this.pageSize);
    const seq = from + entries.length;
    const said = {
      iss: ISSUER, aud: CLIENT, nonce: searchParams.get('nonce'), now: Date.now(), age: 0, after: from, snapshot: snapshot || from !== after,
      ...(snapshot && from > 0 && { after_hash: this.hashes[from].toString('base64url') }),
      more: seq < this.log.length, seq, hash: this.hashes[seq].toString('base64url'), entries: digest(entries).toString('base64url'), horizon: 0, newest: 0,
      ...this.lies.statement?.({ after, snapshot }),
    };
    const page = await sign(this.lies.typ ?? 'waxseal-revocations+jwt', said, this.lies.key ?? this.key);
    const wire = entries.map(({ graceUntil, expiresAt, from, spared, ...entry }) => ({
      ...entry, ...(from !== Infinity && { from }), ...(graceUntil !== null && { grace_until: graceUntil }),
      ...(spared !== null && { spared }), ...(expiresAt !== Infinity && { expires_at: expiresAt }),
    }));
    const body = this.lies.answer?.({ page, entries: wire }) ?? { page, entries: wire };
    if (this.lies.response && pathname !== '/elsewhere') return this.lies.response(response, JSON.stringify(body), after, search);
    return json(body);
  }
}

/** Until it is ready: on a busy machine one call may give up. */
export const ready = (verifier) => until('it is ready', () => verifier.ready().then(() => true, () => false));

/** Until it holds, which takes a while; sixty seconds are a failure. */
export async function until(what, holds) {
  for (let left = 6000; !(await holds()); left -= 1) {
    if (left === 0) throw new Error(`never: ${what}`);
    await new Promise((resolve) => { setTimeout(resolve, 10); });
  }
}
