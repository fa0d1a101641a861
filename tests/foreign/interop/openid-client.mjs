// Gets, uses and revokes a client's token with openid-client.
// Reads one JSON object on standard input and writes one on standard output.

import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const job = JSON.parse(readFileSync(0, "utf8"));
// The packages are in the build folder, not next to this file.
const packages = createRequire(`${job.packages}/package.json`);
const load = (name) => import(pathToFileURL(packages.resolve(name)));
const [openid, jose] = [await load("openid-client"), await load("jose")];

const issuer = new URL(job.issuer);
const auth = job.pem
  ? openid.PrivateKeyJwt({
      key: await jose.importPKCS8(job.pem, job.algorithm),
      kid: job.kid,
    })
  : openid.ClientSecretBasic(job.client_secret);
const discover = (auth) =>
  openid.discovery(issuer, job.client_id, undefined, auth, {
    algorithm: "oauth2",
    // The library's own option for a local server without TLS.
    execute: [openid.allowInsecureRequests],
  });
const config = await discover(auth);

const use = (token) =>
  openid
    .fetchProtectedResource(config, token, new URL("/verify", issuer), "GET")
    .then(
      (response) => response.status,
      (error) => `${error.code} ${error.status}`,
    );
const refusal = (promise) =>
  promise.then(
    () => null,
    (error) => `${error.code} ${error.error ?? error.cause?.[0]?.scheme ?? ""}`.trim(),
  );

const granted = await openid.clientCredentialsGrant(config, { scope: "orders:read" });
const token = granted.access_token;
const before = {
  introspected: await openid.tokenIntrospection(config, token),
  used: await use(token),
};
await openid.tokenRevocation(config, token);
const other = await discover(openid.ClientSecretBasic("wrong"));

console.log(
  JSON.stringify({
    granted,
    before,
    refused: {
      scope: await refusal(openid.clientCredentialsGrant(config, { scope: "admin" })),
      secret: await refusal(openid.clientCredentialsGrant(other)),
    },
    after: {
      introspected: await openid.tokenIntrospection(config, token),
      used: await use(token),
    },
  }),
);
