import { handleForm } from './form.js';

// Why the last session ended, by the client's reason; `here` is a sign-out in this tab.
const reasons = {
  here: 'You are signed out.',
  logout: 'You signed out in another tab.',
  idle: 'You were signed out because you were not active for too long.',
  absolute: 'Your session reached its maximum length. Sign in again to continue.',
  refused: 'Your session is no longer valid. It was ended elsewhere, or it expired.',
  'no-cookie': 'You are not signed in because your browser did not keep the session cookie. Allow cookies for this site. '
    + 'If they are allowed, open this page at its https:// address: many browsers keep the cookie only there.',
};

/** Returns the text above the form: why the last session ended, or else where the user goes after sign-in. */
function introduction(reason, url) {
  if (reason) return reasons[reason] ?? reasons.refused;
  if (!url) return '';
  // Without the path: the author of the link could put a message there.
  return url.origin === location.origin ? 'Sign in to open the page that you asked for.' : `Sign in to continue to ${url.origin}.`;
}

export function openSignIn(main, { client, requests, enter, destination }, signal, reason) {
  const form = main.querySelector('form');
  main.querySelector('#reason').textContent = introduction(reason, destination());
  handleForm(form, {
    signal,
    concerns: ({ code }) => code === 'invalid_credentials' ? ['username', 'password'] : [],
    async send({ username, password }) {
      await requests.named('POST /login', false, () => client.login(username, password));
      enter();
    },
  });
}
