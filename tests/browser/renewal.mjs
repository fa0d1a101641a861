// The renewal timeout of 4 seconds, with a grace of 2.

import assert from 'node:assert/strict';
import {
  cookieOf, heading, left, newBrowser, open, play, press, pressInVain, raw, sessionId, signedIn, signedOut, until,
} from './fixture.mjs';

const due = (page) => until('the renewal is due', async () => await left(page, 'renewal') === 0);
const generation = async (page) => Number((await sessionId(page)).split('.')[1]);

async function agree(tabs, atLeast) {
  await until(`all tabs show one session ID of generation ${atLeast} or later`, async () => {
    const ids = new Set(await Promise.all(tabs.map(sessionId)));
    return ids.size === 1 && await generation(tabs[0]) >= atLeast;
  });
}

play(async () => {
  const context = await newBrowser();
  const one = await signedIn(context);
  const first = await cookieOf(context);
  const two = await open(context);
  await heading(two, 'Your session').waitFor();
  const elsewhere = await signedIn(await newBrowser());
  const lineage = (await sessionId(one)).split('.')[0];
  assert.equal(await sessionId(one), `${lineage}.0`);

  // A request renews once renewal is due, and the other tab learns of it.
  await due(one);
  assert.equal(await press(one, 'Poll in the background'), 'kept', 'a poll does not renew');
  assert.equal(await press(one), 'renewed');
  assert.equal(await sessionId(one), `${lineage}.1`);
  await agree([one, two], 1);
  assert.notEqual(await cookieOf(context), first);

  // Both tabs act at the same time, and neither loses its session.
  await due(two);
  const did = await Promise.all([press(one), press(two)]);
  assert.ok(did.includes('renewed'), did.join());
  await agree([one, two], 2);
  for (const tab of [one, two]) assert.equal((await press(tab)) === 'renewed' || (await left(tab, 'renewal')) > 0, true);
  assert.equal((await sessionId(one)).split('.')[0], lineage);

  // An explicit renewal renews too.
  await due(one);
  assert.equal(await press(one, 'Renew now', 'POST /session/renew'), 'renewed');
  await agree([one, two], 3);

  // A thief presents the first cookie, superseded longer ago than the grace.
  assert.equal((await raw('GET', '/session', { cookie: first })).status, 401);
  await pressInVain(one, 'refused');
  await signedOut(two, 'refused');
  assert.equal(await cookieOf(context), undefined);
  // The user's other session is not affected.
  await press(elsewhere);
  assert.notEqual((await sessionId(elsewhere)).split('.')[0], lineage);
});
