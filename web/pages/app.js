// Waxseal's own pages: shows a view, tracks who is signed in, and shows messages.

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

// The views for a signed-in user, by the URL's hash: the <template>, and a function that initializes it.
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
let asked = false; // whether the client has checked for a session since the page was opened
let returning = null; // the result of findReturn: where to go instead of showing the session
let closing = new AbortController(); // aborted when the view closes: its listeners and timers end with it

/** Shows a view. Focuses its first field, or its heading unless the page has only just been opened. */
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

/** Shows the view that the URL names. */
function route() {
  if (!lineage) return;
  const chosen = Object.hasOwn(views, location.hash) ? location.hash : '#/session';
  for (const link of byId('views').querySelectorAll('a')) {
    if (link.hash === chosen) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  show(...views[chosen]);
}

/** Stays on this page, because the user chose to, instead of going to the return address. */
function stay() {
  if (lineage) returning = null;
  route();
}

/** Handles a session: a login here, one in another tab, or one from before the page was opened. */
function enter() {
  const [now, latest] = client.session.id.split('.');
  const renewed = generation !== latest;
  generation = latest;
  if (lineage === now) {
    // The cause can be a password change.
    if (renewed && byId('change-required').textContent) nameWho(now);
    return;
  }
  lineage = now;
  if (asked && destination()) confirm(now);
  else open(now);
}

/** Leaves only with a working session: a user who is sent back without a cookie would not be told why. */
async function confirm(now) {
  let problem = '';
  await client.restore().catch((error) => { problem = explain(error); });
  if (lineage !== now) return; // the session does not work, and a message says so
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

// The username needs a request, which must not count as activity.
async function nameWho(of) {
  byId('who-as').hidden = true;
  try {
    const { username, password_change_required_by: by } = await (await requests.fetch('/sessions', { background: true })).json();
    if (lineage !== of) return;
    requireChange(by && new Date(by));
    byId('who-name').textContent = username;
    byId('who-as').hidden = false;
  } catch (error) {
    console.error(error); // the page still shows that the user is signed in
  }
}

/** Shows on every page when an initial password must be changed, if it is one. */
function requireChange(by) {
  const notice = byId('change-required');
  notice.replaceChildren();
  if (!by) return;
  const text = byId(Date.now() < by ? 'change-required-text' : 'change-missed-text').content.cloneNode(true);
  writeTime(text.querySelector('time'), by, timeOfDay);
  notice.append(text);
}

/** Handles the end of the session. */
function leave(reason) {
  lineage = null;
  requireChange(null);
  requests.clear();
  byId('views').hidden = byId('who').hidden = true;
  byId('who-name').textContent = '';
  // After other ends, a new login returns to the same view. After a sign-out, it starts at the first one.
  if (reason === 'here') {
    returning = null;
    history.replaceState(null, '', `${location.pathname}#/session`);
  }
  show('sign-in-view', openSignIn, reason);
}

/** Returns whether the sessions have certainly ended. */
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

// First, because it closes its dialog: behind a modal dialog nothing can take the focus.
watchTheEnd(app);
client.addEventListener('changed', enter);
client.addEventListener('ended', ({ detail }) => {
  // Without a session the sign-in form is open: it stays, with what was typed.
  if (lineage) leave(leaving ? 'here' : detail.reason);
});
byId('sign-out').addEventListener('click', () => signOut('this'));
addEventListener('hashchange', () => {
  if (location.hash !== '#main') stay(); // the skip link, which is not a view
});
start();
