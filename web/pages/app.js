// Waxseal's own pages: which view is shown, who is signed in, and what is said about it.

import { base } from './base.js';
import { watchTheEnd } from './ending.js';
import { openGoingOn, openInsecure } from './instead.js';
import { openPassword } from './password.js';
import { explain } from './problems.js';
import { Requests } from './requests.js';
import { findReturn } from './return-to.js';
import { openSession } from './session.js';
import { openSessions } from './sessions.js';
import { openSignIn } from './sign-in.js';
import { Waxseal } from './waxseal.js';
import { timeOfDay, writeTime } from './words.js';

// The views for who is signed in, by the address's hash. Each has a <template>, and a function that brings it to life.
const views = {
  '#/session': ['session-view', openSession],
  '#/sessions': ['sessions-view', openSessions],
  '#/password': ['password-view', openPassword],
};

const byId = (id) => document.getElementById(id);
const client = new Waxseal({ baseUrl: base });
const requests = new Requests(client);
const destination = () => returning?.url ?? null;
const app = { client, requests, enter, signOut, tell, warn, stay, destination, who: () => byId('who-name').textContent };

let lineage = null; // of the session that is shown; null while nobody is signed in
let generation = null; // of that session
let leaving = false; // whether it is this tab that signs out
let asked = false; // whether it is known who was signed in when the page was opened
let returning = null; // what findReturn says: where to go instead of showing the session
let closing = new AbortController(); // aborted when the view goes: its listeners and timers end with it

/** Shows a view. The focus goes to its first field, or to its heading unless the page has only just been opened. */
function show(template, open, reason) {
  const main = byId('main');
  const opened = !main.querySelector('h1');
  closing.abort();
  closing = new AbortController();
  tell('');
  warn('');
  main.replaceChildren(byId(template).content.cloneNode(true));
  open(main, app, closing.signal, reason);
  const heading = main.querySelector('h1');
  document.title = `${heading.textContent} · Waxseal`;
  const first = main.querySelector('[data-first]');
  if (first || !opened) (first ?? heading).focus();
}

/** Shows the view that the address names. */
function route() {
  if (!lineage) return;
  const chosen = Object.hasOwn(views, location.hash) ? location.hash : '#/session';
  for (const link of byId('views').querySelectorAll('a')) {
    if (link.hash === chosen) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  show(...views[chosen]);
}

/** The person wants to be here, and not where the address of this page leads. */
function stay() {
  if (lineage) returning = null;
  route();
}

/** Somebody is signed in: here, in another tab, or since before the page was opened. */
function enter() {
  const [now, latest] = client.session.id.split('.');
  const renewed = generation !== latest;
  generation = latest;
  if (lineage === now) {
    // The new password may be why.
    if (renewed && byId('change-required').textContent) nameWho(now);
    return;
  }
  lineage = now;
  if (asked && destination()) confirm(now);
  else open(now);
}

/** Goes on only with a session that holds: who comes back from there without a cookie is not told why. */
async function confirm(now) {
  let problem = '';
  await client.restore().catch((error) => { problem = explain(error); });
  if (lineage !== now) return; // it does not hold, and that has been said
  if (problem) returning = null;
  open(now);
  warn(problem);
}

function open(now) {
  byId('views').hidden = byId('who').hidden = false;
  if (destination()) show('going-on-view', openGoingOn, !asked);
  else route();
  if (returning && !destination()) warn('The link that you followed leads to an address that is not allowed, so you stay here.');
  nameWho(now);
}

// The name is worth a request, but none that keeps anybody signed in.
async function nameWho(of) {
  byId('who-as').hidden = true;
  try {
    const { username, password_change_required_by: by } = await (await requests.fetch('/sessions', { background: true })).json();
    if (lineage !== of) return;
    requireChange(by && new Date(by));
    byId('who-name').textContent = username;
    byId('who-as').hidden = false;
  } catch (error) {
    console.error(error); // it still says that somebody is signed in
  }
}

/** Says on every page that an initial password must be changed by then, if it is one. */
function requireChange(by) {
  const notice = byId('change-required');
  notice.replaceChildren();
  if (!by) return;
  const text = byId(Date.now() < by ? 'change-required-text' : 'change-missed-text').content.cloneNode(true);
  writeTime(text.querySelector('time'), by, timeOfDay);
  notice.append(text);
}

/** Nobody is signed in. */
function leave(reason) {
  lineage = null;
  requireChange(null);
  requests.clear();
  byId('views').hidden = byId('who').hidden = true;
  byId('who-name').textContent = '';
  // Who was signed out comes back to where they were; whoever signs in after a sign-out begins at the beginning.
  if (reason === 'here') {
    returning = null;
    history.replaceState(null, '', `${location.pathname}#/session`);
  }
  show('sign-in-view', openSignIn, reason);
}

/** Whether it is certain that the sessions are ended. */
async function signOut(scope) {
  leaving = scope !== 'others';
  try {
    await client.logout(scope);
    return true;
  } catch (error) {
    warn(`You may still be signed in. ${explain(error)}`);
    return false;
  } finally {
    leaving = false;
  }
}

function tell(text) {
  byId('status').textContent = text;
}

function warn(text) {
  byId('alert').textContent = text;
}

async function start() {
  if (!isSecureContext) return show('insecure-view', openInsecure);
  try {
    returning = await findReturn();
    if (await requests.named('GET /session', true, () => client.restore())) enter();
    else leave();
    asked = true;
  } catch (error) {
    show('unreachable-view', (main, _, signal) => {
      main.querySelector('#unreachable-why').textContent = explain(error);
      main.querySelector('#retry').addEventListener('click', start, { signal });
    });
  }
}

// First, because it closes its dialog: behind a modal dialog nothing takes the focus.
watchTheEnd(app);
client.addEventListener('changed', enter);
client.addEventListener('ended', ({ detail }) => {
  // Without a session shown, sign-in is: it stays, and so does what was typed.
  if (lineage) leave(leaving ? 'here' : detail.reason);
});
byId('sign-out').addEventListener('click', () => signOut('this'));
addEventListener('hashchange', () => {
  if (location.hash !== '#main') stay(); // that is the skip link, and no view
});
start();
