import { handleForm } from './form.js';

// Why the last session ended, by the client's reason; `here` is this tab's own doing.
const reasons = {
  here: 'You are signed out.',
  logout: 'You signed out in another tab.',
  idle: 'You were signed out, because nothing had happened for as long as the idle timeout is.',
  absolute: 'Your session had lasted as long as a session may. Sign in again to go on.',
  refused: 'Your session is no longer accepted: it was ended from elsewhere, or it had run out.',
};

export function openSignIn(main, { client, requests, enter }, signal, reason) {
  const form = main.querySelector('form');
  if (reason) main.querySelector('#reason').textContent = reasons[reason] ?? reasons.refused;
  handleForm(form, {
    signal,
    concerns: ({ code }) => code === 'invalid_credentials' ? ['username', 'password'] : [],
    async send({ username, password }) {
      await requests.named('POST /login', false, () => client.login(username, password));
      enter();
    },
  });
}
