// An app's page on another origin of the same site: it loads the client and exposes it to the scenario.

import { readFileSync } from 'node:fs';
import { byName, job, newBrowser, open, serve } from './fixture.mjs';

export const service = byName();

// The page exposes what the scenario reads: the client, and its events in order.
const html = (options) => `<!doctype html>
<html lang="en"><title>An app</title><link rel="icon" href="data:,">
<script type="module">
  import { Problem, Waxseal } from '/waxseal.js';
  window.client = new Waxseal(${JSON.stringify(options)});
  window.Problem = Problem;
  window.events = [];
  for (const type of ['changed', 'about-to-end', 'ended']) {
    client.addEventListener(type, ({ detail: { session, ...rest } }) => events.push({ type, ...rest }));
  }
</script></html>`;

/** Serves the page with the client from the repository. Returns the port. */
export function servePage(options, port = 0) {
  const client = readFileSync(job.client);
  const page = html({ baseUrl: service, ...options });
  return serve((request, response) => {
    const script = request.url === '/waxseal.js';
    response.setHeader('Content-Type', script ? 'text/javascript' : 'text/html; charset=utf-8');
    response.end(script ? client : page);
  }, port);
}

export async function openApp(context, port) {
  const page = await open(context, `http://localhost:${port}/`);
  await page.waitForFunction(() => 'events' in window);
  return page;
}

/** Opens a browser with two tabs on the page. */
export async function twoTabs(port) {
  const context = await newBrowser();
  return { context, one: await openApp(context, port), two: await openApp(context, port) };
}

export const login = (page, username = 'alice') => page.evaluate(
  ([name, password]) => client.login(name, password).then(({ id }) => id), [username, job.password],
);
export const restore = (page) => page.evaluate(() => client.restore().then((session) => session?.id ?? null));
export const idOf = (page) => page.evaluate(() => client.session?.id ?? null);

/** Returns the status of a fetch by the client, or the error's name if there is no answer. */
export const fetched = (page, url, init = {}, patience = 0) => page.evaluate(async (job) => {
  if (job.patience) job.init.signal = AbortSignal.timeout(job.patience);
  return client.fetch(job.url, job.init).then(({ status }) => status, ({ name }) => name);
}, { url, init, patience });

/** Returns the events of one type, oldest first. */
export const events = (page, type) => page.evaluate((type) => window.events.filter((event) => event.type === type), type);
