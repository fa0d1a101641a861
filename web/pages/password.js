import { handleForm } from './form.js';

const about = { wrong_password: ['current'], unacceptable_password: ['new'] };

export function openPassword(main, { client, requests, tell, who }, signal) {
  const form = main.querySelector('form');
  form.elements.username.value = who();
  handleForm(form, {
    signal,
    concerns: ({ code }) => about[code] ?? [],
    async send(values) {
      form.elements.username.value = who();
      await requests.named('POST /password', false, () => client.changePassword(values.current, values.new));
      form.reset();
      tell('Your password is changed, and your other sessions have ended. This session continues.');
    },
  });
}
