// The idle timeout of 10 seconds: only requests by the user move it.

import assert from 'node:assert/strict';
import { cookieOf, deadline, newBrowser, play, press, raw, signedIn, signedOut, until } from './fixture.mjs';

const IDLE = 10_000;
const TOUCH_INTERVAL = 2_000; // a quarter of the idle timeout, in whole seconds

/** The dialog appears before the end, and "Stay signed in" moves the end. */
async function stay(page) {
  const dialog = page.getByRole('dialog', { name: 'Your session is about to end' });
  await dialog.waitFor();
  await dialog.getByText('You will be signed out in').waitFor();
  const before = await deadline(page, 'idle');
  // After more than a second, the deadline in whole seconds is a later one.
  await page.waitForTimeout(1_100);
  await dialog.getByRole('button', { name: 'Stay signed in' }).click();
  await until('the deadline has moved', async () => await deadline(page, 'idle') > before);
  await dialog.waitFor({ state: 'hidden' });
  await page.locator('#log .request', { hasText: 'POST /session/renew' }).waitFor();
}

async function doNothing() {
  const context = await newBrowser();
  const page = await signedIn(context);
  await stay(page);
  const stayed = performance.now();
  const cookie = await cookieOf(context);
  await signedOut(page, 'idle');
  assert.ok(performance.now() - stayed > IDLE - TOUCH_INTERVAL - 500, 'not before its time');
  await until('the old cookie is refused', async () => (await raw('GET', '/session', { cookie })).status === 401);
  await page.reload();
  await signedOut(page, 'none');
  // The page's own requests clear no cookie: another tab may have signed in meanwhile.
  assert.equal(await page.evaluate(() => fetch('/session').then(({ status }) => status)), 401);
  assert.equal(await cookieOf(context), undefined, 'a dead cookie is taken away');
}

async function poll() {
  const context = await newBrowser();
  const page = await signedIn(context);
  await stay(page);
  // The dialog may reappear meanwhile; the user of a polling page is not there to answer it.
  await page.addLocatorHandler(page.getByRole('dialog'), () => page.keyboard.press('Escape'));
  const ends = await deadline(page, 'idle');
  const cookie = await cookieOf(context);
  let polls = 0;
  const over = signedOut(page, 'idle').then(() => 'over');
  const button = page.getByRole('button', { name: 'Poll in the background' });
  while (await Promise.race([over, page.waitForTimeout(700)]) !== 'over') {
    // The session may end between this check and the press, or during the poll.
    if (await button.count() === 0) continue;
    const did = await Promise.race([over, press(page, 'Poll in the background').catch(() => over)]);
    if (did === 'over') break;
    polls += 1;
    assert.equal(did, 'kept');
    const shown = await Promise.race([over, deadline(page, 'idle').catch(() => over)]);
    if (shown !== 'over') assert.equal(shown, ends, 'a poll does not move the end');
  }
  assert.ok(polls >= 3, `there were polls: ${polls}`);
  await until('the old cookie is refused', async () => (await raw('GET', '/session', { cookie })).status === 401);
}

play(() => Promise.all([doNothing(), poll()]));
