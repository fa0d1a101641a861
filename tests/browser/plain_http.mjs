// A browser that keeps no session cookie: over plain HTTP, and with cookies blocked by its user.

import assert from 'node:assert/strict';
import {
  at, expectNoise, expectRefusal, fillSignIn, heading, job, newBrowser, newBrowserWithPreferences, open, play, reasons, signedOut,
} from './fixture.mjs';

play(async () => {
  // Browsers honour the header only over HTTPS and on loopback.
  expectNoise(/^The Cross-Origin-Opener-Policy header has been ignored, because the URL's origin was untrustworthy\./);
  const page = await open(await newBrowser());
  assert.equal(await page.evaluate(() => isSecureContext), false, job.url);
  await heading(page, 'Sign-in needs HTTPS').waitFor();
  assert.equal(await page.getByRole('textbox').count(), 0, 'nothing can be typed');
  await page.getByText('Sign in', { exact: true }).waitFor({ state: 'detached' });
  for (const words of ['https:// address', 'WAXSEAL_ISSUER', `http://localhost:${new URL(job.url).port}`]) {
    await page.getByText(words).first().waitFor();
  }

  // The user has blocked all cookies. The login succeeds, and the next request carries no cookie.
  expectRefusal(401, '/sessions');
  expectNoise(/^(Error|Problem): /); // the pages' own log of it
  const blocked = await newBrowserWithPreferences({ profile: { default_content_setting_values: { cookies: 2 } } });
  for (const query of ['', '/?return_to=/livez']) {
    const tab = await open(blocked, at(job.loopback) + query);
    await heading(tab, 'Sign in').waitFor();
    const login = tab.waitForResponse((response) => new URL(response.url()).pathname === '/login');
    await fillSignIn(tab, 'alice', job.password);
    assert.equal((await login).status(), 200);
    await tab.locator('#reason', { hasText: reasons.noCookie }).waitFor();
    await signedOut(tab, 'noCookie');
    assert.equal(tab.url(), at(job.loopback) + (query || '/'));
  }
});
