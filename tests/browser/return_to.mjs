// The `return_to` address of a link to the sign-in page: on this origin or a listed one, and nowhere else.

import assert from 'node:assert/strict';
import { heading, job, newBrowser, open, play, reasons, serve, signedIn, signIn } from './fixture.mjs';

const listed = 'https://app.example';

// [the value of `return_to`, the address it leads to on this origin]
const good = [
  ['/wiki/page?x=1', '/wiki/page?x=1'],
  ['/wiki/page?x=1&y=/z?', '/wiki/page?x=1&y=/z?'],
  ['/wiki/a%20b?x=%2F%3F&y=%26', '/wiki/a%20b?x=%2F%3F&y=%26'],
  ['/', '/'],
  ['/@alice', '/@alice'],
  ['%2Fwiki%2Fpage%3Fx%3D1%26y%3D2', '/wiki/page?x=1&y=2'],
  ['%2Fwiki%2Fpage%3Fx%3D1%26y%3D2&z=3', '/wiki/page?x=1&y=2'],
  ['%2fwiki%2fpage%23part', '/wiki/page#part'],
  [`${listed}/inbox?x=1&y=2`, `${listed}/inbox?x=1&y=2`],
  [listed, `${listed}/`],
  [encodeURIComponent(`${listed}/inbox?x=1#part`), `${listed}/inbox?x=1#part`],
];

// Each is tried verbatim and percent-encoded.
const hostile = [
  '//evil.example', '///evil.example', '////evil.example', '/\\evil.example', '\\/evil.example', '\\\\evil.example', '/\\/evil.example',
  '\t//evil.example', '/\t/evil.example', '/\n/evil.example', '/\r/evil.example', '/\r\n/evil.example', '\n//evil.example',
  '/\u0000/evil.example', '\u0000//evil.example', '/\u000b/evil.example', ' //evil.example', '\u00a0//evil.example', '\ufeff//evil.example',
  '/%2f/evil.example', '/%2fevil.example', '/%5cevil.example', '/%5C/evil.example', '%2f/evil.example',
  '/.//evil.example', '/..//evil.example', '/a/..//evil.example', '/%2e//evil.example', '/%2e%2e//evil.example', '/a/%2E%2e//evil.example',
  '/.\\/evil.example', '/;@evil.example', '/@evil.example', '@evil.example', '.evil.example', 'evil.example', '',
  'https:evil.example', 'https:/evil.example', 'https:///evil.example', 'https:\\\\evil.example', 'https:/\\evil.example', 'HTTPS://evil.example',
  'http://evil.example', 'https://evil.example', 'ht\ntps://evil.example', 'https://evil.example\\@app.example', 'https://evil.example#@app.example',
  'https://app.example@evil.example', 'https://app.example:x@evil.example', 'https://x@app.example', 'https://app.example.evil.example',
  'https://app.example:8443', 'http://app.example', 'https://sub.app.example', 'https://app.example.', 'https://app.exampleevil.example',
  'https://app.example%2eevil.example', 'https://app.example%00.evil.example', 'https://evil.example/https://app.example',
  'https://evil.example\uff0f.app.example', 'https://evil.example\u2044.app.example', 'https://app\u3002example.evil.example',
  '/\uff0fevil.example', '\uff0f/evil.example', '/\u2215evil.example', '\u2215\u2215evil.example', '/\u2044/evil.example',
  'javascript:alert(1)', 'javascript://app.example/%0aalert(1)', 'JaVaScRiPt:alert(1)', ' javascript:alert(1)', 'java\tscript:alert(1)',
  'data:text/html,<script>alert(1)</script>', 'vbscript:x', 'blob:https://app.example/0-1', 'filesystem:https://app.example/x',
  'file:///etc/passwd', 'view-source:https://app.example', 'about:blank', 'ws://app.example', 'ftp://app.example', 'null', '?https://evil.example',
];

/** Returns the address to which the page's own code leads with each value, or null. */
const leads = (page, values) => page.evaluate(async (values) => {
  const { findReturn } = await import('/pages/return-to.js');
  return Promise.all(values.map(async (value) => {
    const { search } = new URL(`/?return_to=${value}`, location.origin);
    return (await findReturn({ search, hash: '', origin: location.origin })).url?.href ?? null;
  }));
}, values);

play(async () => {
  const context = await newBrowser();
  const page = await open(context);
  await heading(page, 'Sign in').waitFor();
  const { origin } = new URL(job.url);

  const wanted = good.map(([, to]) => new URL(to, origin).href);
  assert.deepEqual(await leads(page, good.map(([value]) => value)), wanted);
  const values = hostile.flatMap((value) => [value, encodeURIComponent(value)]);
  assert.ok(hostile.length >= 40);
  for (const [at, to] of (await leads(page, values)).entries()) {
    assert.ok(to === null || to.startsWith(`${origin}/`) && !to.startsWith(`${origin}//`), `${values[at]}: ${to}`);
  }
  // `return_to` counts only as the first parameter.
  assert.equal(await page.evaluate(async () => {
    const { findReturn } = await import('/pages/return-to.js');
    return findReturn({ search: '?x=1&return_to=/a', hash: '', origin: location.origin });
  }), null);

  // A user signs in and arrives at a listed site; a signed-in user goes there at once.
  const port = await serve((_, response) => {
    response.setHeader('Content-Type', 'text/html');
    response.end('<!doctype html><html lang="en"><title>An app</title><link rel="icon" href="data:,"><h1>An app</h1></html>');
  }, job.port);
  const app = `http://localhost:${port}/inbox?x=1&y=2`;
  await page.goto(`${origin}/?return_to=${app}`);
  await heading(page, 'Sign in').waitFor();
  assert.equal(await page.locator('#reason').textContent(), `Sign in to continue to http://localhost:${port}.`);
  await page.getByLabel('Username').fill('alice');
  await page.getByLabel('Password', { exact: true }).fill(job.password);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await heading(page, 'An app').waitFor();
  assert.equal(page.url(), app);
  const again = await open(context, `${origin}/?return_to=${encodeURIComponent(app)}`);
  await heading(again, 'An app').waitFor();
  assert.equal(again.url(), app);
  // Another tab that waits at the form continues without input.
  const [other, waiting] = [await newBrowser(), []];
  for (const path of ['/livez', '/robots.txt']) waiting.push(await open(other, `${origin}/?return_to=${path}#part`));
  for (const tab of waiting) await tab.locator('#reason', { hasText: reasons.onward }).waitFor();
  await waiting[0].getByLabel('Username').fill('alice');
  await waiting[0].getByLabel('Password', { exact: true }).fill(job.password);
  await waiting[0].getByRole('button', { name: 'Sign in' }).click();
  await waiting[0].waitForURL(`${origin}/livez#part`);
  await waiting[1].waitForURL(`${origin}/robots.txt#part`);

  // Some of the hostile values, opened as a user would: the page stays and says so. (It requests no other host.)
  for (const value of ['//evil.example', '/\t/evil.example', '/\\evil.example', 'https://evil.example', 'https://app.example@evil.example',
    'javascript:alert(1)', encodeURIComponent('//evil.example'), encodeURIComponent('https://evil.example/')]) {
    const tab = await open(context, `${origin}/?return_to=${value}`);
    await heading(tab, 'Your session').waitFor();
    await tab.getByRole('alert').getByText('is not allowed, so you stay here').waitFor();
    assert.equal(new URL(tab.url()).origin, origin, value);
    await tab.close();
  }

  // After a sign-out the next user starts at the first view.
  const tab = await signedIn(await newBrowser());
  await tab.goto(`${origin}/?return_to=//evil.example`);
  await tab.getByRole('button', { name: 'Sign out', exact: true }).click();
  await heading(tab, 'Sign in').waitFor();
  assert.equal(tab.url(), `${origin}/#/session`);
  await signIn(tab, 'mallory');
});
