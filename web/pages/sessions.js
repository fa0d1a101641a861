// The user's sessions on all devices.

import { explain } from './problems.js';
import { browser, dayAndTime, writeTime } from './words.js';

export function openSessions(main, { requests, signOut, tell, warn }, signal) {
  const list = main.querySelector('#sessions');
  const heading = main.querySelector('h1');

  async function load() {
    list.setAttribute('aria-busy', 'true');
    try {
      const { sessions } = await (await requests.fetch('/sessions')).json();
      if (!signal.aborted) list.replaceChildren(...sessions.map(entry));
    } catch (error) {
      if (!signal.aborted) warn(explain(error));
    } finally {
      list.setAttribute('aria-busy', 'false');
    }
  }

  function entry(session) {
    const item = document.getElementById('session-entry').content.cloneNode(true).firstElementChild;
    const name = browser(session.browser);
    item.querySelector('h2').textContent = name;
    item.querySelector('.badge').hidden = !session.current;
    writeTime(item.querySelector('.created'), new Date(session.created_at), dayAndTime);
    writeTime(item.querySelector('.ends'), new Date(session.expires_at), dayAndTime);
    item.querySelector('.address').textContent = session.address ?? 'unknown';
    item.querySelector('details').hidden = !session.browser;
    item.querySelector('code').textContent = session.browser ?? '';
    const button = item.querySelector('button');
    button.querySelector('.unseen').textContent =
      ` ${name}, signed in ${item.querySelector('.created').textContent}${session.current ? ', this session' : ''}`;
    button.addEventListener('click', () => revoke(session, item, name), { signal });
    return item;
  }

  async function revoke(session, item, name) {
    if (session.current) return signOut('this');
    try {
      await requests.fetch(`/sessions/${encodeURIComponent(session.id)}`, { method: 'DELETE' });
    } catch (error) {
      if (signal.aborted) return;
      if (error.code !== 'not_found') return warn(explain(error)); // not found: it has ended already
    }
    if (signal.aborted) return;
    const next = item.nextElementSibling ?? item.previousElementSibling;
    item.remove();
    (next?.querySelector('button') ?? heading).focus();
    tell(`${name} is signed out.`);
  }

  main.querySelector('#others-out').addEventListener('click', async () => {
    if (!await signOut('others') || signal.aborted) return;
    tell('All your other sessions are signed out.');
    load();
  }, { signal });
  main.querySelector('#all-out').addEventListener('click', () => signOut('all'), { signal });
  main.querySelector('#reload').addEventListener('click', async () => {
    await load();
    if (!signal.aborted) tell('The list is up to date.');
  }, { signal });
  load();
}
