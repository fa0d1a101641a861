// Verifies a Waxseal token with paseto-ts, and signs tokens that Waxseal must judge. Reads one JSON object on standard
// input and writes one on standard output.

import { createPrivateKey } from "node:crypto";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const job = JSON.parse(readFileSync(0, "utf8"));
// The packages are in the build folder, not next to this file, and this one has no entry point for require.
const entry = `${job.packages}/node_modules/paseto-ts/dist/v4/index.js`;
const { sign, verify } = await import(pathToFileURL(entry));

const answer = await (await fetch(job.paserks_url)).json();
const published = new Map(answer.keys.map(({ kid, paserk }) => [kid, paserk]));

const [head, purpose, body, encodedFooter] = job.token.split(".");
const footer = Buffer.from(encodedFooter, "base64url").toString();
const { kid } = JSON.parse(footer);
const [successor] = [...published.keys()].filter((other) => other !== kid);

const good = verify(published.get(kid), job.token);

const refusal = (token, changes = {}, key = published.get(kid)) => {
  try {
    verify(key, token, changes);
    return null;
  } catch (error) {
    return error.code ?? String(error);
  }
};
const other = body.at(-9) === "A" ? "B" : "A";
const forged = [head, purpose, body.slice(0, -9) + other + body.slice(-8), encodedFooter].join(".");
const successors = Buffer.from(JSON.stringify({ kid: successor })).toString("base64url");
const swapped = [head, purpose, body, successors].join(".");

// k4.secret is the seed followed by the public key.
const { d, x } = createPrivateKey(job.pem).export({ format: "jwk" });
const both = Buffer.concat([d, x].map((part) => Buffer.from(part, "base64url")));
const secret = `k4.secret.${both.toString("base64url")}`;
const signed = (footer, options = {}) => sign(secret, good.payload, { footer, ...options });

console.log(
  JSON.stringify({
    footer: good.footer,
    claims: good.payload,
    refused: {
      signature: refusal(forged),
      footer: refusal(swapped),
      assertion: refusal(job.token, { assertion: "x" }),
      successor: refusal(job.token, {}, published.get(successor)),
    },
    signed: {
      footer: signed(footer),
      "no footer": signed(""),
      "wrong kid": signed({ kid: `${kid.slice(0, -1)}${kid.endsWith("A") ? "B" : "A"}` }),
      "another key's kid": signed({ kid: successor }),
      assertion: signed(footer, { assertion: "x" }),
    },
  }),
);
