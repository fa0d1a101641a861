// What the server says: the header, the JSON, Retry-After, problems.

import assert from 'node:assert/strict';
import test from 'node:test';
import { dictionary, problemOf, readHeader, readSession, retryAfter } from '../waxseal.js';

const HEADER = 'did=touched, id="01a20636-65df-7d0c-a454-25cc62cdf196.0", now=1800000000, idle=1800000900, renew=1800001800, end=1800007200';

test('the header says what a request did, and the deadlines after it', () => {
  assert.deepEqual(readHeader(HEADER), {
    did: 'touched', id: '01a20636-65df-7d0c-a454-25cc62cdf196.0',
    now: 1800000000_000, idle: 1800000900_000, renew: 1800001800_000, end: 1800007200_000,
  });
});

test('what the header may say one day is stepped over', () => {
  const more = `  a, b=?0;x, c=(1 "two;,)" three;y="z");w, d=:aGk=:, e=@1659578233, f=1.5;q=*t/x, g=%"f%c3%bc", now=7,${HEADER};v=2,\t*h=-1 `;
  assert.deepEqual(readHeader(more), readHeader(HEADER));
});

test('a header that is malformed or not whole says nothing', () => {
  const bad = [null, '', 'kept', `${HEADER},`, `${HEADER}, `, `,${HEADER}`, `${HEADER} x=1`, `${HEADER}, X=1`, `${HEADER}, x="`, `${HEADER}, x="é"`,
    `${HEADER}, x=(1`, `${HEADER}, x=1234567890123456`, `${HEADER}, x=1.`, HEADER.replace('touched', 'gone'), HEADER.replace('touched', '"touched'),
    HEADER.replace('.0"', '"'), HEADER.replace(', end=1800007200', ''), HEADER.replace('1800000900', '1800000900.5'), HEADER.replace('1800000900', '-1'),
    HEADER.replace('id="', 'id="../')];
  for (const value of bad) assert.equal(readHeader(value), null, String(value));
});

test('the last member of a name counts, and strings are unescaped', () => {
  assert.deepEqual([...dictionary(String.raw`a=1, b="say \"\\\"", a=2, c;x=1`)], [['a', '2'], ['b', String.raw`say "\"`], ['c', '']]);
  assert.equal(dictionary(String.raw`a="\n"`), null);
});

test('a long header that is malformed at its end is refused quickly', () => {
  const started = performance.now();
  assert.equal(dictionary(`${'a=(1 2;x 3), '.repeat(2000)}b=(${'1 ; '.repeat(2000)}`), null);
  assert.ok(performance.now() - started < 1000);
});

const BODY = {
  id: '01a20636-65df-7d0c-a454-25cc62cdf196.12', created_at: '2026-11-23T02:22:38Z', idle_expires_at: '2026-11-23T02:37:38Z',
  renew_at: '2026-11-23T02:52:38Z', expires_at: '2026-11-23T04:22:38Z', now: '2026-11-23T02:22:38.000Z', subject: 'ignored',
};

test('a session in JSON, and from when on a fetch renews it', () => {
  const { now, state } = readSession(BODY, 'TOKEN');
  const created = Date.UTC(2026, 10, 23, 2, 22, 38);
  assert.equal(now, created);
  const minutes = Object.fromEntries(['created', 'idle', 'renew', 'end', 'renewFrom'].map((key) => [key, (state[key] - created) / 60_000]));
  assert.deepEqual(minutes, { created: 0, idle: 15, renew: 30, end: 120, renewFrom: 7.5 });
  assert.equal(state.token, 'TOKEN');

  const soon = readSession({ ...BODY, renew_at: '2026-11-23T02:25:38Z' }, null).state;
  assert.equal(soon.renewFrom, soon.renew);
  const atItsEnd = readSession({ ...BODY, expires_at: BODY.idle_expires_at }, null).state;
  assert.equal(atItsEnd.renewFrom, atItsEnd.renew, 'nothing moves the idle deadline any more');
});

test('a body that is not a session throws', () => {
  for (const body of [null, undefined, 'x', [], {}, { ...BODY, id: '' }, { ...BODY, now: undefined }, { ...BODY, renew_at: 'soon' }]) {
    assert.throws(() => readSession(body, null), TypeError);
  }
});

test('Retry-After in seconds or as an HTTP date', () => {
  const now = Date.UTC(2026, 10, 23, 2, 22, 38, 250);
  assert.equal(retryAfter(null, now), null);
  assert.equal(retryAfter('0', now), 0);
  assert.equal(retryAfter('120', now), 120);
  assert.equal(retryAfter('Mon, 23 Nov 2026 02:23:38 GMT', now), 60);
  assert.equal(retryAfter('Mon, 23 Nov 2026 02:00:00 GMT', now), 0, 'it has passed');
  assert.equal(retryAfter('Monday, 23-Nov-26 02:23:38 GMT', now), 60, 'the obsolete form');
  for (const bad of ['', '-1', '1.5', '2026-11-23', 'soon', 'Mon, soon']) assert.equal(retryAfter(bad, now), null, bad);
});

test('a problem has the answer\'s words, and one that is not Waxseal\'s is a problem too', async () => {
  const body = '{"status":429,"title":"Too Many Requests","detail":"Wait.","code":"too_many_requests"}';
  const { name, status, code, detail, message, retryAfter: wait } = await problemOf(new Response(body, { status: 429, headers: { 'Retry-After': '3' } }));
  assert.deepEqual([name, status, code, detail, message, wait], ['Problem', 429, 'too_many_requests', 'Wait.', 'Wait.', 3]);
  for (const odd of ['<h1>Bad Gateway</h1>', '', 'null', '[]', '"text"']) {
    const problem = await problemOf(new Response(odd, { status: 502 }));
    assert.deepEqual([problem.status, problem.code, problem.detail, problem.message, problem.retryAfter], [502, 'unknown', '', 'HTTP 502', null], odd);
  }
});
