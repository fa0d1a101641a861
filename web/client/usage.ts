// Compiled, never run: the types as an application uses them.

import { Problem, Waxseal, type Session } from 'waxseal-client';

const waxseal = new Waxseal({ baseUrl: new URL('https://auth.example'), delivery: 'bearer', audience: ['https://api.example'] });

waxseal.addEventListener('changed', ({ detail }) => detail.session.id satisfies string);
waxseal.addEventListener('about-to-end', ({ detail }) => detail.timeout satisfies 'idle' | 'absolute');
waxseal.addEventListener('ended', ({ detail }) => detail.reason satisfies 'logout' | 'idle' | 'absolute' | 'refused' | 'no-cookie', { once: true });
// @ts-expect-error: it has no session
waxseal.addEventListener('ended', ({ detail }) => detail.session);

export async function use(): Promise<Session | null> {
  try {
    await waxseal.login('alice', 'correct horse battery');
    const poll: Response = await waxseal.fetch('/inbox', { background: true, headers: { Accept: 'application/json' } });
    await waxseal.logout(poll.ok ? 'this' : 'all');
  } catch (error) {
    if (error instanceof Problem && error.code === 'too_many_requests') return new Promise(() => error.retryAfter satisfies number | null);
  }
  // @ts-expect-error: it is read-only
  waxseal.session = null;
  // @ts-expect-error: there is no such delivery
  new Waxseal({ delivery: 'storage' });
  return waxseal.renew();
}
