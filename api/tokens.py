"""Access tokens: JWTs that say who signed in and where, for a quarter of an hour. And the refresh tokens beside them.

One algorithm, two keys at most, each found by its ``kid`` in a map of our own. What
a token says is believed only as far as it names a session; whether that still
stands, and what its user may do, the database says.

A refresh token is 256 random bits. Its successor is an HMAC of it, so that who asks
twice gets the same answer (`models.sessions`); without our key nobody can foresee it.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
import uuid
from dataclasses import dataclass
from typing import Any

import jwt

from models.settings import Settings

ALGORITHM = "HS256"
ISSUER, AUDIENCE, TYPE = "parley", "parley-api", "access"
LEEWAY_SECONDS = 10
"""Clocks of several machines disagree by so much."""
_REQUIRED = ["exp", "iat", "sub", "jti", "aud", "iss", "typ", "sid"]


class InvalidToken(Exception):
    """Not one of ours, not an access token, or past its time."""


@dataclass(frozen=True, kw_only=True)
class Claims:
    """What an access token says."""

    user_id: str
    session_id: str
    expires_at: float
    """Seconds since 1970."""


class Tokens:
    """Signs and reads, with this installation's keys."""

    def __init__(self, settings: Settings) -> None:
        keys = [key for key in (settings.token_key, settings.previous_token_key) if key]
        self._keys = {_kid(key): key for key in keys}
        self._current = _kid(keys[0]) if keys else ""
        self.seconds = settings.access_seconds

    def sign(self, *, user_id: str, session_id: str) -> str:
        """An access token for this session."""
        now = time.time()
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "typ": TYPE,
            "sub": user_id,
            "sid": session_id,
            "iat": now,
            "exp": now + self.seconds,
            "jti": uuid.uuid4().hex,
        }
        return jwt.encode(claims, self._keys[self._current], ALGORITHM, headers={"kid": self._current})

    def successor(self, refresh_token: str) -> str:
        """What a refresh token is exchanged for."""
        key = self._keys[self._current].encode()
        return _url_safe(hmac.digest(key, b"parley refresh " + refresh_token.encode(), hashlib.sha256))

    def read(self, token: str) -> Claims:
        """What it says.

        Raises:
            InvalidToken: it is none, or no longer one.
        """
        try:
            key = self._keys[jwt.get_unverified_header(token).get("kid", "")]
            said: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                issuer=ISSUER,
                audience=AUDIENCE,
                leeway=LEEWAY_SECONDS,
                options={"require": _REQUIRED},
            )
            if said["typ"] != TYPE:
                raise InvalidToken
            ids = [str(uuid.UUID(str(said[name]))) for name in ("sub", "sid")]
            return Claims(user_id=ids[0], session_id=ids[1], expires_at=float(said["exp"]) + LEEWAY_SECONDS)
        except (jwt.InvalidTokenError, KeyError, TypeError, ValueError) as error:
            raise InvalidToken from error


def fresh_refresh_token() -> str:
    """The first of a session."""
    return _url_safe(secrets.token_bytes(32))


def _url_safe(secret: bytes) -> str:
    return base64.urlsafe_b64encode(secret).rstrip(b"=").decode()


def _kid(key: str) -> str:
    """Names a key without giving it away."""
    return hashlib.sha256(b"parley kid " + key.encode()).hexdigest()[:12]
