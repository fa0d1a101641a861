// Waxseal below a path: nginx strips /auth from each request.

import assert from 'node:assert/strict';
import {
  COOKIE, cookieOf, expectRefusal, fillSignIn, heading, job, left, newBrowser, open, play, press, sessionId, signedOut, signIn, until,
} from './fixture.mjs';

expectRefusal(401, '/auth/session');
const password = 'a new horse, a new battery';

play(async () => {
  const context = await newBrowser();
  const outside = [];
  context.on('request', (request) => {
    if (!request.url().startsWith(job.url)) outside.push(request.url());
  });
  // Without the trailing slash.
  const page = await open(context, job.url);
  await heading(page, 'Sign in').waitFor();
  assert.equal(page.url(), `${job.url}/`);
  await signIn(page);
  await page.locator('#who').getByText('alice').waitFor();
  const [cookie] = await context.cookies();
  assert.deepEqual([cookie.name, cookie.path], [COOKIE, '/'], 'the name allows no other path');

  await until('the renewal is due', async () => await left(page, 'renewal') === 0);
  const first = await sessionId(page);
  assert.equal(await press(page), 'renewed');
  assert.notEqual(await sessionId(page), first);
  assert.notEqual(await cookieOf(context), cookie.value);

  const tab = await open(context, `${job.url}/#/sessions`);
  await tab.getByText('This session', { exact: true }).waitFor();

  // The path where an OAuth client looks for the metadata.
  const metadata = await context.request.get(new URL('/.well-known/oauth-authorization-server/auth', job.url).href);
  assert.match((await metadata.json()).token_endpoint, /\/oauth\/token$/);

  // The path that a password manager opens.
  await page.goto(`${job.url}/.well-known/change-password`);
  await heading(page, 'Change your password').waitFor();
  assert.equal(page.url(), `${job.url}/#/password`);
  await page.getByLabel('Current password', { exact: true }).fill(job.password);
  await page.getByLabel('New password', { exact: true }).fill(password);
  await page.getByRole('button', { name: 'Change password' }).click();
  await page.getByRole('status').getByText('Your password is changed').waitFor();
  await page.reload();
  await heading(page, 'Change your password').waitFor();

  await page.getByRole('button', { name: 'Sign out', exact: true }).click();
  await signedOut(page, 'here');
  await signedOut(tab, 'logout');
  assert.equal(await cookieOf(context), undefined);
  assert.equal(page.url(), `${job.url}/#/session`);

  // Signed out, that address leads to sign-in first, then to the password form.
  await page.goto(new URL('/.well-known/change-password', job.url).href);
  await heading(page, 'Sign in').waitFor();
  await fillSignIn(page, 'alice', password);
  await heading(page, 'Change your password').waitFor();
  assert.equal(page.url(), `${job.url}/#/password`);

  // A `return_to` path is relative to the host.
  await page.goto(`${job.url}/?return_to=/auth/livez`);
  await page.waitForURL(`${job.url}/livez`);
  assert.deepEqual(outside, [new URL('/.well-known/change-password', job.url).href]);
});
