// What is shown instead of a form or the session: that nobody can sign in here, and that the person goes elsewhere.

import { go, hasJustGone } from './return-to.js';

/** Over plain HTTP a browser keeps no Secure cookie: a login would be right and would begin nothing. */
export function openInsecure(main) {
  main.querySelector('#insecure-port').textContent = location.port ? `:${location.port}` : '';
}

/** `already`: the person was signed in when the page was opened, so nothing has been typed here. */
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
