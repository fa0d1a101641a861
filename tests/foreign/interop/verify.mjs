// Verifies a Waxseal token with jose, and signs tokens that Waxseal must judge. Reads one JSON object on standard input
// and writes one on standard output.

import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const job = JSON.parse(readFileSync(0, "utf8"));
// The packages are in the build folder, not next to this file.
const packages = createRequire(`${job.packages}/package.json`);
const jose = await import(pathToFileURL(packages.resolve("jose")));

const keys = jose.createRemoteJWKSet(new URL(job.jwks_url));
const expected = {
  algorithms: [job.algorithm],
  issuer: job.issuer,
  audience: job.audience,
  typ: "at+jwt",
};
const verify = (token, changes) =>
  jose.jwtVerify(token, keys, { ...expected, ...changes });
const refusal = (token, changes) =>
  verify(token, changes).then(
    () => null,
    (error) => `${error.code} ${error.claim ?? ""}`.trim(),
  );

const good = await verify(job.token);

const [head, payload, signature] = job.token.split(".");
const other = signature[9] === "A" ? "B" : "A";
const forged = `${head}.${payload}.${signature.slice(0, 9)}${other}${signature.slice(10)}`;

const key = await jose.importPKCS8(job.pem, job.algorithm);
const sign = (typ) =>
  new jose.SignJWT(good.payload)
    .setProtectedHeader({
      alg: job.algorithm,
      kid: good.protectedHeader.kid,
      ...(typ ? { typ } : {}),
    })
    .sign(key);

console.log(
  JSON.stringify({
    header: good.protectedHeader,
    claims: good.payload,
    refused: {
      audience: await refusal(job.token, { audience: "https://other.example" }),
      issuer: await refusal(job.token, { issuer: "https://other.example" }),
      signature: await refusal(forged),
      typ: await refusal(job.token, { typ: "JWT" }),
    },
    signed: {
      "at+jwt": await sign("at+jwt"),
      JWT: await sign("JWT"),
      none: await sign(),
    },
  }),
);
