import { handleForm } from './form.js';

const about = { wrong_password: ['current'], unacceptable_password: ['new'] };

export function openPassword(main, { requests, tell, who }, signal) {
  const form = main.querySelector('form');
  form.elements.username.value = who();
  handleForm(form, {
    signal,
    concerns: ({ code }) => about[code] ?? [],
    async send(values) {
      form.elements.username.value = who();
      await requests.fetch('/password', {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify({ current_password: values.current, new_password: values.new }),
      });
      form.reset();
      tell('Your password is changed, and your other sessions are ended. This one goes on.');
    },
  });
}
