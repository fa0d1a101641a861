// Gets, uses, checks and revokes a client's token with oauth4webapi. Reads one JSON object on standard input and writes
// one on standard output.

import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const job = JSON.parse(readFileSync(0, "utf8"));
// The packages are in the build folder, not next to this file.
const packages = createRequire(`${job.packages}/package.json`);
const load = (name) => import(pathToFileURL(packages.resolve(name)));
const [oauth, jose] = [await load("oauth4webapi"), await load("jose")];

// The library's own option for a local server without TLS.
const insecure = { [oauth.allowInsecureRequests]: true };
const issuer = new URL(job.issuer);
const as = await oauth.processDiscoveryResponse(
  issuer,
  await oauth.discoveryRequest(issuer, { algorithm: "oauth2", ...insecure }),
);

const client = { client_id: job.client_id };
const auth = job.pem
  ? oauth.PrivateKeyJwt({
      key: await jose.importPKCS8(job.pem, job.algorithm),
      kid: job.kid,
    })
  : oauth.ClientSecretBasic(job.client_secret);

const grant = async (auth, parameters) =>
  oauth.processClientCredentialsResponse(
    as,
    client,
    await oauth.clientCredentialsGrantRequest(as, client, auth, parameters, insecure),
  );
const introspect = async (token) =>
  oauth.processIntrospectionResponse(
    as,
    client,
    await oauth.introspectionRequest(as, client, auth, token, insecure),
  );
const use = (token) =>
  oauth
    .protectedResourceRequest(token, "GET", new URL("/verify", issuer), undefined, null, insecure)
    .then(
      (response) => response.status,
      (error) => `${error.code} ${error.status} ${error.cause[0].parameters.error}`,
    );
const check = (token, audience) => {
  const headers = { authorization: `Bearer ${token}` };
  const request = new Request("https://orders.example/", { headers });
  return oauth.validateJwtAccessToken(as, request, audience, insecure);
};
const refusal = (promise) =>
  promise.then(
    () => null,
    (error) => `${error.code} ${error.error ?? error.cause?.[0]?.scheme ?? ""}`.trim(),
  );

const granted = await grant(auth, { scope: "orders:read" });
const token = granted.access_token;
const before = { introspected: await introspect(token), used: await use(token) };
const narrow = await grant(auth, { resource: job.other_audience });

await oauth.processRevocationResponse(
  await oauth.revocationRequest(as, client, auth, token, insecure),
);

console.log(
  JSON.stringify({
    granted,
    before,
    claims: await check(token, job.audience),
    refused: {
      audience: await refusal(check(token, job.other_audience)),
      "own audience": await refusal(check(narrow.access_token, job.audience)),
      scope: await refusal(grant(auth, { scope: "admin" })),
      secret: await refusal(grant(oauth.ClientSecretBasic("wrong"), {})),
    },
    after: { introspected: await introspect(token), used: await use(token) },
  }),
);
