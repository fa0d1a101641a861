"""Verifies a token of Waxseal's with pyseto, and signs tokens that Waxseal must judge.

Reads one JSON object on standard input and writes one on standard output.
"""

import base64
import json
import sys
import urllib.request

import pyseto
from pyseto import Key

job = json.load(sys.stdin)
with urllib.request.urlopen(job["paserks_url"]) as answer:
    published = {key["kid"]: key["paserk"] for key in json.load(answer)["keys"]}

head, purpose, body, encoded_footer = job["token"].split(".")


def b64decode(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def b64encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


footer = b64decode(encoded_footer)
kid = json.loads(footer)["kid"]
key = Key.from_paserk(published[kid])
assert all(Key.from_paserk(paserk).to_paserk_id() == kid for kid, paserk in published.items())
(successor,) = [other for other in published if other != kid]


def verify(token=job["token"], key=key, **options):
    return pyseto.decode(key, token, deserializer=json, **options)


def refusal(**changes):
    try:
        verify(**changes)
    except pyseto.PysetoError as error:
        return type(error).__name__
    return None


good = verify()

other = "B" if body[-9] == "A" else "A"
forged = ".".join([head, purpose, body[:-9] + other + body[-8:], encoded_footer])
swapped = ".".join([head, purpose, body, b64encode(json.dumps({"kid": successor}).encode())])

private = Key.new(version=4, purpose="public", key=job["pem"])


def sign(footer=footer, **options):
    return pyseto.encode(private, good.payload, footer, serializer=json, **options).decode()


json.dump(
    {
        "footer": good.footer,
        "claims": good.payload,
        "refused": {
            "signature": refusal(token=forged),
            "footer": refusal(token=swapped),
            "assertion": refusal(implicit_assertion=b"x"),
            "successor": refusal(key=Key.from_paserk(published[successor])),
        },
        "signed": {
            "footer": sign(),
            "no footer": sign(footer=b""),
            "wrong kid": sign(footer={"kid": private.to_paserk_id()}),
            "another key's kid": sign(footer={"kid": successor}),
            "assertion": sign(implicit_assertion=b"x"),
        },
    },
    sys.stdout,
)
