// Checks every view in light and dark: axe's findings, anything wider than the window, and a screenshot.

import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import {
  at, AxeBuilder, cookieOf, expectNoise, expectRefusal, fillSignIn, heading, job, newBrowser, open, play, press, raw, signedIn,
  signedOut, signIn,
} from './fixture.mjs';

const folder = join(job.pictures, 'screenshots');
mkdirSync(folder, { recursive: true });
const faults = [];

expectRefusal(401, '/login');
expectRefusal(400, '/password');

/** Checks a view. The screenshot shows the whole page, or the window: a modal dialog's backdrop covers only that. */
async function look(page, view, fullPage = true) {
  for (const colorScheme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
    const name = `${view}-${job.device}-${colorScheme}`;
    // All of axe's rules, best practices included; in dark mode only those about colours. Legacy mode avoids the second
    // page that axe needs for frames of other origins: there are none.
    const axe = new AxeBuilder({ page }).setLegacyMode();
    const { violations } = await (colorScheme === 'light' ? axe : axe.withRules('color-contrast')).analyze();
    for (const { id, impact, nodes } of violations) {
      faults.push(`${name}: ${impact} ${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join('; ')}`);
    }
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    if (wide > 0) faults.push(`${name}: ${wide} pixels wider than the window`);
    await page.screenshot({ path: join(folder, `${name}.png`), fullPage });
  }
}

/** Opens a page that believes its session to be near its end: a route shortens the server's times. */
async function nearTheEnd(storageState, shorten) {
  const context = await newBrowser({ viewport: job.size, storageState });
  await context.route('**/session', async (route) => {
    const response = await route.fetch();
    const session = await response.json();
    shorten(session, new Date(Date.parse(session.now) + 25_000).toISOString());
    await route.fulfill({ response, json: session });
  });
  // The session header of other answers would correct the times again.
  await context.route('**/sessions', async (route) => {
    const response = await route.fetch();
    const { 'waxseal-session': _, ...headers } = response.headers();
    await route.fulfill({ response, headers });
  });
  const page = await open(context);
  await page.locator('#who').getByText('alice').waitFor();
  return page;
}

const dialog = (page) => page.getByRole('dialog', { name: 'Your session is about to end' });

async function signInViews(context) {
  const page = await open(context);
  await heading(page, 'Sign in').waitFor();
  await look(page, 'sign-in');
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.locator('#password-error', { hasText: 'Enter' }).waitFor();
  await look(page, 'sign-in-missing');
  await fillSignIn(page, 'alice', 'wrong');
  await page.locator('#sign-in-problem', { hasText: 'wrong' }).waitFor();
  await look(page, 'sign-in-wrong');

  const json = JSON.stringify({ status: 429, title: 'Too Many Requests', detail: '', code: 'too_many_requests' });
  const headers = { 'Retry-After': '90', 'Content-Type': 'application/problem+json' };
  expectRefusal(429, '/login');
  await context.route('**/login', (route) => route.fulfill({ status: 429, headers, body: json }));
  await fillSignIn(page, 'alice', 'wrong');
  await page.getByRole('timer', { name: 'Time to wait' }).waitFor();
  await look(page, 'sign-in-wait');
  await context.unroute('**/login');
  await page.close();
}

async function sessionViews(context) {
  const page = await open(context);
  await signIn(page);
  await press(page);
  await press(page, 'Poll in the background');
  await press(page, 'Renew now', 'POST /session/renew');
  await look(page, 'session');

  await page.getByRole('link', { name: 'All sessions' }).click();
  await page.getByRole('heading', { name: 'Firefox on Windows' }).waitFor();
  await page.locator('summary').first().click();
  await page.getByRole('button', { name: 'Reload the list' }).click();
  await page.getByRole('status').getByText('The list is up to date.').waitFor();
  await page.locator('summary').first().click();
  await look(page, 'sessions');

  await page.getByRole('link', { name: 'Password', exact: true }).click();
  await heading(page, 'Change your password').waitFor();
  await look(page, 'password');
  await page.getByLabel('Current password', { exact: true }).fill(job.password);
  await page.getByLabel('New password', { exact: true }).fill('Password1!');
  await page.getByRole('button', { name: 'Change password' }).click();
  await page.locator('#new-error:not(:empty)').waitFor();
  await look(page, 'password-too-common');
  return page;
}

async function endings(context, page) {
  const storageState = await context.storageState();
  const idle = await nearTheEnd(storageState, (session, end) => { session.idle_expires_at = end; });
  await dialog(idle).getByText('You have not been active for a while.').waitFor();
  await look(idle, 'ending-idle', false);
  assert.ok(await dialog(idle).isVisible(), 'it was looked at');
  await idle.close();
  const absolute = await nearTheEnd(storageState, (session, end) => {
    session.idle_expires_at = session.expires_at = end;
  });
  await dialog(absolute).getByText('Your session has nearly reached its maximum length').waitFor();
  await look(absolute, 'ending-absolute', false);
  assert.ok(await dialog(absolute).isVisible(), 'it was looked at');
  await absolute.close();

  const elsewhere = await cookieOf(context);
  assert.equal((await raw('POST', '/logout', { bearer: elsewhere })).status, 204);
  await page.getByRole('link', { name: 'Session', exact: true }).click();
  await page.getByRole('button', { name: 'Send a request' }).click();
  await signedOut(page, 'refused');
  await look(page, 'sign-in-ended');
}

async function unreachable() {
  const context = await newBrowser({ viewport: job.size });
  expectNoise(/^Failed to load resource: net::ERR_CONNECTION_REFUSED$/);
  expectNoise(/^TypeError: Failed to fetch\n/);
  await context.route('**/session', (route) => route.abort('connectionrefused'));
  const page = await open(context);
  await heading(page, 'Not reachable').waitFor();
  await look(page, 'unreachable');
  await context.unroute('**/session');
  await page.getByRole('button', { name: 'Try again' }).click();
  await heading(page, 'Sign in').waitFor();
}

/** The views shown instead of the form and of the session. */
async function instead() {
  const plain = new URL(job.url);
  plain.hostname = 'waxseal.test';
  // Browsers honour the header only over HTTPS and on loopback.
  expectNoise(/^The Cross-Origin-Opener-Policy header has been ignored, because the URL's origin was untrustworthy\./);
  const page = await open(await newBrowser({ viewport: job.size }), at(plain.origin));
  await heading(page, 'Sign-in needs HTTPS').waitFor();
  await look(page, 'plain-http');

  const back = await open(await newBrowser({ viewport: job.size }), `${job.url}/?return_to=/livez`);
  await back.clock.setFixedTime(new Date()); // so that the redirect counts as recent on a slow machine too
  await heading(back, 'Sign in').waitFor();
  await fillSignIn(back, 'alice', job.password);
  await back.waitForURL(`${job.url}/livez`);
  await back.goto(`${job.url}/?return_to=/livez`);
  await heading(back, 'You are signed in').waitFor();
  await look(back, 'sent-back');
}

play(async () => {
  const userAgent = 'Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0';
  await signedIn(await newBrowser({ userAgent }));
  const context = await newBrowser({ viewport: job.size });
  await signInViews(context);
  await endings(context, await sessionViews(context));
  await unreachable();
  await instead();
  assert.deepEqual(faults, []);
});
