// What `ready` says of an issuer that cannot be followed.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { describe, test } from 'node:test';
import { Liar, ready, until } from './liar.js';

const SECRET = 'wxs_this-is-the-secret';
const quiet = { maxStaleness: 5, clientSecret: SECRET };
const status = (code) => (response) => response.writeHead(code).end('{"error":"invalid_client"}');

/** Until it is rejected for that: on a busy machine it may have no answer yet. */
async function says(verifier, words) {
  let said;
  await until(String(words), async () => {
    said = await verifier.ready().then(() => 'it is ready', (error) => error);
    return words.every((word) => String(said.message).includes(word));
  });
  assert.ok(said instanceof Error);
  assert.ok(!String(said.stack).includes(SECRET), said.stack);
  return said;
}

const scene = (name, body) => test(name, async () => {
  const liar = await Liar.start();
  try {
    await body(liar);
  } finally {
    liar.close();
  }
});

describe('it is rejected with the cause', { concurrency: 8 }, () => {
  scene('credentials that are wrong, and are right later', async (liar) => {
    liar.lies = { token: status(401) };
    const verifier = liar.verifier(quiet);
    const error = await says(verifier, [liar.url, 'refused the client', '(401)', 'check clientId and clientSecret']);
    assert.equal(error.cause.status, 401);
    assert.equal(verifier.fresh, false);
    liar.lies = {};
    await ready(verifier);
    assert.ok(verifier.fresh);
  });

  scene('a scope that the client does not have', async (liar) => {
    liar.lies = { token: status(400) };
    await says(liar.verifier(quiet), [liar.url, 'needs the scope revocations:read']);
  });

  scene('an issuer of another name', async (liar) => {
    await says(liar.verifier({ ...quiet, issuer: 'https://other.example' }), ['says that it is "https://issuer.example", and not "https://other.example"']);
  });

  scene('an issuer that is ill', async (liar) => {
    liar.lies = { token: status(503) };
    await says(liar.verifier(quiet), [liar.url, '/oauth/token answered 503', 'look at its log']);
  });

  scene('an issuer that is silent', async (liar) => {
    liar.lies = { token: () => {} };
    await says(liar.verifier({ ...quiet, maxStaleness: 3600 }), [liar.url, 'has not answered in full within 4 s']);
  });

  scene('no TLS where TLS is expected', async (liar) => {
    await says(liar.verifier({ ...quiet, at: liar.url.replace('http:', 'https:') }), ['no secure connection', 'its certificate']);
  });

  test('an address where another service is', async () => {
    const other = createServer((_, response) => response.writeHead(404).end());
    await new Promise((resolve) => { other.listen(0, '127.0.0.1', resolve); });
    const liar = await Liar.start();
    try {
      const at = `http://127.0.0.1:${other.address().port}/auth`;
      await says(liar.verifier({ ...quiet, at }), [at, 'answered 404', 'check the address']);
    } finally {
      liar.close();
      other.closeAllConnections();
      other.close();
    }
  });

  scene('an issuer that is down, and comes up later', async (liar) => {
    const { port } = liar.server.address();
    liar.server.closeAllConnections();
    await new Promise((resolve) => { liar.server.close(resolve); });
    const verifier = liar.verifier(quiet);
    await says(verifier, [liar.url, 'cannot be reached', 'ECONNREFUSED', 'check the address, and that the issuer runs']);
    await new Promise((resolve) => { liar.server.listen(port, '127.0.0.1', resolve); });
    await ready(verifier);
  });

  scene('a verifier that is closed', async (liar) => {
    liar.lies = { token: () => {} };
    const verifier = liar.verifier(quiet);
    const waiting = verifier.ready();
    verifier.close();
    await assert.rejects(waiting, /the verifier is closed/);
    await assert.rejects(verifier.ready(), /the verifier is closed/);
  });
});

scene('an issuer that asks to be left alone for long is asked again in half of the time that is left, and not before', async (liar) => {
  const verifier = liar.verifier({ ...quiet, maxStaleness: 4 });
  await ready(verifier);
  liar.lies = { response: (response) => response.writeHead(429, { 'Retry-After': '3600' }).end('{"code":"too_many_requests"}') };
  const asked = () => liar.asked.pages.length;
  const before = asked();
  await until('it is told', () => asked() > before);
  await new Promise((resolve) => { setTimeout(resolve, 1300); });
  // Without the header it asks each second.
  assert.equal(asked(), before + 1);
  liar.lies = {};
  await until('it asks again', () => asked() > before + 1);
});
