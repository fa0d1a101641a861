// A person without a session opens a protected page behind a proxy, signs in, and is there.

import assert from 'node:assert/strict';
import { at, COOKIE, fillSignIn, heading, job, newBrowser, open, play, reasons } from './stage.mjs';

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

  // Whoever is signed in goes there at once, and what the proxy asks with the cookie comes back to the browser.
  await tab.goto(`${edge}/?return_to=${encodeURIComponent(page('?x=2'))}`);
  await tab.waitForURL(edge + page('?x=2'));
  await tab.getByText('the service answers').waitFor();

  // A page that sends people back is opened once more, and not without end.
  const sends = await context.newPage();
  await sends.clock.setFixedTime(new Date()); // however slow the machine is, it went there just now
  await sends.goto(`${edge}/api/sends-back`);
  await heading(sends, 'You are signed in').waitFor();
  await sends.getByText('sent you back here, although you are signed in').waitFor();
  assert.equal(sends.url(), `${edge}/?return_to=/api/sends-back`);
  await sends.getByRole('button', { name: 'Your session' }).click();
  await heading(sends, 'Your session').waitFor();

  // A session that ends while the page is looked at: its next load leads to sign-in, and back.
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
