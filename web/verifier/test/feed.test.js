// The example of docs/feed.md, computed anew.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { Reading, UnknownKind, chain, digest } from '../feed.js';

const page = readFileSync(new URL('../../../docs/feed.md', import.meta.url), 'utf8');
const blocks = (language) => page.split(`\`\`\`${language}\n`).slice(1).map((rest) => rest.split('```')[0].trim());
const [statement, log] = blocks('json').map((block) => block.split('\n').map((line) => JSON.parse(line)));
const [said] = statement;
const hashes = blocks('text')[0].split('\n');
const withEntry = (nth, changed) => log.map((entry, at) => (at === nth ? changed : entry));
const question = { issuer: said.iss, clientId: said.aud, nonce: said.nonce };

test('the page of the example is one that a reader takes', () => {
  const reading = new Reading();
  assert.equal(reading.next, 'snapshot=0');
  const { entries, complete } = reading.take(question, said, log);
  assert.ok(complete);
  assert.deepEqual(entries.map(({ seq }) => seq), [1, 2, 3, 4]);
  assert.equal(said.hash, hashes.at(-1));
  assert.equal(reading.next, `after=${said.seq}`);
});

test('the running hashes of the example lead from one to the next', () => {
  const { entries } = new Reading().take(question, said, log);
  let hash = Buffer.alloc(32);
  entries.forEach((entry, nth) => {
    hash = chain(hash, entry);
    assert.equal(hash.toString('base64url'), hashes[nth]);
  });
  const reading = new Reading();
  reading.take(question, { ...said, seq: 0, hash: Buffer.alloc(32).toString('base64url'), entries: digest([]).toString('base64url') }, []);
  entries.forEach((entry, nth) => {
    const delta = { ...said, snapshot: false, after: nth, seq: nth + 1, hash: hashes[nth], entries: digest([entry]).toString('base64url') };
    reading.take(question, delta, [log[nth]]);
    assert.equal(reading.next, `after=${nth + 1}`);
  });
});

test('every member of every entry is signed', () => {
  const others = { seq: 9, scope: 'token', key: '01a3185b-65a0-7d0c-a454-000000000000', from: 7, grace_until: 1, spared: '01a3185b-65a0-7d0c-a454-000000000000', expires_at: 1, reason: 'deleted', at: 1 };
  log.forEach((entry, nth) => {
    for (const [name, other] of Object.entries(others)) {
      const changed = { ...entry, [name]: other };
      assert.throws(() => new Reading().take(question, said, withEntry(nth, changed)), /not what was signed|malformed/, `${nth} ${name}`);
    }
    assert.throws(() => new Reading().take(question, said, withEntry(nth, { ...entry, more: 1 })), /not known here/);
    assert.throws(() => new Reading().take(question, said, log.filter((other) => other !== entry)), /not what was signed/);
  });
});

test('an entry of an unknown scope is skipped if it is ignorable, and makes the page unusable if not', () => {
  const withUnknown = (scope, key) => {
    const unknown = { seq: 5, scope, key, from: Infinity, graceUntil: null, spared: null, expiresAt: Infinity, reason: 'later', at: 1 };
    const reading = new Reading();
    reading.take(question, said, log);
    const hash = chain(Buffer.from(said.hash, 'base64url'), unknown).toString('base64url');
    const page = { ...said, after: 4, snapshot: false, seq: 5, hash, entries: digest([unknown]).toString('base64url') };
    return [reading, () => reading.take(question, page, [{ seq: 5, scope, key, reason: 'later', at: 1 }])];
  };
  for (const [scope, key] of [['ignorable:note', ''], ['ignorable:a_2', 'client-7/|!~'], [`ignorable:${'x'.repeat(31)}`, 'x'.repeat(128)]]) {
    const [reading, take] = withUnknown(scope, key);
    const brought = take();
    assert.deepEqual([brought.entries, brought.complete, reading.next], [[], true, 'after=5'], scope);
  }
  for (const [scope, key] of [['device', 'x'], ['ignorable', 'x'], ['ignorable:', 'x'], ['ignorable:Note', 'x'], [`ignorable:${'x'.repeat(32)}`, 'x'], ['ignorable:note', 'a b'], ['ignorable:note', 'x'.repeat(129)], ['ignorable:note', 'é'], ['ignorable:note', 'x\n'], ['horizon', ''], ['__proto__', '']]) {
    const [reading, take] = withUnknown(scope, key);
    assert.throws(take, (error) => error instanceof UnknownKind && /entry 5 .*upgrade/.test(error.message), scope);
    assert.equal(reading.next, 'after=4');
  }
});

test('a page that has a gap, or whose entries do not rise, is refused with any signature', () => {
  const { entries } = new Reading().take(question, said, log);
  const signed = (places, more) => {
    const some = places.map((place) => entries[place]);
    const hash = some.reduce(chain, Buffer.alloc(32)).toString('base64url');
    return [{ ...said, hash, entries: digest(some).toString('base64url'), ...more }, places.map((place) => log[place])];
  };
  const empty = () => {
    const reading = new Reading();
    reading.take(question, ...signed([], { seq: 0, hash: Buffer.alloc(32).toString('base64url') }));
    return reading;
  };
  const altered = /went back or was altered/;
  empty().take(question, ...signed([0, 1], { snapshot: false, seq: 2 }));
  for (const [places, seq] of [[[0, 2], 2], [[0, 2], 3], [[1], 1], [[1], 2], [[1, 0], 2], [[0, 0], 2], [[0], 2], [[0, 1], 1]]) {
    const reading = empty();
    assert.throws(() => reading.take(question, ...signed(places, { snapshot: false, seq })), altered, `${places} to ${seq}`);
    assert.equal(reading.next, 'snapshot=0');
  }
  new Reading().take(question, ...signed([0, 2], { seq: 4 }));
  for (const [places, seq] of [[[1, 0], 4], [[0, 0], 4], [[0, 3], 3], [[3], 0]]) {
    assert.throws(() => new Reading().take(question, ...signed(places, { seq })), altered, `${places} to ${seq}`);
  }
  const half = () => {
    const reading = new Reading();
    reading.take(question, ...signed([0, 1], { seq: 2, more: true }));
    assert.equal(reading.next, 'snapshot=2');
    return reading;
  };
  const goesOn = { after: 2, after_hash: hashes[1] };
  half().take(question, ...signed([2, 3], { ...goesOn, seq: 4 }));
  assert.throws(() => half().take(question, ...signed([1, 2], { ...goesOn, seq: 3 })), altered);
  assert.throws(() => half().take(question, ...signed([2, 3], { after: 2, seq: 4 })), altered);
  assert.throws(() => half().take(question, ...signed([2, 3], { ...goesOn, after_hash: hashes[0], seq: 4 })), altered);
});
