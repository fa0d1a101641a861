// A verifier for another program: the first line on standard input has its options, each further one a token. Each
// token is answered with a line: what it is (session, client, invalid_token, unavailable), whose, and why not.

import { createInterface } from 'node:readline';
import { Refusal, Verifier } from '../verifier.js';

let verifier;
for await (const line of createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line);
  if (!verifier) {
    verifier = new Verifier({ ...asked, log: (message) => console.error(message) });
    continue;
  }
  const verdict = await verifier.verify(asked.token).then(
    ({ kind, subject }) => ({ verdict: kind, subject }),
    (refusal) => {
      if (!(refusal instanceof Refusal)) throw refusal;
      return { verdict: refusal.code, cause: String(refusal.cause) };
    },
  );
  console.log(JSON.stringify(verdict));
}
verifier?.close();
