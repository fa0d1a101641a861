// Shared by the scenarios: the job, the browser, user actions on the pages, and a check for unexpected console output
// and requests.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const curl = promisify(execFile);
export const job = JSON.parse(readFileSync(0, 'utf8'));
const load = createRequire(join(job.packages, 'from-here.js'));
const { chromium } = load('playwright-core');
export const { AxeBuilder } = load('@axe-core/playwright');

export const COOKIE = '__Host-Http-waxseal';
// The timeout for an expected event, in milliseconds. It does not measure speed: the machine may be busy.
const PATIENCE = 30_000;
const WATCHDOG = 120_000;

const args = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--no-proxy-server',
  '--disable-background-networking', '--disable-component-update', '--disable-sync',
  '--host-resolver-rules=MAP waxseal.test 127.0.0.1',
];
// Playwright disables the back-forward cache, which users have enabled.
const ignoreDefaultArgs = ['--disable-back-forward-cache'];

let browser;
const contexts = [];
const profiles = [];
const servers = [];
const noise = []; // unexpected console messages, violations of the content security policy, and uncaught errors
const strangers = []; // requests to hosts outside the scenario
const hosts = new Set([new URL(job.url).host]);
const allowed = [];

/** Plays a scenario and exits: with 0 if it holds and nothing unexpected was seen. */
export async function play(scenario) {
  const watchdog = setTimeout(() => {
    console.error(`the scenario was still going on after ${WATCHDOG / 1000} s`);
    process.exit(3);
  }, WATCHDOG);
  let failed = false;
  try {
    browser = await chromium.launch({ executablePath: job.chromium, args, ignoreDefaultArgs });
    await scenario();
    await heardNothing();
  } catch (error) {
    failed = true;
    console.error(error);
    if (noise.length) console.error('heard:', noise);
    await picturesOfFailure().catch((cause) => console.error(cause));
  }
  for (const { context, folder } of profiles) {
    await context.close();
    rmSync(folder, { recursive: true, force: true });
  }
  await browser?.close();
  for (const server of servers) server.close();
  clearTimeout(watchdog);
  process.exit(failed ? 1 : 0);
}

async function picturesOfFailure() {
  const folder = join(job.pictures, 'failed');
  mkdirSync(folder, { recursive: true });
  const pages = contexts.flatMap((context) => context.pages());
  for (const [at, page] of pages.entries()) {
    const name = `${job.scenario}-${at}.png`;
    console.error(`${name}: ${page.url()}`);
    await page.screenshot({ path: join(folder, name), timeout: 5_000 });
  }
}

async function heardNothing() {
  // Console messages arrive asynchronously, but those sent before this answer have arrived with it.
  for (const page of contexts.flatMap((context) => context.pages())) await page.evaluate(() => 0);
  assert.deepEqual(noise, [], 'the console is silent, and the content security policy was kept');
  assert.deepEqual(strangers, [], 'no request to another host');
}

/** Opens a browser context: contexts do not share storage. */
export async function newBrowser(options = {}) {
  return watched(await browser.newContext({ locale: 'en-GB', ...options }));
}

/** Opens a browser with these Chromium preferences. */
export async function newBrowserWithPreferences(preferences) {
  const folder = mkdtempSync(join(tmpdir(), 'waxseal-profile-'));
  mkdirSync(join(folder, 'Default'));
  writeFileSync(join(folder, 'Default', 'Preferences'), JSON.stringify(preferences));
  const options = { executablePath: job.chromium, args, ignoreDefaultArgs, locale: 'en-GB' };
  const context = await chromium.launchPersistentContext(folder, options);
  profiles.push({ context, folder });
  return watched(context);
}

async function watched(context) {
  context.setDefaultTimeout(PATIENCE);
  contexts.push(context);
  context.on('request', (request) => {
    const url = new URL(request.url());
    if (/^(http|ws)s?:$/.test(url.protocol) && !hosts.has(url.host)) strangers.push(url.href);
  });
  context.on('console', (message) => {
    if (!['error', 'warning'].includes(message.type())) return;
    const { url } = message.location();
    if (!allowed.some((allows) => allows(message.text(), url))) noise.push(`${message.text()} (${url})`);
  });
  context.on('weberror', (error) => noise.push(`uncaught: ${error.error().stack}`));
  await context.addInitScript(() => addEventListener('securitypolicyviolation', (event) => {
    console.error(`securitypolicyviolation: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`);
  }));
  return context;
}

/** Expects the line that the browser logs for an answer of 400 or above. */
export function expectRefusal(status, path) {
  const line = new RegExp(`^Failed to load resource: the server responded with a status of ${status} \\(`);
  allowed.push((text, url) => line.test(text) && url && new URL(url).pathname === path);
}

/** Expects any other console line. */
export function expectNoise(pattern) {
  allowed.push((text) => pattern.test(text));
}

// The pages request the session to learn whether the user is signed in; a 401 says no.
expectRefusal(401, '/session');

/** Serves another site's page on this machine. `answer(request, response)` handles a request. */
export async function serve(answer, port = 0) {
  const server = createServer(answer);
  // The browser reaches `localhost` here too, since nothing listens on its IPv6 address.
  await new Promise((resolve, reject) => server.once('error', reject).listen(port, '127.0.0.1', resolve));
  servers.push(server);
  const taken = server.address().port;
  for (const host of ['localhost', '127.0.0.1']) hosts.add(`${host}:${taken}`);
  return taken;
}

/** Allows another address that belongs to the scenario. */
export function at(url) {
  hosts.add(new URL(url).host);
  return url;
}

/** Returns the service's origin under the name `localhost`, which is another site than its address. */
export function byName() {
  const url = new URL(job.url);
  url.hostname = 'localhost';
  hosts.add(url.host);
  return url.origin;
}

/** Waits until `probe` returns a truthy value, and returns it. */
export async function until(what, probe, patience = PATIENCE) {
  const end = performance.now() + patience;
  for (;;) {
    const found = await probe();
    if (found) return found;
    if (performance.now() > end) assert.fail(`never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** Sends a request with curl, which knows nothing of origins and sites. */
export async function raw(method, path, { cookie, bearer, json, headers = {} } = {}) {
  if (cookie) headers.cookie = `${COOKIE}=${cookie}`;
  if (bearer) headers.authorization = `Bearer ${bearer}`;
  if (json) headers['content-type'] = 'application/json';
  const sent = Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`]);
  const body = json ? ['--data-binary', JSON.stringify(json)] : [];
  const url = new URL(path, job.url).href;
  const { stdout } = await curl('curl', ['-sS', '--noproxy', '*', '--max-time', '20', '-D', '-', '-X', method, ...sent, ...body, url]);
  const end = stdout.indexOf('\r\n\r\n');
  const [status, ...lines] = stdout.slice(0, end).split('\r\n');
  const answered = new Headers(lines.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim()]));
  const text = stdout.slice(end + 4);
  return { status: Number(status.split(' ')[1]), headers: answered, body: text && JSON.parse(text) };
}

/** Returns the token in this browser's session cookie, or undefined without one. */
export async function cookieOf(context) {
  const cookies = await context.cookies();
  const names = cookies.map(({ name }) => name);
  assert.ok(names.length <= 1 && (names[0] ?? COOKIE) === COOKIE, `no other cookie: ${names}`);
  return cookies[0]?.value;
}

export async function open(context, url = job.url) {
  const page = await context.newPage();
  await page.goto(url);
  return page;
}

export const hasFocus = (field) => field.evaluate((element) => element === document.activeElement);

export const heading = (page, name) => page.getByRole('heading', { level: 1, name, exact: true });

export async function fillSignIn(page, username, password) {
  await page.getByLabel('Username').fill(username);
  await page.getByLabel('Password', { exact: true }).fill(password);
  await page.getByRole('button', { name: 'Sign in' }).click();
}

/** Signs in with the form, and waits for the session. */
export async function signIn(page, username = 'alice', password = job.password) {
  await fillSignIn(page, username, password);
  await heading(page, 'Your session').waitFor();
  // The page asks for the name. While that request is under way, the log shows its name for what another one does.
  await page.locator('#who').getByText(username).waitFor();
}

/** Opens the pages in this browser, and signs in. */
export async function signedIn(context, username = 'alice', password = job.password) {
  const page = await open(context);
  await signIn(page, username, password);
  return page;
}

export const reasons = {
  none: '',
  here: 'You are signed out.',
  logout: 'You signed out in another tab.',
  idle: 'You were signed out because you were not active for too long.',
  absolute: 'Your session reached its maximum length. Sign in again to continue.',
  refused: 'Your session is no longer valid. It was ended elsewhere, or it expired.',
  noCookie: 'You are not signed in because your browser did not keep the session cookie. Allow cookies for this site. '
    + 'If they are allowed, open this page at its https:// address: many browsers keep the cookie only there.',
  onward: 'Sign in to open the page that you asked for.',
};

/** Waits for the sign-in view. It must give this reason and show nothing of the session. */
export async function signedOut(page, reason) {
  await heading(page, 'Sign in').waitFor();
  assert.equal(await page.locator('#reason').textContent(), reasons[reason]);
  assert.ok(await page.locator('#who').isHidden() && await page.locator('#views').isHidden());
  assert.equal(await page.locator('#who-name').textContent(), '');
  assert.equal(await page.locator('#session-id').count(), 0);
  assert.ok(await hasFocus(page.getByLabel('Username')), 'one can type at once');
  assert.equal(await page.getByRole('dialog').count(), 0);
}

export const sessionId = (page) => page.locator('#session-id').textContent();

/** Returns the end of a timeout as the page shows it. */
export async function deadline(page, timeout) {
  return Date.parse(await page.locator(`[data-timeout="${timeout}"] time`).getAttribute('datetime'));
}

/** Returns the seconds that a countdown shows. */
export async function left(page, timeout) {
  const text = await page.locator(`[data-timeout="${timeout}"] .left`).textContent();
  if (text === 'due') return 0;
  const found = /^(?:(\d+) min )?(\d+) s$/.exec(text);
  assert.ok(found, `a countdown: ${text}`);
  return Number(found[1] ?? 0) * 60 + Number(found[2]);
}

/** Presses one of the three buttons, and returns the effect of the request that the log shows. */
export async function press(page, button = 'Send a request', request = 'GET /session') {
  const name = new RegExp(`^${request}(, in the background)?$`);
  await page.locator('#log li').evaluateAll((items) => items.forEach((item) => { item.dataset.seen = ''; }));
  await page.getByRole('button', { name: button }).click();
  const entry = page.locator('#log li:not([data-seen])').filter({ has: page.locator('.request', { hasText: name }) });
  return entry.first().locator('.did').textContent();
}

/** Presses a button whose request finds the session gone. */
export async function pressInVain(page, reason) {
  await page.getByRole('button', { name: 'Send a request' }).click();
  await signedOut(page, reason);
}
