// What ends which tokens, and what two revocations of one thing are together.

import assert from 'node:assert/strict';
import test from 'node:test';
import { RevocationList } from '../list.js';
import { id } from './liar.js';

const NOW = 1_800_000_000_000;
const LEEWAY = 5_000;
const ME = id(NOW - 90_000_000);
const entry = (scope, key, more = {}) => ({ seq: 1, scope, key, from: Infinity, graceUntil: null, spared: null, expiresAt: NOW + 7_260_000, reason: 'logout', at: NOW, ...more });
const session = (began, { generation = 0, nth = 0, exp = NOW + 900_000 } = {}) => ({ kind: 'session', subject: ME, claims: { sub: ME, jti: id(began, 99), sid: `${id(began, nth)}.${generation}`, exp: exp / 1000 } });
const client = (began, exp = NOW + 300_000) => ({ kind: 'client', subject: `client-${ME}`, claims: { sub: `client-${ME}`, jti: id(began, 98), exp: exp / 1000 } });
const listOf = (...entries) => {
  const list = new RevocationList();
  entries.forEach((it) => list.enter(it));
  return list;
};
const ends = (list, verified, now = NOW, kid = 'k') => list.ends(verified, kid, now, LEEWAY);

test('each scope ends its own, and nothing else', () => {
  const [mine, call] = [session(NOW - 1000), client(NOW - 1000)];
  const lineage = id(NOW - 1000, 0);
  const cases = [
    [entry('session', lineage), 'session', null],
    [entry('session', id(NOW - 1000, 5)), null, null],
    [entry('token', mine.claims.jti), 'token', null],
    [entry('token', call.claims.jti), null, 'token'],
    [entry('user', ME, { from: NOW }), 'user', null],
    [entry('user', ME, { from: NOW - 1000 }), null, null],
    [entry('user', ME, { from: NOW, spared: lineage }), null, null],
    [entry('client', `client-${ME}`, { from: NOW }), null, 'client'],
    [entry('client', `client-${ME}`, { from: NOW - 1000 }), null, null],
    [entry('key', 'k', { expiresAt: Infinity }), 'key', 'key'],
    [entry('key', 'other', { expiresAt: Infinity }), null, null],
    [entry('everything', '', { from: NOW }), 'everything', 'everything'],
    [entry('everything', '', { from: NOW, spared: lineage }), null, 'everything'],
  ];
  for (const [it, ofMine, ofCall] of cases) {
    const list = listOf(it);
    assert.deepEqual([ends(list, mine), ends(list, call)], [ofMine, ofCall], JSON.stringify(it));
  }
});

test('a renewal ends the generations before, and the last of them after its grace', () => {
  const list = listOf(entry('session', id(NOW - 1000), { from: 3, graceUntil: NOW + 30_000 }));
  const at = (generation, now) => ends(list, session(NOW - 1000, { generation }), now);
  assert.deepEqual([1, 2, 3].map((generation) => at(generation, NOW)), ['session', null, null]);
  assert.deepEqual([1, 2, 3].map((generation) => at(generation, NOW + 29_999)), ['session', null, null]);
  assert.deepEqual([1, 2, 3].map((generation) => at(generation, NOW + 30_000)), ['session', 'session', null]);
});

test('two of one thing merge to the stricter, in any order and however often', () => {
  const [a, b] = [id(NOW - 5000, 1), id(NOW - 3000, 2)];
  const pairs = [
    [entry('session', a, { from: 3, graceUntil: NOW + 30_000 }), entry('session', a)],
    [entry('session', a, { from: 3, graceUntil: NOW + 30_000 }), entry('session', a, { from: 4, graceUntil: NOW + 60_000 })],
    [entry('session', a, { from: 3, graceUntil: NOW + 30_000 }), entry('session', a, { from: 3, graceUntil: NOW - 1 })],
    [entry('user', ME, { from: NOW - 4000, spared: a }), entry('user', ME, { from: NOW, spared: b })],
    [entry('user', ME, { from: NOW, spared: a }), entry('user', ME, { from: NOW, spared: a })],
    [entry('user', ME, { from: NOW, spared: a }), entry('user', ME, { from: NOW - 1000 })],
    [entry('user', ME, { from: NOW - 4000 }), entry('user', ME, { from: NOW, spared: b })],
  ];
  const tokens = [0, 1, 2, 3, 4].flatMap((generation) => [session(NOW - 5000, { nth: 1, generation }), session(NOW - 3000, { nth: 2, generation }), session(NOW + 1)]);
  const times = [NOW, NOW + 30_000, NOW + 60_000];
  for (const [one, other] of pairs) {
    const either = (token, now) => ends(listOf(one), token, now) !== null || ends(listOf(other), token, now) !== null;
    for (const list of [listOf(one, other), listOf(other, one), listOf(one, other, one, other)]) {
      for (const token of tokens) for (const now of times) {
        // The stricter ends whatever one of the two ends. It may end a generation more: what was renewed twice has no grace.
        if (either(token, now)) assert.notEqual(ends(list, token, now), null, JSON.stringify([one, other, token, now - NOW]));
      }
      assert.equal(ends(list, session(NOW + 1)), null);
    }
    assert.deepEqual(tokens.map((token) => ends(listOf(one, other), token)), tokens.map((token) => ends(listOf(other, one), token)));
  }
  // An exception for a session that began after both is not needed, and does not displace one that is.
  const later = entry('user', ME, { from: NOW - 4000, spared: id(NOW + 10, 7) });
  for (const list of [listOf(later, pairs[3][1]), listOf(pairs[3][1], later)]) assert.equal(ends(list, session(NOW - 3000, { nth: 2 })), null);
  const [, , , both, same] = pairs;
  assert.equal(ends(listOf(...same), session(NOW - 5000, { nth: 1 })), null, 'the session that both except is excepted');
  assert.equal(ends(listOf(...both), session(NOW - 3000, { nth: 2 })), null, 'the session that began after the one and is excepted by the other');
});

test('the horizon ends what had expired, and takes the place of entries', () => {
  const list = listOf(entry('session', id(NOW - 8_000_000), { expiresAt: NOW - 1000 }), entry('key', 'k', { expiresAt: Infinity }));
  const old = session(NOW - 8_000_000, { exp: NOW - 2000 });
  list.raiseHorizon(NOW - 1001);
  assert.equal(list.size, 2);
  list.raiseHorizon(NOW - 1000);
  assert.equal(list.size, 1);
  assert.equal(ends(list, old, NOW, 'other'), 'horizon');
  list.raiseHorizon(0);
  assert.equal(ends(list, old, NOW - 10_000_000, 'other'), 'horizon', 'whatever the clock says now');
  assert.equal(ends(list, session(NOW + 1, { exp: NOW + 1000 }), NOW, 'other'), null);
});

test('a clock that is set back revives nothing', () => {
  const list = new RevocationList();
  const token = session(NOW - 1000, { exp: NOW });
  list.noteNewest(NOW - 500);
  list.observe(NOW + 10_000, 0);
  assert.equal(ends(list, token, NOW - 3_600_000), 'horizon');
  list.observe(NOW - 3_600_000, 0);
  assert.equal(ends(list, token, NOW - 3_600_000), 'horizon');
  // One that begins afterwards is past the horizon.
  assert.equal(ends(list, session(NOW + 10_001, { exp: NOW + 9_000 }), NOW - 3_600_000), null);
  const renewed = listOf(entry('session', id(NOW - 1000), { from: 1, graceUntil: NOW + 5_000 }));
  // A grace that was over stays over, however little and however much the clock is set back.
  for (const back of [1, 1_999, 2_001, 3_600_000]) {
    const renewed = listOf(entry('session', id(NOW - 1000), { from: 1, graceUntil: NOW + 5_001 }));
    assert.equal(ends(renewed, session(NOW - 1000), renewed.observe(NOW + 5_000, 5_000)), null);
    renewed.noteNewest(NOW - 1000);
    assert.equal(ends(renewed, session(NOW - 1000), renewed.observe(NOW + 5_001, 5_000)), 'session');
    assert.equal(ends(renewed, session(NOW - 1000), renewed.observe(NOW + 5_001 - back, 5_000)), 'session', `${back} ms`);
  }
});
