// What the client makes of it: the clock, which session is newer, who may have the token.

import assert from 'node:assert/strict';
import test from 'node:test';
import { Clock, Waxseal, askAgainIn, baseOf, difference, endOf, isAt, isLater, originsOf } from '../waxseal.js';

function clocks() {
  const time = { elapsed: 5_000, wall: 1_000_000 };
  const pass = (ms, asleep = false) => { time.wall += ms; if (!asleep) time.elapsed += ms; };
  return { time, pass, clock: new Clock(() => time.elapsed, () => time.wall) };
}

test('the clock is the server\'s, whatever the browser\'s says', () => {
  const { time, pass, clock } = clocks();
  clock.hear(1_800_000_000_000, time.elapsed);
  pass(30_000);
  assert.equal(clock.now(), 1_800_000_030_000);
  time.wall -= 3_600_000; // somebody sets it back
  assert.equal(clock.now(), 1_800_000_030_000);
});

test('slow answers make it more exact, never less', () => {
  const { time, pass, clock } = clocks();
  const server = () => 1_800_000_000_000 + time.elapsed;
  const answer = (there, back) => { const sent = time.elapsed; pass(there); const now = server(); pass(back); clock.hear(now, sent); };
  answer(10, 900);
  assert.equal(clock.now(), server() - 900);
  answer(10, 20);
  assert.equal(clock.now(), server() - 20);
  answer(3_000, 3_000);
  assert.equal(clock.now(), server() - 20);
  clock.hearsay(server() - 86_400_000); // out of a cache
  assert.equal(clock.now(), server() - 20);
});

test('a server whose clock is set back is believed', () => {
  const { time, pass, clock } = clocks();
  clock.hear(1_800_000_000_000, time.elapsed);
  const sent = time.elapsed;
  pass(50);
  clock.hear(1_799_999_000_000, sent);
  assert.ok(Math.abs(clock.now() - 1_799_999_000_000) <= 51);
});

test('it is noticed that the machine slept, and the next answer makes up for it', () => {
  const { time, pass, clock } = clocks();
  clock.hear(1_800_000_000_000, time.elapsed);
  pass(10_000);
  assert.equal(clock.lost(), 0);
  assert.equal(clock.justHeard(), false);
  pass(3_600_000, true);
  assert.equal(clock.lost(), 3_600_000);
  clock.hear(1_800_003_610_000, time.elapsed);
  assert.equal(clock.now(), 1_800_003_610_000);
  assert.equal(clock.lost(), 0);
  assert.equal(clock.justHeard(), true);
});

const state = (id, idle = 900, created = 0) => ({ id, created, idle, renew: 1800, end: 7200, token: null, renewFrom: 450 });

test('what made one state into another', () => {
  assert.equal(difference(state('a.1'), state('a.2')), 'renewed');
  assert.equal(difference(state('a.9'), state('a.10', 1)), 'renewed');
  assert.equal(difference(state('a.1'), state('a.1', 901)), 'touched');
  assert.equal(difference(state('a.1'), state('b.0')), 'renewed');
  assert.equal(difference(state('a.1'), state('a.1')), null);
  assert.equal(difference(state('a.1'), state('a.1', 899)), null, 'an answer that came late');
  assert.equal(difference(state('a.2'), state('a.1', 901)), null, 'an answer that came late');
});

test('all tabs come to the same of two logins', () => {
  const [one, two, three] = [state('b.0', 900, 1), state('a.0', 900, 2), state('c.0', 900, 2)];
  for (const [older, newer] of [[one, two], [two, three], [one, three]]) {
    assert.equal(isLater(older, newer), true);
    assert.equal(isLater(newer, older), false);
  }
  assert.equal(isLater(one, one), false);
});

test('the end that comes first', () => {
  assert.deepEqual(endOf({ idle: 1, end: 2 }), { at: 1, timeout: 'idle' });
  assert.deepEqual(endOf({ idle: 2, end: 2 }), { at: 2, timeout: 'absolute' });
  assert.deepEqual(endOf({ idle: 3, end: 2 }), { at: 2, timeout: 'absolute' });
});

test('an unanswered question is asked again ever more slowly, and not before Retry-After', () => {
  assert.deepEqual([1, 2, 5, 6, 2000].map((unanswered) => askAgainIn(unanswered)), [2_000, 4_000, 32_000, 60_000, 60_000]);
  assert.deepEqual([1, 30, 1e9].map((wait) => askAgainIn(1, wait)), [2_000, 30_000, 600_000]);
  assert.equal(askAgainIn(1, null), 2_000);
});

test('where Waxseal is', () => {
  assert.equal(baseOf('https://auth.example').href, 'https://auth.example/');
  assert.equal(baseOf(new URL('https://auth.example:8443/realm?x#y')).href, 'https://auth.example:8443/realm/');
  assert.equal(baseOf('https://auth.example/a/b//').href, 'https://auth.example/a/b/');
  assert.equal(baseOf('https://auth.example//evil.example').href, 'https://auth.example//evil.example/');
  assert.equal(new URL('session/renew', baseOf('https://auth.example/realm')).href, 'https://auth.example/realm/session/renew');
  for (const bad of ['auth.example', '/auth', 'file:///x', 'null', 'data:,x', 'javascript:1']) assert.throws(() => baseOf(bad), TypeError, bad);
});

test('the token goes to the listed origins and nowhere else', () => {
  const origins = originsOf(['https://auth.example/realm', new URL('https://api.example:8443')]);
  for (const good of ['https://auth.example/', 'https://auth.example:443/x', 'https://AUTH.example', 'https://api.example:8443/y', 'https://x@auth.example/']) {
    assert.equal(isAt(good, origins), true, good);
  }
  for (const evil of ['https://evil.example/', 'http://auth.example/', 'https://auth.example:8443/', 'https://api.example/', 'https://auth.example.evil.example/',
    'https://auth.example@evil.example/', 'https://evil.example/https://auth.example/', 'https://evil.example\\@auth.example/', 'blob:https://auth.example/0-1',
    'data:,https://auth.example/', 'https://sub.auth.example/', 'wss://auth.example/', 'https://auth.example./']) {
    assert.equal(isAt(evil, origins), false, evil);
  }
  assert.throws(() => originsOf(['*']), TypeError);
  assert.throws(() => originsOf(['file:///']), TypeError);
});

test('an instance needs no browser to be made, and says what it cannot be', () => {
  const waxseal = new Waxseal({ baseUrl: 'https://auth.example' });
  assert.equal(waxseal.session, null);
  assert.equal(waxseal.remaining(), null);
  waxseal.close();
  waxseal.close();
  assert.throws(() => new Waxseal({ baseUrl: 'https://auth.example', delivery: 'storage' }), TypeError);
  assert.throws(() => new Waxseal({ baseUrl: 'ftp://auth.example' }), TypeError);
});
