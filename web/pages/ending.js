// Warnings before a session ends: a dialog shortly before, and milestones for users who cannot see the countdowns.

import { explain } from './problems.js';
import { countdown, inWords } from './words.js';

const milestones = [600, 300, 120];
const milestonesInDialog = [30, 10];
const deadlines = { idle: 'idleExpiresAt', absolute: 'expiresAt' };
const byId = (id) => document.getElementById(id);

export function watchTheEnd({ client, requests, signOut }) {
  const dialog = byId('ending');
  let timeout = 'idle'; // the timeout that the dialog is about
  let deadline = 0;
  let before = Infinity;

  client.addEventListener('about-to-end', ({ detail }) => {
    timeout = detail.timeout;
    deadline = +client.session[deadlines[timeout]];
    byId('ending-problem').textContent = byId('ending-milestone').textContent = '';
    byId('ending-why').textContent = timeout === 'idle'
      ? 'You have not been active for a while. You will be signed out in'
      : 'Your session has nearly reached its maximum length. You will be signed out, and can sign in again, in';
    // Nothing extends a session beyond its absolute end, so the dialog does not offer it.
    byId('ending-stay').textContent = timeout === 'idle' ? 'Stay signed in' : 'Continue until then';
    byId('ending-left').textContent = countdown(detail.seconds);
    if (!dialog.open) dialog.showModal();
  });

  byId('ending-stay').addEventListener('click', async () => {
    try {
      if (timeout === 'idle') await requests.named('POST /session/renew', false, () => client.renew());
      dialog.close();
    } catch (error) {
      byId('ending-problem').textContent = explain(error);
    }
  });
  byId('ending-leave').addEventListener('click', () => {
    dialog.close();
    signOut('this');
  });

  // A request elsewhere, or another tab's dialog, may have moved the deadline.
  client.addEventListener('changed', ({ detail: { session } }) => {
    if (+session[deadlines[timeout]] !== deadline) dialog.close();
  });
  client.addEventListener('ended', () => dialog.close());

  function tick() {
    const left = client.remaining();
    if (!left) { before = Infinity; return; }
    const soonest = Math.min(left.idle, left.absolute);
    const passed = (at) => before > at && soonest <= at;
    if (dialog.open) {
      byId('ending-left').textContent = countdown(left[timeout]);
      if (milestonesInDialog.some(passed)) byId('ending-milestone').textContent = `${inWords(soonest)} left`;
    } else if (milestones.some(passed)) {
      const unless = left.idle < left.absolute ? ' unless you do something' : '';
      byId('milestone').textContent = `You will be signed out in ${inWords(soonest)}${unless}.`;
    }
    before = soonest;
  }
  setInterval(tick, 1000);
}
