// What the two forms share: one submission at a time, refusals shown where they belong, and the wait after a 429.

import { explain } from './problems.js';
import { countdown } from './words.js';

/**
 * `send(values)` submits; a thrown error is explained. `concerns(problem)` names the fields that a problem is about:
 * for one field, it is shown there; for none or several, above the form. A refusal never clears the input.
 */
export function handleForm(form, { send, concerns, signal }) {
  const submit = form.querySelector('[type="submit"]');
  const problemText = form.querySelector('.problem');
  const required = [...form.elements].filter((field) => field.required);
  let busy = false;
  const wait = waitIn(form.querySelector('.wait'), signal, () => {
    problemText.textContent = 'You can try again now.';
    block();
  });

  // Not `disabled`: that would take the focus away from the button that was just pressed.
  const block = () => submit.setAttribute('aria-disabled', String(busy || wait.waiting));

  function say(field, text) {
    form.querySelector(`#${field.name}-error`).textContent = text;
    if (text) field.setAttribute('aria-invalid', 'true');
    else field.removeAttribute('aria-invalid');
  }

  function show(error) {
    const fields = concerns(error).map((name) => form.elements[name]);
    if (fields.length === 1) say(fields[0], explain(error));
    else problemText.textContent = explain(error);
    for (const field of fields) field.setAttribute('aria-invalid', 'true');
    fields.at(-1)?.focus();
    fields.at(-1)?.select();
    if (error.retryAfter && error.status === 429) wait.start(error.retryAfter);
  }

  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    if (busy || wait.waiting) return;
    problemText.textContent = '';
    for (const field of form.querySelectorAll('[data-trimmed]')) field.value = field.value.trim();
    for (const field of required) say(field, field.value ? '' : field.dataset.missing);
    const missing = required.find((field) => !field.value);
    if (missing) return missing.focus();
    // A browser may remember the content of a text field.
    for (const button of form.querySelectorAll('[data-reveals]')) reveal(button, false);
    busy = true;
    block();
    try {
      await send(Object.fromEntries(new FormData(form)));
    } catch (error) {
      if (!signal.aborted) show(error);
    } finally {
      busy = false;
      block();
    }
  }, { signal });

  form.addEventListener('input', ({ target }) => say(target, ''), { signal });
  form.addEventListener('click', ({ target }) => {
    const button = target.closest('[data-reveals]');
    if (button) reveal(button, button.getAttribute('aria-pressed') === 'false');
  }, { signal });
}

function reveal(button, on) {
  button.setAttribute('aria-pressed', String(on));
  document.getElementById(button.dataset.reveals).type = on ? 'text' : 'password';
}

/** Counts down in `element`. Screen readers do not read it out: the problem's text has said how long the wait is. */
function waitIn(element, signal, done) {
  let timer = 0;
  const stop = () => {
    clearInterval(timer);
    timer = 0;
    element.hidden = true;
  };
  signal.addEventListener('abort', stop);
  return {
    get waiting() { return timer !== 0; },
    start(seconds) {
      stop();
      const end = performance.now() + seconds * 1000;
      const tick = () => {
        const left = (end - performance.now()) / 1000;
        if (left <= 0) { stop(); done(); return; }
        element.textContent = countdown(left);
      };
      timer = setInterval(tick, 1000);
      element.hidden = false;
      tick();
    },
  };
}
