// Shown instead of a form or the session: that sign-in does not work here, or that the user is sent elsewhere.

import { go, hasJustGone } from './return-to.js';

/** Over plain HTTP a browser does not keep a Secure cookie: a login would succeed and start no session. */
export function openInsecure(main) {
  main.querySelector('#insecure-port').textContent = location.port ? `:${location.port}` : '';
}

/** `already`: the user was signed in when the page was opened, so nothing has been typed here. */
export function openGoingOn(main, { destination, stay }, signal, already) {
  const sentBack = already && hasJustGone(destination());
  const again = main.querySelector('#go-on');
  if (sentBack) {
    main.querySelector('#going-on-why').textContent = 'The page that you asked for sent you back here, although you are '
      + 'signed in. It may not accept this session, or you may not have access to it.';
    again.textContent = 'Try again';
  }
  again.addEventListener('click', () => go(destination()), { signal });
  main.querySelector('#stay').addEventListener('click', stay, { signal });
  if (!sentBack) go(destination());
}
