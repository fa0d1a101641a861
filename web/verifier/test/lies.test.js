// An issuer that lies, or somebody in its place: nothing that was learned is forgotten, and nothing is guessed.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { digest } from '../feed.js';
import { Liar, id, keyPair, ready, sign, until } from './liar.js';

/** @param {string} name @param {(liar: Liar) => Promise<void>} body */
const scene = (name, body) => test(name, async () => {
  const liar = await Liar.start();
  try {
    await body(liar);
  } finally {
    liar.close();
  }
});
const verdict = (verifier, token) => verifier.verify(token).then(({ kind }) => kind, ({ code }) => code);
const is = (verifier, token, wanted) => until(wanted, async () => (await verdict(verifier, token)) === wanted);

scene('the truth is believed, and a revocation binds from then on', async (liar) => {
  const verifier = liar.verifier({ maxStaleness: 60 });
  assert.equal(await verdict(verifier, await liar.session()), 'unavailable');
  await ready(verifier);
  const token = await liar.session();
  assert.equal(await verdict(verifier, token), 'session');
  const [lineage] = (await verifier.verify(token)).claims.sid.split('.');
  liar.revoke('session', lineage);
  await is(verifier, token, 'invalid_token');
  assert.deepEqual(liar.said, []);
  verifier.close();
  assert.equal(await verdict(verifier, await liar.session({ sid: `${id(Date.now(), 9)}.0` })), 'unavailable');
});

const key = await keyPair('another');
const huge = gzipSync(Buffer.alloc(64 * 1024 * 1024, ' '));
const OTHER_QUESTION = /answers another question/;
const DEVICE = { seq: 2, scope: 'device', key: 'x', from: Infinity, graceUntil: null, spared: null, expiresAt: Infinity, reason: 'logout', at: 1 };
const LIES = {
  'another nonce': [{ statement: () => ({ nonce: 'replayed' }) }, OTHER_QUESTION],
  'for another reader': [{ statement: () => ({ aud: 'client-01a312ff-0580-7b0b-ba2c-8e6795508a1f' }) }, OTHER_QUESTION],
  'of another issuer': [{ statement: () => ({ iss: 'https://other.example' }) }, /says that it is "https:\/\/other.example"/],
  'about another place': [{ statement: ({ after }) => ({ after: after + 1 }) }, OTHER_QUESTION],
  'a seq that goes back': [{ statement: () => ({ seq: 0 }) }, /went back or was altered/],
  'a seq ahead of its entries': [{ statement: () => ({ seq: 7, snapshot: false }) }, /went back or was altered|another question/],
  'a hash that is none': [{ statement: () => ({ hash: 'AAAA' }) }, /went back or was altered/],
  'more, and nothing': [{ statement: () => ({ more: true }) }, /says that more follows/],
  'an entry that was not signed': [{ answer: ({ page }) => ({ page, entries: [{ seq: 2, scope: 'everything', key: '', reason: 'logout', at: 1 }] }) }, /not what was signed/],
  'an entry of an unknown kind': [{ statement: () => ({ entries: digest([DEVICE]).toString('base64url') }), answer: ({ page }) => ({ page, entries: [{ seq: 2, scope: 'device', key: 'x', reason: 'logout', at: 1 }] }) }, /entry 2 of the revocation log is of a kind that this version does not know.*upgrade/],
  'something beside the page': [{ answer: (page) => ({ ...page, more: 1 }) }, /page is malformed/],
  'a forged page': [{ key }, /unknown or revoked/],
  'a page that is a token': [{ typ: 'at+jwt' }, /typ is not/],
  'a clock an hour ahead': [{ statement: () => ({ now: Date.now() + 3_600_000 }) }, /clock and the issuer's differ/],
  'a clock an hour behind': [{ statement: () => ({ now: Date.now() - 3_600_000 }) }, /clock and the issuer's differ/],
  'an age in the future': [{ statement: () => ({ age: -1 }) }, /page is malformed/],
  'a truncated body': [{ response: (response, body) => { response.setHeader('Content-Length', body.length); response.write(body.slice(0, 100)); response.destroy(); } }, /terminated|fetch failed/],
  'an endless body': [{ response: (response) => { const more = () => { while (response.write(' '.repeat(65_536))); }; response.on('drain', more); more(); } }, /more than 4194304 bytes/],
  'a decompression bomb': [{ response: (response) => response.setHeader('Content-Encoding', 'gzip').end(huge) }, /more than 4194304 bytes/],
  // To where the truth is told.
  'a redirect': [{ response: (response, _body, _after, search) => response.writeHead(307, { Location: `/elsewhere${search}` }).end() }, /redirect/],
  'an error': [{ response: (response) => response.writeHead(500).end() }, /answered 500/],
  'silence': [{ response: () => {} }, /did not answer in time/],
  'a key twice': [{ response: (response, body) => response.end(body.replace('{', '{"page":"",')) }, /a key twice/],
};
describe('a lie', { concurrency: 8 }, () => {
  for (const [name, [lies, why]] of Object.entries(LIES)) {
    scene(`${name}: nobody can tell, what was learned binds, and it passes`, async (liar) => {
      const dead = await liar.session();
      const live = await liar.session({ sid: `${id(Date.now(), 9)}.0` });
      liar.revoke('session', JSON.parse(Buffer.from(dead.split('.')[1], 'base64url')).sid.split('.')[0]);
      const verifier = liar.verifier();
      await ready(verifier);
      assert.equal(await verdict(verifier, live), 'session');
      liar.lies = lies;
      await is(verifier, live, 'unavailable');
      assert.equal(await verdict(verifier, dead), 'invalid_token');
      await until(String(why), () => why.test(liar.said.join('\n')));
      liar.lies = {};
      await is(verifier, live, 'session');
      assert.equal(await verdict(verifier, dead), 'invalid_token');
      assert.match(liar.said.at(-1), /can be read again/);
    });
  }
});

scene('a log that went back and grew again is noticed, and forgets nothing', async (liar) => {
  const [one, two] = [id(Date.now(), 1), id(Date.now(), 2)];
  liar.revoke('session', one);
  const verifier = liar.verifier();
  const tokenOf = (lineage) => liar.session({ sid: `${lineage}.0` });
  await is(verifier, await tokenOf(one), 'invalid_token');
  [liar.log, liar.hashes] = [[], [Buffer.alloc(32)]];
  liar.revoke('session', two);
  await until('it is noticed', () => liar.said.some((message) => /went back or was altered at seq 1/.test(message)));
  await is(verifier, await tokenOf(two), 'invalid_token');
  await is(verifier, await tokenOf(id(Date.now(), 3)), 'session');
  assert.equal(await verdict(verifier, await tokenOf(one)), 'invalid_token');
});

scene('a snapshot proves nothing before its end, and what has come of it binds', async (liar) => {
  const token = await liar.session();
  liar.revoke('session', JSON.parse(Buffer.from(token.split('.')[1], 'base64url')).sid.split('.')[0]);
  liar.revoke('session', id(1));
  liar.pageSize = 1;
  const verifier = liar.verifier();
  liar.lies = { response: (response, body, after) => after === 0 && response.end(body) };
  await is(verifier, token, 'invalid_token');
  await until('it asks for the next page', () => liar.asked.pages.some((url) => url.includes('snapshot=1')));
  const live = await liar.session({ sid: `${id(Date.now(), 9)}.0` });
  assert.equal(await verdict(verifier, live), 'unavailable');
  liar.lies = {};
  await is(verifier, live, 'session');
});

scene('a page signed with a key that was revoked is not believed', async (liar) => {
  const verifier = liar.verifier({ maxStaleness: 60 });
  await ready(verifier);
  const old = liar.key;
  liar.revoke('key', old.kid);
  const next = await keyPair('two');
  liar.published = [old, next];
  liar.key = next;
  await is(verifier, await liar.session({}, old), 'invalid_token');
  assert.equal(await verdict(verifier, await liar.session()), 'session');
  liar.key = old;
  await until('it is refused', () => liar.said.some((message) => /the key one, which is unknown or revoked/.test(message)));
});

scene('names of unknown keys cause one more question for the keys, and no storm', async (liar) => {
  const verifier = liar.verifier({ maxStaleness: 60 });
  await ready(verifier);
  const before = liar.asked.keys;
  const stranger = await keyPair('stranger');
  const tokens = await Promise.all(Array.from({ length: 300 }, (_, nth) => sign('at+jwt', {}, { ...stranger, kid: `stranger-${nth}` })));
  const verdicts = await Promise.all(tokens.map((token) => verdict(verifier, token)));
  for (const token of tokens) verdicts.push(await verdict(verifier, token));
  assert.deepEqual(new Set(verdicts), new Set(['invalid_token']));
  assert.ok(liar.asked.keys - before <= 1, `${liar.asked.keys - before}`);
});

scene('a ring is a reason to ask', async (liar) => {
  const quiet = await Liar.start();
  try {
    const [verifier, other] = [liar.verifier({ maxStaleness: 60 }), quiet.verifier({ maxStaleness: 60 })];
    await Promise.all([ready(verifier), ready(other)]);
    await until('it listens', () => liar.ring !== undefined);
    const [before, otherBefore] = [liar.asked.pages.length, quiet.asked.pages.length];
    for (let rings = 0; rings < 50; rings += 1) {
      const asked = liar.asked.pages.length;
      liar.ring();
      await until('it asks', () => liar.asked.pages.length > asked);
    }
    assert.ok(liar.asked.pages.length - before > quiet.asked.pages.length - otherBefore);
  } finally {
    quiet.close();
  }
});

test('options that are wrong are refused', async () => {
  const liar = await Liar.start();
  try {
    for (const wrong of [{ at: 'http://issuer.example' }, { at: 'ftp://127.0.0.1' }, { at: 'nowhere' }, { at: 'https://user:hunter2@issuer.example' }, { clientId: 'reader' }, { clientSecret: '' }, { audience: [] }, { audience: '' }, { maxStaleness: 0.5 }, { maxStaleness: NaN }, { leeway: 61 }, { leeway: -1 }]) {
      assert.throws(() => liar.verifier(wrong), TypeError, JSON.stringify(wrong));
    }
  } finally {
    liar.close();
  }
});
