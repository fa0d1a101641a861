"""FastAPI and PyJWT, as FastAPI's own tutorial puts them together; without revocation."""

import os
from typing import Annotated

import jwt
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel

ALGORITHM = os.environ["PEER_ALGORITHM"]
ISSUER = os.environ["PEER_ISSUER"]
KEY = os.environ["PEER_KEY"]

app = FastAPI()
bearer = HTTPBearer(auto_error=False)


class View(BaseModel):
    id: str
    subject: str
    expires_at: int


async def verified(
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
) -> dict:
    if credentials is None:
        raise HTTPException(401)
    try:
        return jwt.decode(
            credentials.credentials,
            KEY,
            algorithms=[ALGORITHM],
            issuer=ISSUER,
            audience=ISSUER,
            leeway=5,
            options={"require": ["exp", "iss", "aud"]},
        )
    except jwt.InvalidTokenError:
        raise HTTPException(401)


@app.get("/session")
async def session(claims: Annotated[dict, Depends(verified)]) -> View:
    return View(id=claims["sid"], subject=claims["sub"], expires_at=claims["exp"])
