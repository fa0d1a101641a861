// A gateway with Basic authentication in front of everything, as on many staging sites: the browser sends its
// credentials with each request, next to the session cookie.

import assert from 'node:assert/strict';
import { COOKIE, expectRefusal, fillSignIn, heading, job, newBrowser, open, play, press, signedOut } from './fixture.mjs';

// Chromium fetches icons on its own, at first without the credentials.
for (const path of ['/pages/icon.svg', '/favicon.ico']) expectRefusal(401, path);

play(async () => {
  const context = await newBrowser({ httpCredentials: job.gate });
  const link = `${job.url}/api/page`;
  const page = await open(context, link);
  await heading(page, 'Sign in').waitFor();
  await fillSignIn(page, 'alice', job.password);
  await page.waitForURL(link);
  await page.getByText('the service answers').waitFor();

  const pages = await open(context);
  await heading(pages, 'Your session').waitFor();
  assert.equal(await press(pages), 'kept');
  await pages.getByRole('link', { name: 'All sessions' }).click();
  await pages.getByText('This session', { exact: true }).waitFor();
  await pages.getByRole('button', { name: 'Sign out', exact: true }).click();
  await signedOut(pages, 'here');
  assert.ok((await context.cookies()).every(({ name }) => name !== COOKIE), 'only the cookies of the service are left');
});
