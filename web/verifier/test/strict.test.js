// What two readers could read differently is read by nobody.

import assert from 'node:assert/strict';
import test from 'node:test';
import { fromBase64url, isClientId, isId, isKid, madeAt, parseObject, sessionId } from '../strict.js';

const parse = (text) => parseObject(Buffer.from(text));
const refused = (bytes) => assert.throws(() => parseObject(Buffer.from(bytes)), String(bytes));

test('what is strict is read as JSON.parse reads it', () => {
  for (const text of ['{}', ' {\n"a" : [ ] ,\t"b":{"c":[1,-2,{"d":null}]},"e":[true,false],"f":"\\u00e9\\ud83d\\ude00\\"\\\\\\/\\b"} ', '{"":0,"__proto__":1,"constructor":2}', '{"a":9007199254740991,"b":-9007199254740991}']) {
    assert.equal(JSON.stringify(parse(text)), JSON.stringify(JSON.parse(text)), text);
  }
});

test('two readings are none', () => {
  for (const text of [
    '{"a":1,"a":1}', '{"a":1,"\\u0061":1}', '{"b":{"a":1,"a":2}}', '{"b":[{"a":1,"a":2}]}', '{"__proto__":1,"__proto__":1}',
    '{"a":"\\ud800"}', '{"a":"\\udc00\\ud800"}', '{"\\ud800":1}', '{"a":1}{}', '{"a":1}x', '{"a":1,}', '{,"a":1}', '{"a":[1,]}', '{"a":[,]}', '{"a" 1}', '{"a":}', '{a:1}', "{'a':1}",
    '{"a":01}', '{"a":+1}', '{"a":.5}', '{"a":1.}', '{"a":0x1}', '{"a":NaN}', '{"a":Infinity}', '{"a":True}', '{"a":"\n"}', '{"a":"\\x"}', '{"a":"}', '{"a":[}', '{', '', '[]', 'null', '1', '"{}"', '\ufeff{}', '{}\u00a0',
  ]) refused(text);
  refused([...Buffer.from('{"a":"'), 0xff, ...Buffer.from('"}')]);
});

test('depth is bounded', () => {
  const nested = (depth) => `{"a":${'['.repeat(depth)}1${']'.repeat(depth)}}`;
  assert.ok(parse(nested(7)));
  for (const depth of [8, 9, 100_000]) refused(nested(depth));
});

test('numbers are whole and exact, or none', () => {
  assert.equal(parse('{"n":17}').n, 17);
  assert.equal(parse('{"n":-17}').n, -17);
  for (const other of ['1.0', '1e3', '-0', '-0.0', '9007199254740992', '18446744073709551615', '1e400']) {
    assert.ok(Number.isNaN(parse(`{"n":${other}}`).n), other);
  }
});

test('base64url has one form', () => {
  assert.equal(fromBase64url('Zm9v').toString(), 'foo');
  assert.equal(fromBase64url('Zg').toString(), 'f');
  for (const other of ['Zg==', 'Zm9=', 'Zh', '+/+/', 'Z', 'Zm 9v', 'Zm9v\n', 'Zm9v.', 'Zm9ü']) assert.throws(() => fromBase64url(other), other);
});

test('a name has one form', () => {
  const id = '01a3185b-65a0-7d0c-a454-25cc62cdf196';
  assert.ok(isId(id));
  assert.equal(madeAt(id), 0x01a3185b65a0);
  for (const other of [id.toUpperCase(), id.replaceAll('-', ''), `{${id}}`, `${id} `, `${id}\n`, '00000000-0000-4000-8000-000000000000', '01a3185b-65a0-7d0c-c454-25cc62cdf196', 1, null, undefined, [id]]) assert.ok(!isId(other), String(other));
  assert.ok(isClientId(`client-${id}`) && !isClientId(id) && !isClientId(`CLIENT-${id}`));
  assert.ok(isKid('a') && isKid('~'.repeat(128)));
  for (const other of ['', 'a b', 'ä', '~'.repeat(129), 'a\n', 1]) assert.ok(!isKid(other), String(other));
  assert.deepEqual(sessionId(`${id}.0`), [id, 0]);
  assert.deepEqual(sessionId(`${id}.4294967295`), [id, 4294967295]);
  for (const other of ['', '.', id, `${id}.`, `${id}.01`, `${id}.+1`, `${id}.-1`, `${id}.4294967296`, `${id}.1.1`, ` ${id}.1`, `${id}.1\n`, 1, undefined]) assert.equal(sessionId(other), null, String(other));
});
