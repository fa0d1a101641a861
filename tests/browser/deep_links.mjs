// A user without a session opens a protected page behind a proxy, signs in, and arrives there.

import assert from 'node:assert/strict';
import { at, COOKIE, fillSignIn, heading, job, newBrowser, open, play, reasons } from './fixture.mjs';

const page = (query) => `/api/page${query}`;

async function deepLink(edge) {
  const context = await newBrowser();
  const link = edge + page('?x=1&y=%2F%20z#part');
  const tab = await open(context, link);
  await heading(tab, 'Sign in').waitFor();
  assert.equal(tab.url(), `${edge}/?return_to=/api/page?x=1&y=%2F%20z#part`, 'the browser carries the fragment over');
  assert.equal(await tab.locator('#reason').textContent(), reasons.onward);
  await fillSignIn(tab, 'alice', job.password);
  await tab.getByText('the service answers').waitFor();
  assert.equal(tab.url(), link);

  // A signed-in user arrives at once, and the cookie renewed by the proxy's request reaches the browser.
  await tab.goto(`${edge}/?return_to=${encodeURIComponent(page('?x=2'))}`);
  await tab.waitForURL(edge + page('?x=2'));
  await tab.getByText('the service answers').waitFor();

  // A page that redirects back to sign-in is opened once more, without a loop.
  const sends = await context.newPage();
  await sends.clock.setFixedTime(new Date()); // so that the redirect counts as recent on a slow machine too
  await sends.goto(`${edge}/api/sends-back`);
  await heading(sends, 'You are signed in').waitFor();
  await sends.getByText('sent you back here, although you are signed in').waitFor();
  assert.equal(sends.url(), `${edge}/?return_to=/api/sends-back`);
  await sends.getByRole('button', { name: 'Your session' }).click();
  await heading(sends, 'Your session').waitFor();

  // The session ends while the page is open: the next load leads to sign-in and back.
  await sends.getByRole('button', { name: 'Sign out', exact: true }).click();
  await heading(sends, 'Sign in').waitFor();
  assert.ok((await context.cookies()).every(({ name }) => name !== COOKIE), 'only the cookies of the service are left');
  await tab.reload();
  await heading(tab, 'Sign in').waitFor();
  await fillSignIn(tab, 'alice', job.password);
  await tab.waitForURL(edge + page('?x=2'));
  await context.close();
}

play(async () => {
  for (const edge of job.edges) await deepLink(at(edge));
});
