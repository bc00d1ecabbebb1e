"""Guest secrets: what makes a browser the same guest again.

A cookie holds a random secret and a seal under our key. One that we did not seal
counts as none: else whoever thinks of a new one for each request would be as many
owners as it likes, each with a turn, a quota and a limit of its own.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

from models.settings import Settings

SECRET_BYTES = 32
LONGEST = 128
"""No cookie of ours is longer."""


class GuestSecrets:
    """Makes and opens cookies, with this installation's keys."""

    def __init__(self, settings: Settings) -> None:
        self._keys = [key.encode() for key in (settings.token_key, settings.previous_token_key) if key]

    def new_cookie(self) -> str:
        """For a guest who has never been here."""
        secret = secrets.token_urlsafe(SECRET_BYTES)
        return f"{secret}.{_seal(self._keys[0], secret)}"

    def within(self, cookie: str | None) -> str | None:
        """The secret in it; None if it is not one of ours."""
        if not cookie or len(cookie) > LONGEST or not cookie.isascii():
            return None
        secret, _, seal = cookie.partition(".")
        sealed = [hmac.compare_digest(seal, _seal(key, secret)) for key in self._keys]
        return secret if any(sealed) else None


def _seal(key: bytes, secret: str) -> str:
    # Not what access tokens are signed with: neither may pass for the other.
    return hmac.new(key, b"parley guest " + secret.encode(), hashlib.sha256).hexdigest()
