// Pages that try to act as the signed-in user: one on another site, one on another port of the same site.

import assert from 'node:assert/strict';
import {
  byName, cookieOf, expectNoise, expectRefusal, heading, job, newBrowser, open, play, press, raw, serve, sessionId, signIn,
  until,
} from './fixture.mjs';

const service = byName();
const resources = ['/login', '/logout', '/session/renew', '/password'];
const own = { username: 'mallory', password: job.password, delivery: 'cookie' };

const page = (body) => `<!doctype html><html lang="en"><title>Kittens</title><link rel="icon" href="data:,">${body}</html>`;

/** A form that submits itself. JSON goes into its only field's name; the rest of the body ends up in a string. */
function form(resource, enctype) {
  const json = JSON.stringify({ ...own, scope: 'all', x: '' }).slice(0, -2).replaceAll('"', '&quot;');
  const fields = enctype === 'text/plain'
    ? `<input name="${json}" value="&quot;}">`
    : Object.entries({ ...own, scope: 'all' }).map(([name, value]) => `<input name="${name}" value="${value}">`).join('');
  return page(`<form method="post" action="${service}${resource}" enctype="${enctype}">${fields}<button>Kittens</button></form>`);
}

function answer(request, response) {
  const url = new URL(request.url, 'http://here');
  const [resource, enctype] = [url.searchParams.get('resource'), url.searchParams.get('enctype')];
  response.setHeader('Content-Type', 'text/html; charset=utf-8');
  if (resource) response.end(form(resource, enctype));
  else if (url.pathname === '/frame') response.end(page(`<iframe src="${service}/" title="Kittens"></iframe>`));
  else response.end(page('<p>Kittens</p>'));
}

async function forms(context, attacker) {
  for (const resource of resources) {
    for (const enctype of ['application/x-www-form-urlencoded', 'text/plain', 'multipart/form-data']) {
      const tab = await open(context, `${attacker}/?${new URLSearchParams({ resource, enctype })}`);
      const answered = tab.waitForResponse((response) => new URL(response.url()).pathname === resource);
      await tab.getByRole('button', { name: 'Kittens' }).click();
      const response = await answered;
      const refused = `${enctype} to ${resource}: ${response.status()}`;
      assert.ok([400, 401, 403, 415].includes(response.status()), refused);
      const headers = await response.headersArray();
      const cookies = headers.filter(({ name }) => name.toLowerCase() === 'set-cookie');
      assert.deepEqual(cookies, [], refused);
      await tab.close();
    }
  }
}

async function scripts(context, attacker) {
  const tab = await open(context, attacker);
  await tab.evaluate(async ([service, resources, body]) => {
    for (const resource of resources) {
      for (const type of ['text/plain', 'application/x-www-form-urlencoded']) {
        const init = { method: 'POST', mode: 'no-cors', credentials: 'include', body: new Blob([body], { type }) };
        await fetch(service + resource, init).catch(() => {});
        navigator.sendBeacon(service + resource, new Blob([body], { type }));
      }
      // A request that needs a preflight is refused there.
      const json = { method: 'POST', credentials: 'include', body, headers: { 'Content-Type': 'application/json' } };
      await fetch(service + resource, json).then(() => { throw new Error('it may read the answer'); }, () => {});
    }
  }, [service, resources, JSON.stringify({ ...own, scope: 'all' })]);
  // Nor can the page read who is signed in.
  const read = await tab.evaluate((service) => fetch(`${service}/session`, { credentials: 'include' }).then(
    () => 'read', (error) => error.name,
  ), service);
  assert.equal(read, 'TypeError');
  await tab.close();
}

async function frame(context, attacker) {
  const tab = await context.newPage();
  const refused = tab.waitForEvent('console', (message) => /frame-ancestors 'none'/.test(message.text()));
  await tab.goto(`${attacker}/frame`);
  await refused;
  await until('there is nothing in the frame', () => tab.frames()[1].url().startsWith('chrome-error:'));
  await tab.close();
}

const sessionsOf = async (bearer) => (await raw('GET', '/sessions', { bearer })).body.sessions.map(({ id }) => id);

play(async () => {
  const port = await serve(answer);
  const context = await newBrowser();
  const user = await open(context, service);
  await signIn(user);
  const [id, cookie] = [await sessionId(user), await cookieOf(context)];
  const login = await raw('POST', '/login', { json: { ...own, delivery: 'bearer' } });
  const ofMallory = login.body.access_token;
  const before = [await sessionsOf(ofMallory), await sessionsOf(cookie)];
  assert.deepEqual(before.map(({ length }) => length), [1, 1]);

  // On the attackers' pages the browser logs what it blocks; on the user's page it logs nothing.
  for (const resource of resources) for (const status of [400, 401, 403, 415]) expectRefusal(status, resource);
  expectNoise(/^Access to fetch at '.*' from origin 'http:\/\/(127\.0\.0\.1|localhost):\d+' has been blocked by CORS policy: /);
  expectNoise(/^Failed to load resource: net::ERR_FAILED$/);
  expectNoise(/^(Refused to frame|Framing) '.*' .*frame-ancestors 'none'/);

  await Promise.all([`http://127.0.0.1:${port}`, `http://localhost:${port}`].map(async (attacker) => {
    await forms(context, attacker);
    await scripts(context, attacker);
    await frame(context, attacker);
    assert.equal(await cookieOf(context), cookie, `${attacker}: the cookie is as it was`);
  }));

  assert.deepEqual([await sessionsOf(ofMallory), await sessionsOf(cookie)], before, 'no session began or ended');
  assert.equal(await press(user), 'kept');
  assert.equal(await sessionId(user), id);
  await user.reload();
  await heading(user, 'Your session').waitFor();
  await user.locator('#who').getByText('alice').waitFor();
  assert.equal(await sessionId(user), id);
  assert.equal((await raw('POST', '/login', { json: own })).status, 200, 'the passwords are as they were');
});
