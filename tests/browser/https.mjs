// HTTPS by the service itself, under a host name other than loopback's.

import assert from 'node:assert/strict';
import { COOKIE, fillSignIn, heading, job, newBrowser, open, play, press, signedOut } from './fixture.mjs';

play(async () => {
  const context = await newBrowser({ ignoreHTTPSErrors: true });
  const page = await open(context);
  assert.equal(await page.evaluate(() => isSecureContext), true, job.url);
  await heading(page, 'Sign in').waitFor();
  await fillSignIn(page, 'alice', job.password);
  await heading(page, 'Your session').waitFor();
  assert.equal(await press(page), 'kept');
  const [cookie] = (await context.cookies()).filter(({ name }) => name === COOKIE);
  assert.deepEqual([cookie.secure, cookie.httpOnly, cookie.domain], [true, true, 'waxseal.test']);
  await page.getByRole('button', { name: 'Sign out', exact: true }).click();
  await signedOut(page, 'here');
});
