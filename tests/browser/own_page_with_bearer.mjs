// The client with a bearer token: one session for all tabs, and no other host receives the token. The idle timeout is
// 12 seconds, the renewal timeout 4.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { expectNoise, expectRefusal, job, play, raw, serve, until } from './fixture.mjs';
import { events, fetched, idOf, login, restore, servePage, service, twoTabs } from './own_page.mjs';

const tokens = new Set(); // tokens that any tab sent to the service
let renewals = 0;
const stray = []; // Authorization headers sent to other hosts

function listen(context) {
  context.on('request', async (request) => {
    const url = new URL(request.url());
    const { authorization } = request.headers();
    if (url.origin !== service) return authorization && stray.push(url.href);
    if (authorization) tokens.add(authorization.replace(/^Bearer /, ''));
    if (request.method() === 'POST' && url.pathname === '/session/renew') renewals += 1;
  });
}

async function storesNothing(context, tabs) {
  assert.ok(tokens.size > 0);
  const state = JSON.stringify(await context.storageState({ indexedDB: true }));
  assert.deepEqual(JSON.parse(state), { cookies: [], origins: [] });
  for (const tab of tabs) {
    const readable = await tab.evaluate(async () => JSON.stringify([
      document.cookie, { ...localStorage }, { ...sessionStorage }, window.name, history.state, location.href,
      await caches.keys(), await indexedDB.databases(), client, client.session, document.documentElement.outerHTML,
    ]));
    for (const token of tokens) assert.ok(!readable.includes(token), 'no script but the client has the token');
  }
}

/** The client renews once per due renewal, whichever tabs ask and however many. */
async function renewsOnce(tabs, generation) {
  for (const tab of tabs) {
    await until('the renewal is due', () => tab.evaluate(() => client.remaining().renewal === 0));
  }
  const [one, two] = tabs;
  const asks = [one, two, one, two, one].map((tab) => fetched(tab, `${service}/session`));
  assert.deepEqual(await Promise.all(asks), [200, 200, 200, 200, 200]);
  await until('both tabs have the new session ID', async () => {
    const ids = await Promise.all(tabs.map(idOf));
    return ids[0] === ids[1] && ids[0].endsWith(`.${generation}`);
  });
  assert.equal(renewals, generation, 'one request for both tabs');
}

async function goesNowhereElse(page) {
  const heard = [];
  const other = await serve((request, response) => {
    heard.push(request.headers);
    response.setHeader('Access-Control-Allow-Origin', `http://localhost:${job.port}`);
    response.setHeader('Access-Control-Allow-Credentials', 'true');
    response.setHeader('Access-Control-Allow-Headers', 'authorization, waxseal-activity');
    response.end();
  });
  for (const host of ['localhost', '127.0.0.1']) {
    assert.equal(await fetched(page, `http://${host}:${other}/`), 200);
    assert.equal(await fetched(page, `http://${host}:${other}/`, { credentials: 'include', background: true }), 200);
  }
  assert.equal(await fetched(page, '/'), 200, 'the page itself is not the service either');
  // The service under its address is not the base URL.
  expectNoise(/^Access to fetch at .* has been blocked by CORS policy: /);
  expectNoise(/^Failed to load resource: net::ERR_FAILED$/);
  await fetched(page, `${job.url}/session`);
  assert.ok(heard.length >= 4);
  for (const headers of heard) {
    assert.ok(!('authorization' in headers), 'not to another origin');
    for (const token of tokens) assert.ok(!JSON.stringify(headers).includes(token));
  }
  assert.deepEqual(stray, []);
}

/** Neither a missing answer nor an inconclusive one ends a session. */
async function outlivesAnOutage(context, [one, two]) {
  process.kill(job.pid, 'SIGSTOP');
  try {
    // The process's threads do not all stop at once.
    const tasks = `/proc/${job.pid}/task`;
    const stopped = (task) => /\) T /.test(readFileSync(`${tasks}/${task}/stat`, 'utf8'));
    await until('the service stands still', () => readdirSync(tasks).every(stopped));
    assert.equal(await fetched(one, `${service}/session`, {}, 1_000), 'TimeoutError');
  } finally {
    process.kill(job.pid, 'SIGCONT');
  }
  assert.equal(await fetched(one, `${service}/session`), 200);

  expectRefusal(503, '/session');
  const headers = { 'Access-Control-Allow-Origin': `http://localhost:${job.port}`, 'Retry-After': '1' };
  await context.route(`${service}/session*`, (route) => (
    route.request().method() === 'OPTIONS' ? route.fallback() : route.fulfill({ status: 503, headers })
  ));
  assert.equal(await fetched(one, `${service}/session`), 503);
  assert.equal(await fetched(two, `${service}/session`), 503);
  await context.unroute(`${service}/session*`);
  for (const tab of [one, two]) {
    assert.deepEqual(await events(tab, 'ended'), []);
    assert.notEqual(await idOf(tab), null);
  }
}

/** A new password ends every earlier token, the other tab's too, but no session of the two. */
async function aNewPassword(tabs) {
  const [one, two] = tabs;
  const passwords = [job.password, 'another horse entirely', job.password];
  for (const [changes, tab] of [one, two].entries()) {
    const before = [...tokens];
    const id = await idOf(one);
    const { status } = await raw('GET', '/session', { bearer: before.at(-1) });
    assert.equal(status, 200, 'the last one is good');
    const changed = await tab.evaluate(
      ([current, next]) => client.changePassword(current, next).then(({ id }) => id), passwords.slice(changes),
    );
    assert.notEqual(changed, id);
    await until('both tabs have the new session ID', async () => await idOf(one) === changed && await idOf(two) === changed);
    for (const bearer of before) {
      assert.equal((await raw('GET', '/session', { bearer })).status, 401);
      assert.equal((await raw('POST', '/session/renew', { bearer })).status, 401);
    }
    for (const tab of tabs) {
      assert.equal(await fetched(tab, `${service}/session`), 200);
      assert.deepEqual(await events(tab, 'ended'), []);
    }
  }
}

async function endsByItself(tabs) {
  for (const tab of tabs) {
    const [{ timeout, seconds }] = await until('about-to-end', async () => {
      const found = await events(tab, 'about-to-end');
      return found.length && found;
    });
    assert.equal(timeout, 'idle');
    assert.ok(seconds >= 0 && seconds <= 4, `${seconds}`);
  }
  for (const tab of tabs) {
    await until('ended', async () => (await events(tab, 'ended')).length > 0);
    assert.deepEqual(await events(tab, 'ended'), [{ type: 'ended', reason: 'idle' }]);
    assert.equal(await idOf(tab), null);
  }
  const last = [...tokens].at(-1);
  await until('its token is refused', async () => (await raw('GET', '/session', { bearer: last })).status === 401);
}

async function endedElsewhere([one, two]) {
  const id = await login(one);
  await until('the other tab has it too', async () => await restore(two) === id);
  assert.equal(await fetched(two, `${service}/session`), 200);
  const bearer = [...tokens].at(-1);
  assert.equal((await raw('POST', '/logout', { bearer })).status, 204);
  assert.equal(await fetched(two, `${service}/session`), 401);
  for (const tab of [one, two]) {
    await until('it is refused in both tabs', async () => (await events(tab, 'ended')).length === 2);
    assert.deepEqual((await events(tab, 'ended')).at(-1), { type: 'ended', reason: 'refused' });
  }
}

play(async () => {
  await servePage({ delivery: 'bearer', aboutToEnd: 4 }, job.port);
  const { context, one, two } = await twoTabs(job.port);
  listen(context);
  const id = await login(one);
  assert.equal(await restore(two), id, 'the other tab has it without a login');
  assert.equal(await fetched(two, `${service}/session`), 200);
  assert.equal(renewals, 0);
  await storesNothing(context, [one, two]);

  await renewsOnce([one, two], 1);
  await goesNowhereElse(one);
  await renewsOnce([two, one], 2);
  await outlivesAnOutage(context, [one, two]);
  await storesNothing(context, [one, two]);
  await aNewPassword([one, two]);
  await endsByItself([one, two]);
  await endedElsewhere([one, two]);
});
