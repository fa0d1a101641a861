"""Gets, uses, checks and revokes a client's token with Authlib, and checks it with joserfc.

Reads one JSON object on standard input and writes one on standard output.
"""

import json
import os
import sys

# Authlib's own option for a server on this machine, which has no TLS.
os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"

import requests
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc6750.errors import InsufficientScopeError, InvalidTokenError
from authlib.oauth2.rfc9068 import JWTBearerTokenValidator
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

job = json.load(sys.stdin)
issuer = job["issuer"]
metadata = requests.get(f"{issuer}/.well-known/oauth-authorization-server").json()
assert metadata["issuer"] == issuer


def session(secret=job["client_secret"], scope="orders:read"):
    return OAuth2Session(
        job["client_id"],
        secret,
        scope=scope,
        token_endpoint_auth_method="client_secret_basic",
    )


def grant(session):
    return session.fetch_token(
        metadata["token_endpoint"], grant_type="client_credentials"
    )


def refusal(run):
    try:
        run()
    except OAuthError as error:
        return f"OAuthError {error.error}"
    except (InvalidTokenError, InsufficientScopeError, JoseError) as error:
        return type(error).__name__
    return None


client = session()
granted = grant(client)
token = granted["access_token"]


def use():
    return client.get(f"{issuer}/verify").status_code


def introspect():
    answer = client.introspect_token(metadata["introspection_endpoint"], token=token)
    return answer.json()


class Validator(JWTBearerTokenValidator):
    """As a service that was written with Authlib has it."""

    def get_jwks(self):
        return requests.get(metadata["jwks_uri"]).json()


def check(audience=job["audience"], scope="orders:read"):
    validator = Validator(issuer=issuer, resource_server=audience)
    claims = validator.authenticate_token(token)
    validator.validate_token(claims, [scope], None)


def check_with_joserfc(audience=job["audience"]):
    keys = KeySet.import_key_set(requests.get(metadata["jwks_uri"]).json())
    decoded = jwt.decode(token, keys, algorithms=[job["algorithm"]])
    assert decoded.header["typ"] == "at+jwt"
    names = ["iss", "aud", "sub", "client_id", "exp", "iat", "jti"]
    expected = {name: {"essential": True} for name in names}
    expected["iss"]["value"] = issuer
    expected["aud"]["value"] = audience
    jwt.JWTClaimsRegistry(**expected).validate(decoded.claims)
    return decoded.claims


before = {"introspected": introspect(), "used": use()}
other = job["other_audience"]
found = {
    "granted": granted,
    "before": before,
    "claims": check_with_joserfc(),
    "refused": {
        "nothing": refusal(check),
        "audience": refusal(lambda: check(audience=other)),
        "scope of a handler": refusal(lambda: check(scope="admin")),
        "audience, by joserfc": refusal(lambda: check_with_joserfc(audience=other)),
        "scope": refusal(lambda: grant(session(scope="admin"))),
        "secret": refusal(lambda: grant(session(secret="wrong"))),
    },
}
answer = client.revoke_token(metadata["revocation_endpoint"], token=token)
assert answer.status_code == 200, answer.text
found["after"] = {"introspected": introspect(), "used": use()}
json.dump(found, sys.stdout)
