// Compiled, never run: the types as a service uses them.

import { createServer } from 'node:http';
import { Refusal, Verifier, type Verified } from 'waxseal-verifier';

const verifier = new Verifier({ issuer: 'https://auth.example', clientId: 'client-…', clientSecret: 'wxs_…', audience: ['https://orders.example'], maxStaleness: 5 });
await verifier.ready();

createServer(async (request, response) => {
  try {
    const [, token = ''] = /^bearer +(.*)$/i.exec(request.headers.authorization ?? '') ?? [];
    const who: Verified = await verifier.verify(token);
    response.end(who.kind === 'session' ? `session ${who.claims.sid} of ${who.subject}` : `client ${who.subject}: ${who.claims.scope}`);
    // @ts-expect-error: a client has no session
    if (who.kind === 'client') who.claims.sid;
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    response.writeHead(error.status satisfies 401 | 503).end(error.code satisfies 'invalid_token' | 'unavailable');
  }
}).on('close', () => verifier.close());

// @ts-expect-error: it is read-only
verifier.fresh = true;
// @ts-expect-error: the credentials are required
new Verifier({ issuer: 'https://auth.example' });
