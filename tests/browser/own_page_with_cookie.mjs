// The client with the cookie: on a listed origin of the same site, and on one that is not listed.

import assert from 'node:assert/strict';
import { cookieOf, expectNoise, expectRefusal, job, newBrowser, play, raw, until } from './fixture.mjs';
import { events, fetched, idOf, login, openApp, restore, servePage, service, twoTabs } from './own_page.mjs';

play(async () => {
  await servePage({}, job.port);
  const { context, one, two } = await twoTabs(job.port);
  assert.equal(await restore(one), null);

  const id = await login(one);
  const [cookie] = await context.cookies();
  assert.equal(cookie.domain, 'localhost', 'of that host alone: no dot before it');
  assert.equal(await one.evaluate(() => document.cookie), '');
  assert.equal(await fetched(one, `${service}/session`), 200);
  const names = await one.evaluate(async (url) => (await (await client.fetch(url)).json()).username, `${service}/sessions`);
  assert.equal(names, 'alice');
  // The deadlines come in a header that the page can read because its origin is listed.
  assert.equal((await events(one, 'changed')).at(-1).did, 'kept');

  await until('the other tab has heard of the session', async () => await restore(two) === id);
  assert.equal(await fetched(two, `${service}/session`), 200);
  const changed = await one.evaluate(async () => (await client.renew()).id);
  assert.equal(changed, id, 'nothing is due yet');

  await one.evaluate(() => client.logout());
  await until('the other tab has heard of the logout', async () => (await events(two, 'ended')).length > 0);
  for (const tab of [one, two]) {
    assert.deepEqual(await events(tab, 'ended'), [{ type: 'ended', reason: 'logout' }]);
    assert.equal(await idOf(tab), null);
  }
  assert.equal(await cookieOf(context), undefined);
  assert.equal((await raw('GET', '/session', { cookie: cookie.value })).status, 401);

  // A wrong password is a Problem with the server's code.
  expectRefusal(401, '/login');
  const problem = await one.evaluate(() => client.login('alice', 'wrong').catch(
    (error) => [error instanceof Problem, error.status, error.code],
  ));
  assert.deepEqual(problem, [true, 401, 'invalid_credentials']);

  // The same page on an unlisted port: it cannot sign anybody in and sees no session.
  await login(one);
  const before = await cookieOf(context);
  const unlisted = await openApp(context, await servePage({}));
  expectNoise(/^Access to fetch at '.*' from origin 'http:\/\/localhost:\d+' has been blocked by CORS policy: /);
  expectNoise(/^Failed to load resource: net::ERR_FAILED$/);
  const refused = await unlisted.evaluate(([password]) => client.login('mallory', password).then(
    () => 'in', (error) => error.name,
  ), [job.password]);
  assert.equal(refused, 'TypeError');
  assert.equal(await unlisted.evaluate(() => client.restore().then(() => 'answered', (error) => error.name)), 'TypeError');
  assert.equal(await cookieOf(context), before);
  assert.equal(await fetched(one, `${service}/session`), 200);

  const other = await newBrowser();
  const nobody = await openApp(other, job.port);
  assert.equal(await restore(nobody), null);
});
