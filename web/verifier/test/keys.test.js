// Which sets of keys are taken: an issuer's own, whole, or not at all.

import assert from 'node:assert/strict';
import test from 'node:test';
import { exportJWK, generateKeyPair } from 'jose';
import { keysOf } from '../token.js';

const jwkOf = async (alg, kid) => ({ ...(await exportJWK((await generateKeyPair(alg, { extractable: true })).publicKey)), kid, use: 'sig', alg });
const [ed, ec, other] = [await jwkOf('EdDSA', 'ed'), await jwkOf('ES256', 'ec'), await jwkOf('EdDSA', 'other')];
const refused = (keys, why) => assert.rejects(keysOf({ keys }), why, JSON.stringify(keys));

test('a key knows its one algorithm', async () => {
  const keys = await keysOf({ keys: [ed, ec, { ...other, alg: 'Ed25519', key_ops: ['verify'] }] });
  assert.deepEqual([...keys.values()].map(({ kid, alg }) => [kid, alg]), [['ed', 'EdDSA'], ['ec', 'ES256'], ['other', 'EdDSA']]);
});

test('one bad key refuses the set', async () => {
  for (const set of [{}, { keys: null }, { keys: {} }, { keys: [null] }, { keys: ['x'] }, { keys: [[]] }]) await assert.rejects(keysOf(set));
  for (const [change, why] of [
    [{ alg: 'ES256' }, /alg/], [{ alg: 'none' }, /alg/], [{ crv: 'X25519' }, /unknown kind/], [{ kty: 'EC' }, /unknown kind/], [{ kty: 'oct', k: 'AAAA' }, /unknown kind/], [{ kty: 'RSA' }, /unknown kind/],
    [{ use: 'enc' }, /not to verify/], [{ key_ops: ['sign'] }, /not to verify/], [{ d: 'AAAA' }, /secret/], [{ k: 'AAAA' }, /secret/],
    [{ x: undefined }, /malformed/], [{ x: 'AAAA' }, /malformed/], [{ x: `${ed.x}=` }, /canonical/], [{ kid: undefined }, /kid/], [{ kid: '' }, /kid/], [{ kid: 1 }, /kid/], [{ kid: 'other' }, /twice/], [{ x: other.x }, /twice/],
  ]) await refused([other, { ...ed, ...change }], why);
  await refused([{ ...ec, y: undefined }], /malformed/);
  await refused([{ ...ec, y: Buffer.alloc(32, 1).toString('base64url') }], Error);
});

const P = 2n ** 255n - 19n;
const pow = (base, exponent) => { let result = 1n; for (let b = base % P, e = exponent; e > 0n; e >>= 1n, b = (b * b) % P) if (e & 1n) result = (result * b) % P; return result; };
const D = ((P - 121665n) * pow(121666n, P - 2n)) % P;
/** The y of twice a point, from its x^2 and y^2 alone: (x^2 + y^2) / (1 - d x^2 y^2). */
const doubled = (y) => {
  const yy = (y * y) % P;
  const xx = (((yy - 1n + P) % P) * pow((D * yy + 1n) % P, P - 2n)) % P;
  return (((yy + xx) % P) * pow((((1n - D * xx * yy) % P) + P) % P, P - 2n)) % P;
};
const encoded = (y, sign = 0n) => Buffer.from((y | (sign << 255n)).toString(16).padStart(64, '0'), 'hex').reverse().toString('base64url');

test('a point of a low order, or not canonical, is refused as a key', async () => {
  // A point of order 8 is one whose double has order 4, so y = 0, and there are two y of them.
  const eight = [0x7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd84d3d706a17c7n];
  eight.push(P - eight[0]);
  for (const y of eight) assert.equal(doubled(y), 0n);
  assert.equal(doubled(doubled(0n)), 1n);
  for (const y of [0n, 1n, P - 1n, ...eight, P, P + 1n, 2n ** 255n - 1n]) {
    for (const sign of [0n, 1n]) await refused([{ ...ed, x: encoded(y, sign) }], /weak point/);
  }
});
