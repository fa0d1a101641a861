"""Verifies a token of Waxseal's with PyJWT, and signs tokens that Waxseal must judge.

Reads one JSON object on standard input and writes one on standard output.
"""

import json
import sys

import jwt

job = json.load(sys.stdin)
client = jwt.PyJWKClient(job["jwks_url"])
key = client.get_signing_key_from_jwt(job["token"])


def verify(token=job["token"], **changes):
    expected = {
        "algorithms": [job["algorithm"]],
        "audience": job["audience"],
        "issuer": job["issuer"],
        "options": {"require": ["exp", "iat", "iss", "aud", "sub", "jti"]},
    }
    return jwt.decode_complete(token, key, **(expected | changes))


def refusal(**changes):
    try:
        verify(**changes)
    except jwt.InvalidTokenError as error:
        return type(error).__name__
    return None


good = verify()
assert key.key_id == good["header"]["kid"]

head, payload, signature = job["token"].split(".")
other = "B" if signature[9] == "A" else "A"
forged = ".".join([head, payload, signature[:9] + other + signature[10:]])


def sign(typ):
    # PyJWT writes JWT unless it is told otherwise; an empty type leaves the parameter out.
    return jwt.encode(
        good["payload"],
        job["pem"],
        algorithm=job["algorithm"],
        headers={"kid": key.key_id, "typ": typ},
    )


json.dump(
    {
        "header": good["header"],
        "claims": good["payload"],
        "refused": {
            "audience": refusal(audience="https://other.example"),
            "issuer": refusal(issuer="https://other.example"),
            "signature": refusal(token=forged),
        },
        "signed": {"at+jwt": sign("at+jwt"), "JWT": sign("JWT"), "none": sign("")},
    },
    sys.stdout,
)
