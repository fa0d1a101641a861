// The list of sessions and the password: how one browser affects the sessions in others.

import assert from 'node:assert/strict';
import {
  cookieOf, expectRefusal, fillSignIn, heading, newBrowser, play, press, pressInVain, raw, signedIn, signedOut, signIn,
} from './fixture.mjs';

const FIREFOX = 'Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0';
const SAFARI = 'Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) '
  + 'Version/18.5 Mobile/15E148 Safari/604.1';
const NEW_PASSWORD = 'a tortoise rents umbrellas';

expectRefusal(401, '/login');
expectRefusal(403, '/password');
expectRefusal(400, '/password');

async function visit(page, link, name) {
  await page.getByRole('link', { name: link, exact: true }).click();
  await heading(page, name).waitFor();
}

const entries = (page) => page.locator('#sessions > li');

async function listed(page, ...names) {
  for (const name of names) await page.locator('#sessions').getByRole('heading', { name }).waitFor();
  // The list is reloaded after the page has reported the result.
  await entries(page).nth(names.length).waitFor({ state: 'detached' });
  assert.deepEqual((await page.locator('#sessions h2').allTextContents()).toSorted(), names.toSorted());
}

async function ending(desk, fox, phone) {
  await visit(desk, 'All sessions', 'Your sessions');
  await listed(desk, 'Chrome on Linux', 'Firefox on Windows', 'Safari on iPhone');
  const own = entries(desk).filter({ has: desk.locator('.badge:visible') });
  assert.equal(await own.count(), 1);
  await own.getByRole('heading', { name: 'Chrome on Linux' }).waitFor();
  await own.getByText('127.0.0.1').waitFor();

  // One session.
  await desk.getByRole('button', { name: /^Revoke Firefox on Windows,/ }).click();
  await desk.getByRole('status').getByText('Firefox on Windows is signed out.').waitFor();
  await listed(desk, 'Chrome on Linux', 'Safari on iPhone');
  await pressInVain(fox, 'refused');
  await press(phone);

  // All other sessions.
  await signIn(fox);
  await desk.getByRole('button', { name: 'Reload the list' }).click();
  await listed(desk, 'Chrome on Linux', 'Firefox on Windows', 'Safari on iPhone');
  await desk.getByRole('button', { name: 'Sign out everywhere else' }).click();
  await desk.getByRole('status').getByText('All your other sessions are signed out.').waitFor();
  await listed(desk, 'Chrome on Linux');
  await pressInVain(fox, 'refused');
  await pressInVain(phone, 'refused');
}

async function changePassword(desk, fox) {
  await signIn(fox);
  await visit(desk, 'Password', 'Change your password');
  const current = desk.getByLabel('Current password', { exact: true });
  const fresh = desk.getByLabel('New password', { exact: true });
  const change = async (from, to) => {
    await current.fill(from);
    await fresh.fill(to);
    await desk.getByRole('button', { name: 'Change password' }).click();
  };

  await change('correct horse batter', NEW_PASSWORD);
  await desk.locator('#current-error', { hasText: 'That is not your current password.' }).waitFor();
  assert.equal(await fresh.inputValue(), NEW_PASSWORD, 'what was typed is still there');
  assert.ok(await current.evaluate((field) => field === document.activeElement), 'the wrong one has the focus');

  await change('correct horse battery', 'Password1!');
  await desk.locator('#new-error', { hasText: /common|first|guess/i }).waitFor();
  assert.equal(await desk.locator('#current-error').textContent(), '');
  await change('correct horse battery', 'short');
  await desk.locator('#new-error', { hasText: '8 characters' }).waitFor();

  await change('correct horse battery', NEW_PASSWORD);
  await desk.getByRole('status').getByText('Your password is changed').waitFor();
  assert.equal(await current.inputValue() + await fresh.inputValue(), '');
  await pressInVain(fox, 'refused');
  await visit(desk, 'Session', 'Your session');
  await press(desk);

  await fillSignIn(fox, 'alice', 'correct horse battery');
  await fox.getByText('The username or the password is wrong.').waitFor();
  await signIn(fox, 'alice', NEW_PASSWORD);
}

play(async () => {
  const context = await newBrowser();
  const desk = await signedIn(context);
  const fox = await signedIn(await newBrowser({ userAgent: FIREFOX }));
  const phone = await signedIn(await newBrowser({ userAgent: SAFARI }));
  const stranger = await signedIn(await newBrowser(), 'mallory');
  await ending(desk, fox, phone);
  await changePassword(desk, fox);

  // All sessions, this one included.
  const cookie = await cookieOf(context);
  await visit(desk, 'All sessions', 'Your sessions');
  await listed(desk, 'Chrome on Linux', 'Firefox on Windows');
  await desk.getByRole('button', { name: 'Sign out everywhere', exact: true }).click();
  await signedOut(desk, 'here');
  assert.equal((await raw('GET', '/session', { cookie })).status, 401);
  await pressInVain(fox, 'refused');

  // The browser's own session, from the list.
  await signIn(desk, 'alice', NEW_PASSWORD);
  await visit(desk, 'All sessions', 'Your sessions');
  await desk.getByRole('button', { name: /^Revoke Chrome on Linux,.* this session$/ }).click();
  await signedOut(desk, 'here');
  await press(stranger);
});
