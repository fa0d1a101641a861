// Login with the form, the cookie as the browser holds it, and logout.

import assert from 'node:assert/strict';
import {
  COOKIE, cookieOf, hasFocus, job, heading, left, newBrowser, open, play, press, raw, sessionId, signedOut, signIn, until,
} from './fixture.mjs';

/** Everything that a script of the page can read and keep. */
const readable = () => ({
  cookies: document.cookie,
  local: { ...localStorage },
  session: { ...sessionStorage },
  name: window.name,
  state: history.state,
});

async function nothingReadable(page, token) {
  const found = await page.evaluate(readable);
  assert.deepEqual(found, { cookies: '', local: {}, session: {}, name: '', state: null });
  assert.deepEqual(await page.evaluate(() => indexedDB.databases()), []);
  assert.deepEqual(await page.evaluate(() => caches.keys()), []);
  assert.ok(!(await page.content()).includes(token), 'the token is not in the document');
}

async function scriptsCannotSetIt(context, page, token) {
  await page.evaluate(async (name) => {
    for (const rest of ['; Path=/; Secure', '; Path=/; Secure; SameSite=Lax', '; Path=/', '; Path=/; Secure; Max-Age=0', '']) {
      document.cookie = `${name}=of-a-script${rest}`;
    }
    // The same name to a parser that trims, or that confuses a nameless cookie with a named one.
    document.cookie = `=${name}=of-a-script; Path=/; Secure`;
    document.cookie = ` ${name} =of-a-script; Path=/; Secure`;
    await cookieStore.set(name, 'of-a-script').catch(() => {});
    await cookieStore.delete(name).catch(() => {});
  }, COOKIE);
  assert.equal(await cookieOf(context), token);
  assert.equal(await page.evaluate(() => document.cookie), '');
}

/** A page is restored from the back-forward cache unchanged after its session was ended. */
async function outOfTheCache(context, page) {
  await page.evaluate(() => addEventListener('pageshow', ({ persisted }) => { window.wasPersisted = persisted; }));
  const bearer = await cookieOf(context);
  await page.goto('about:blank');
  assert.equal((await raw('POST', '/logout', { bearer })).status, 204);
  await page.goBack({ waitUntil: 'commit' });
  await signedOut(page, 'refused');
  assert.equal(await page.evaluate(() => window.wasPersisted), true, 'it was in that cache');
}

/** Another login replaces the session without the client: each tab shows the cookie's user once it asks. */
async function replaced(page, tab) {
  const before = await sessionId(page);
  const status = await page.evaluate(async (body) => {
    const headers = { 'Content-Type': 'application/json' };
    return (await fetch('/login', { method: 'POST', headers, body: JSON.stringify(body) })).status;
  }, { username: 'alice', password: job.password, delivery: 'cookie' });
  assert.equal(status, 200);
  await page.getByRole('button', { name: 'Send a request' }).click();
  for (const each of [page, tab]) {
    await each.locator('#who').getByText('alice').waitFor();
    await heading(each, 'Your session').waitFor();
    assert.notEqual(await sessionId(each), before);
  }
}

play(async () => {
  const context = await newBrowser();
  const page = await open(context);
  await heading(page, 'Sign in').waitFor();
  assert.ok(await hasFocus(page.getByLabel('Username')), 'one can type at once');
  assert.equal(await cookieOf(context), undefined, 'no cookie before the login');
  await signIn(page);

  // There are three countdowns, and each decreases.
  for (const timeout of ['idle', 'renewal', 'absolute']) {
    assert.ok(await page.locator(`[data-timeout="${timeout}"] .left`).isVisible());
    const before = await left(page, timeout);
    assert.ok(before > 60, `${timeout}: ${before}`);
    await until(`the ${timeout} countdown goes down`, async () => await left(page, timeout) < before);
  }
  await page.locator('#who').getByText('alice').waitFor();

  // The cookie as the browser holds it.
  const [cookie] = await context.cookies();
  const { value: token, ...rest } = cookie;
  assert.equal(await cookieOf(context), token);
  delete rest.partitionKey;
  assert.deepEqual(rest, {
    name: COOKIE, domain: new URL(job.url).hostname, path: '/', expires: -1, httpOnly: true, secure: true, sameSite: 'Lax',
  });
  await nothingReadable(page, token);
  await scriptsCannotSetIt(context, page, token);
  assert.equal(await press(page), 'kept');
  assert.equal((await raw('GET', '/session', { cookie: token })).status, 200, 'what curl sends is what the browser sends');

  // A reload and another tab find the same session.
  const id = await sessionId(page);
  await page.reload();
  await heading(page, 'Your session').waitFor();
  assert.equal(await sessionId(page), id);
  const tab = await open(context);
  await heading(tab, 'Your session').waitFor();
  assert.equal(await sessionId(tab), id);

  // Another tab is away from the page when the session ends, and may have it in the back-forward cache.
  const away = await open(context);
  await heading(away, 'Your session').waitFor();
  await away.goto(new URL('/livez', job.url).href);

  // Some history to go back through.
  await page.getByRole('link', { name: 'All sessions' }).click();
  await heading(page, 'Your sessions').waitFor();
  await page.getByRole('link', { name: 'Password' }).click();
  await heading(page, 'Change your password').waitFor();

  await page.getByRole('button', { name: 'Sign out', exact: true }).click();
  await signedOut(page, 'here');
  await signedOut(tab, 'logout');
  assert.equal(await cookieOf(context), undefined, 'logout takes the cookie away');
  assert.equal((await raw('GET', '/session', { cookie: token })).status, 401, 'the old cookie is dead');
  assert.equal((await raw('GET', '/session', { bearer: token })).status, 401);

  // Going back through the history shows nothing of the session.
  for (let steps = 0; steps < 2; steps++) {
    await page.goBack();
    await heading(page, 'Sign in').waitFor();
    assert.ok(!(await page.content()).includes(id.split('.')[0]));
  }
  await away.goBack({ waitUntil: 'commit' }); // a page restored from that cache fires no load event
  await heading(away, 'Sign in').waitFor();
  assert.ok(!(await away.content()).includes(id.split('.')[0]));
  await page.goto('about:blank');
  await page.goBack({ waitUntil: 'commit' });
  await signedOut(page, 'here');

  // The next user to sign in is another one.
  await signIn(page, 'mallory');
  await page.locator('#who').getByText('mallory').waitFor();
  assert.notEqual((await sessionId(page)).split('.')[0], id.split('.')[0]);
  await tab.locator('#who').getByText('mallory').waitFor();
  await replaced(page, tab);
  await outOfTheCache(context, page);
});
