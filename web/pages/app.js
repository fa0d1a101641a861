// Waxseal's own pages: which view is shown, who is signed in, and what is said about it.

import { Waxseal } from '/pages/waxseal.js';
import { watchTheEnd } from './ending.js';
import { openPassword } from './password.js';
import { explain } from './problems.js';
import { Requests } from './requests.js';
import { openSession } from './session.js';
import { openSessions } from './sessions.js';
import { openSignIn } from './sign-in.js';

// The views for who is signed in, by the address's hash. Each has a <template>, and a function that brings it to life.
const views = {
  '#/session': ['session-view', openSession],
  '#/sessions': ['sessions-view', openSessions],
  '#/password': ['password-view', openPassword],
};

const byId = (id) => document.getElementById(id);
const client = new Waxseal();
const requests = new Requests(client);
const app = { client, requests, enter, signOut, tell, warn, who: () => byId('who-name').textContent };

let lineage = null; // of the session that is shown; null while nobody is signed in
let leaving = false; // whether it is this tab that signs out
let closing = new AbortController(); // aborted when the view goes: its listeners and timers end with it

/** Shows a view. The focus goes to its heading, unless the page has only just been opened. */
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
  if (!opened) heading.focus();
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

/** Somebody is signed in: here, in another tab, or since before the page was opened. */
function enter() {
  const now = client.session.id.split('.')[0];
  if (lineage === now) return;
  lineage = now;
  byId('views').hidden = byId('who').hidden = false;
  route();
  nameWho(now);
}

// The name is worth a request, but none that keeps anybody signed in.
async function nameWho(of) {
  byId('who-as').hidden = true;
  try {
    const { username } = await (await requests.fetch('/sessions', { background: true })).json();
    if (lineage !== of) return;
    byId('who-name').textContent = username;
    byId('who-as').hidden = false;
  } catch (error) {
    console.error(error); // it still says that somebody is signed in
  }
}

/** Nobody is signed in. */
function leave(reason) {
  lineage = null;
  requests.clear();
  byId('views').hidden = byId('who').hidden = true;
  byId('who-name').textContent = '';
  // Who was signed out comes back to where they were; whoever signs in after a sign-out begins at the beginning.
  if (reason === 'here') history.replaceState(null, '', '#/session');
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
  try {
    if (await requests.named('GET /session', true, () => client.restore())) enter();
    else leave();
  } catch (error) {
    show('unreachable-view', (main, _, signal) => {
      main.querySelector('#unreachable-why').textContent = explain(error);
      main.querySelector('#retry').addEventListener('click', start, { signal });
    });
  }
}

client.addEventListener('changed', enter);
client.addEventListener('ended', ({ detail }) => {
  // Without a session shown, sign-in is: it stays, and so does what was typed.
  if (lineage) leave(leaving ? 'here' : detail.reason);
});
byId('sign-out').addEventListener('click', () => signOut('this'));
addEventListener('hashchange', () => {
  if (location.hash !== '#main') route(); // that is the skip link, and no view
});
watchTheEnd(app);
start();
