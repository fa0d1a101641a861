// Explanations of refusals, for users.

import { inWords } from './words.js';

// For other codes, the server's own sentence is good enough.
const words = {
  invalid_credentials: 'The username or the password is wrong.',
  wrong_password: 'That is not your current password.',
  cross_site: 'The request was refused because it seemed to come from another site. Reload this page and try again.',
};

/** Converts an unsuccessful response to an error in the shape of the client's Problem. */
export async function refusal(response) {
  const { title, code, detail } = await response.json().catch(() => ({}));
  const retryAfter = Number(response.headers.get('Retry-After')) || null;
  return Object.assign(new Error(title), { status: response.status, code, detail, retryAfter });
}

/** Explains anything that a request threw, in one or two sentences. */
export function explain(error) {
  if (!error.status) {
    // The request got no answer, or these pages have a bug: the console tells which.
    console.error(error);
    return navigator.onLine
      ? 'Waxseal cannot be reached. Try again in a moment.'
      : 'You are offline. Try again when you are connected.';
  }
  if (error.code === 'too_many_requests') {
    return error.retryAfter
      ? `Too many attempts. Wait ${inWords(error.retryAfter)}, then try again.`
      : 'Too many attempts. Wait a moment, then try again.';
  }
  return words[error.code] ?? (error.detail || 'Waxseal cannot answer right now. Try again in a moment.');
}
