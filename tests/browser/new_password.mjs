// The first user changes the initial password in one of two tabs: both continue, and a copy of the old cookie is dead.

import assert from 'node:assert/strict';
import { cookieOf, heading, job, newBrowser, open, play, press, raw, sessionId, signIn, until } from './fixture.mjs';

const fresh = 'another horse entirely';
const notice = (page) => page.locator('#change-required');

async function generationOf(page) {
  return Number((await sessionId(page)).split('.')[1]);
}

play(async () => {
  const context = await newBrowser();
  const page = await open(context);
  await heading(page, 'Sign in').waitFor();
  assert.equal(await notice(page).textContent(), '', 'a stranger is not told');
  await signIn(page, 'admin', job.initial);
  await page.locator('#who').getByText('admin').waitFor();
  const tab = await open(context);
  await heading(tab, 'Your session').waitFor();
  for (const each of [page, tab]) {
    await notice(each).getByText('You have an initial password').waitFor();
    const by = Date.parse(await notice(each).locator('time').getAttribute('datetime'));
    assert.ok(by > Date.now() && by <= Date.now() + 3_600_000, `${by}`);
  }

  const copy = await cookieOf(context);
  await notice(page).getByRole('link', { name: 'Change it' }).click();
  await heading(page, 'Change your password').waitFor();
  assert.ok(await notice(page).isVisible(), 'every view says so');
  await page.getByLabel('Current password', { exact: true }).fill(job.initial);
  await page.getByLabel('New password', { exact: true }).fill(fresh);
  await page.getByRole('button', { name: 'Change password' }).click();
  await page.getByRole('status').getByText('Your password is changed').waitFor();

  // The cookie is replaced, and both tabs continue in the same session.
  const mine = await cookieOf(context);
  assert.notEqual(mine, copy);
  await until('the other tab has the new session ID', async () => await generationOf(tab) === 1);
  for (const each of [page, tab]) await until('the notice is gone', async () => await notice(each).isHidden());

  // The copy gains nothing, however it is presented, and ends nothing.
  for (const presented of [{ cookie: copy, headers: { 'sec-fetch-site': 'same-origin' } }, { bearer: copy }]) {
    for (const [method, path] of [['GET', '/session'], ['POST', '/session/renew'], ['POST', '/logout'], ['GET', '/verify']]) {
      assert.equal((await raw(method, path, presented)).status, 401, `${method} ${path}`);
    }
  }
  assert.equal(await press(tab), 'kept');
  await page.getByRole('link', { name: 'Session', exact: true }).click();
  await heading(page, 'Your session').waitFor();
  assert.equal(await press(page), 'kept');
  for (const each of [page, tab]) {
    assert.equal(await generationOf(each), 1);
    await each.reload();
    await heading(each, 'Your session').waitFor();
    assert.equal(await notice(each).textContent(), '');
  }
  assert.equal(await cookieOf(context), mine);
});
