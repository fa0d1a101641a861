// The absolute timeout of 12 seconds, with an idle timeout of 8, for a user who never stops.

import assert from 'node:assert/strict';
import { cookieOf, deadline, job, newBrowser, play, raw, signedIn, signedOut, until } from './fixture.mjs';

play(async () => {
  const context = await newBrowser();
  const began = performance.now();
  const page = await signedIn(context);
  await page.addLocatorHandler(page.getByRole('dialog'), () => page.keyboard.press('Escape'));
  const firstIdle = await deadline(page, 'idle');
  const end = await deadline(page, 'absolute');
  assert.ok(firstIdle < end);

  // Sends requests until the page says that the session is over.
  let latest = null;
  let cookie = await cookieOf(context);
  let later = 0; // requests after the first idle deadline
  const over = signedOut(page, 'absolute').then(() => true);
  while (!await Promise.race([over, page.waitForTimeout(400)])) {
    const shown = await page.evaluate(() => ({
      idle: Date.parse(document.querySelector('[data-timeout="idle"] time')?.dateTime),
      end: Date.parse(document.querySelector('[data-timeout="absolute"] time')?.dateTime),
    }));
    if (Number.isNaN(shown.idle)) continue;
    assert.equal(shown.end, end, 'nothing moves the absolute end');
    assert.ok(shown.idle <= end, 'the idle deadline is never after it');
    latest = shown;
    if (Date.now() > firstIdle) later += 1;
    await page.getByRole('button', { name: 'Send a request' }).click({ timeout: 2_000 }).catch(() => {});
    cookie = await cookieOf(context) ?? cookie;
  }
  assert.ok(performance.now() - began > 11_000, 'not before its time');
  assert.ok(latest.idle > firstIdle && later > 0, 'the requests had kept it from being idle');
  await until('the last cookie is refused', async () => (await raw('GET', '/session', { cookie })).status === 401);
  await page.goto(job.url);
  await signedOut(page, 'none');
});
