// fastify and @fastify/jwt, one process a core; without revocation.

import cluster from "node:cluster";
import { availableParallelism } from "node:os";

import jwt from "@fastify/jwt";
import fastify from "fastify";

const { PEER_ALGORITHM, PEER_CACHE, PEER_ISSUER, PEER_KEY, PEER_PORT } = process.env;

if (cluster.isPrimary) {
  for (let core = 0; core < availableParallelism(); core += 1) cluster.fork();
  process.on("SIGTERM", () => process.exit(0));
} else {
  const app = fastify();
  await app.register(jwt, {
    // With a public key alone nothing is signed here.
    secret: PEER_ALGORITHM === "HS256" ? PEER_KEY : { public: PEER_KEY },
    verify: {
      algorithms: [PEER_ALGORITHM],
      allowedIss: PEER_ISSUER,
      allowedAud: PEER_ISSUER,
      requiredClaims: ["exp", "iss", "aud"],
      clockTolerance: 5000,
      // How many tokens it remembers that verified.
      cache: Number(PEER_CACHE),
    },
  });
  const schema = {
    response: {
      200: {
        type: "object",
        properties: { id: { type: "string" }, subject: { type: "string" }, expires_at: { type: "integer" } },
      },
    },
  };
  app.get("/session", { schema, onRequest: (request) => request.jwtVerify() }, async (request) => ({
    id: request.user.sid,
    subject: request.user.sub,
    expires_at: request.user.exp,
  }));
  await app.listen({ host: "127.0.0.1", port: Number(PEER_PORT) });
}
