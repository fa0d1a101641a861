// Failed logins: a wrong password, the limit (3 at once, then one every 6 seconds), and an unreachable service.

import assert from 'node:assert/strict';
import { expectNoise, expectRefusal, fillSignIn, heading, job, newBrowser, open, play, signedIn, signIn } from './fixture.mjs';

expectRefusal(401, '/login');
expectRefusal(429, '/login');

const problem = (page, text) => page.locator('#sign-in-problem', { hasText: text }).waitFor();
const typed = async (page) => [
  await page.getByLabel('Username').inputValue(), await page.getByLabel('Password', { exact: true }).inputValue(),
];

play(async () => {
  // mallory signs in first and stays signed in. The network is known for her, so the limits below do not affect her.
  const stays = await signedIn(await newBrowser(), 'mallory');
  const page = await open(await newBrowser());

  await page.getByLabel('Username').fill(' ');
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.locator('#username-error', { hasText: 'Enter your username.' }).waitFor();
  await page.locator('#password-error', { hasText: 'Enter your password.' }).waitFor();

  for (const password of ['wrong', 'still wrong', 'wrong again']) {
    // Pasted names come with white space around them.
    await fillSignIn(page, '\u00a0 alice\t', password);
    await problem(page, 'The username or the password is wrong.');
    assert.deepEqual(await typed(page), ['alice', password]);
  }
  await fillSignIn(page, 'alice', job.password);
  await problem(page, /^Too many attempts\. Wait \d+ seconds?, then try again\.$/);
  await page.getByRole('timer', { name: 'Time to wait' }).waitFor();
  const submit = page.getByRole('button', { name: 'Sign in' });
  assert.equal(await submit.getAttribute('aria-disabled'), 'true');
  await problem(page, 'You can try again now.');
  assert.deepEqual(await typed(page), ['alice', job.password]);
  await submit.click();
  await heading(page, 'Your session').waitFor();

  // The service does not answer.
  await page.getByRole('button', { name: 'Sign out', exact: true }).click();
  await heading(page, 'Sign in').waitFor();
  expectNoise(/^Failed to load resource: net::ERR_(CONNECTION_REFUSED|EMPTY_RESPONSE|CONNECTION_RESET|SOCKET_NOT_CONNECTED)$/);
  expectNoise(/^TypeError: Failed to fetch\n/); // the pages' own log of it
  process.kill(job.pid, 'SIGKILL');
  await fillSignIn(page, 'alice', job.password);
  await problem(page, 'Waxseal cannot be reached. Try again in a moment.');
  assert.deepEqual(await typed(page), ['alice', job.password]);

  // A signed-in user stays so on the page, and is told.
  await stays.getByRole('button', { name: 'Send a request' }).click();
  await stays.getByRole('alert').getByText('Waxseal cannot be reached. Try again in a moment.').waitFor();
  await heading(stays, 'Your session').waitFor();
  await stays.getByRole('button', { name: 'Sign out', exact: true }).click();
  await stays.getByRole('alert').getByText(/^You may still be signed in\. Waxseal cannot be reached\./).waitFor();
  await heading(stays, 'Your session').waitFor();
});
