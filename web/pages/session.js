// The session's ID, countdowns of its three timeouts, and what requests do to them.

import { explain } from './problems.js';
import { countdown, dayAndTime, inWords, timeOfDay, write, writeTime } from './words.js';

const deadlines = { idle: 'idleExpiresAt', renewal: 'renewAt', absolute: 'expiresAt' };

// The full length of each timeout. A session gives only its deadlines; the longest time left so far comes close.
const full = { of: null, idle: 0, renewal: 0, absolute: 0 };

export function openSession(main, { client, requests, warn }, signal) {
  const byId = (id) => main.querySelector(`#${id}`);

  const draw = () => drawSession(main, client);
  draw();
  const timer = setInterval(draw, 1000);
  signal.addEventListener('abort', () => clearInterval(timer));
  client.addEventListener('changed', draw, { signal });

  const log = byId('log');
  const note = (entry) => {
    byId('log-empty').hidden = true;
    log.prepend(logEntry(entry));
    while (log.children.length > requests.entries.length) log.lastElementChild.remove();
  };
  requests.entries.toReversed().forEach(note);
  requests.addEventListener('entry', ({ detail }) => {
    note(detail);
    if (detail.did === 'renewed') stamp(main);
  }, { signal });

  const does = (id, send) => byId(id).addEventListener('click', async () => {
    warn('');
    try {
      await send();
    } catch (error) {
      if (!signal.aborted) warn(explain(error));
    }
  }, { signal });
  does('send', () => requests.fetch('/session'));
  does('poll', () => requests.fetch('/session', { background: true }));
  does('renew', () => requests.named('POST /session/renew', false, () => client.renew()));
}

function drawSession(main, client) {
  const { session } = client;
  const left = client.remaining();
  if (!session || !left) return; // it has just ended, and the view is about to close

  const [lineage, generation] = session.id.split('.');
  write(main.querySelector('#session-id'), session.id);
  write(main.querySelector('#session-generation'), generation);
  write(main.querySelector('#seal-generation'), generation);
  writeTime(main.querySelector('#session-created'), session.createdAt, dayAndTime);

  if (full.of !== lineage) Object.assign(full, { of: lineage, idle: 0, renewal: 0 });
  full.absolute = (session.expiresAt - session.createdAt) / 1000;
  for (const item of main.querySelectorAll('[data-timeout]')) {
    const timeout = item.dataset.timeout;
    const seconds = Math.max(0, left[timeout]);
    full[timeout] = Math.max(full[timeout], seconds);
    const due = timeout === 'renewal' && seconds === 0;
    write(item.querySelector('.left'), due ? 'due' : countdown(seconds));
    writeTime(item.querySelector('time'), session[deadlines[timeout]], timeOfDay);
    const meter = item.querySelector('meter');
    meter.max = full[timeout] || 1;
    meter.value = seconds;
    // Changes once a minute, so that a screen reader does not announce every second.
    const words = due ? 'due at the next request' : seconds < 60 ? 'less than a minute left' : `${inWords(Math.max(120, seconds))} left`;
    if (meter.getAttribute('aria-valuetext') !== words) meter.setAttribute('aria-valuetext', words);
  }
}

function logEntry({ at, name, background, did, session }) {
  const item = document.getElementById('log-entry').content.cloneNode(true);
  const badge = item.querySelector('.did');
  badge.textContent = did;
  badge.dataset.did = did;
  item.querySelector('.request').textContent = background ? `${name}, in the background` : name;
  writeTime(item.querySelector('time'), at, timeOfDay);
  item.querySelector('.why').textContent = effect(did, background, session);
  return item;
}

function effect(did, background, session) {
  const [, generation] = session.id.split('.');
  switch (did) {
    case 'renewed': return generation === '0' ? 'A new session.' : `A new session ID: generation ${generation}.`;
    case 'touched': return `The idle deadline moved to ${timeOfDay(session.idleExpiresAt)}.`;
    default: return background ? 'Not activity: nothing changed.' : 'Nothing changed: the last touch is too recent.';
  }
}

function stamp(main) {
  const seal = main.querySelector('.seal');
  seal.classList.remove('stamped');
  seal.getBoundingClientRect(); // restarts the animation
  seal.classList.add('stamped');
}
