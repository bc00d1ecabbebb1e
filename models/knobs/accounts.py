"""Who may call, and how callers prove who they are."""

from __future__ import annotations

from dataclasses import dataclass

from models import forms
from models.knobs.knob import knob


@dataclass(frozen=True, kw_only=True)
class AccountKnobs:
    """Guests, accounts and tokens."""

    admin_token: str = knob(
        "ADMIN_TOKEN",
        forms.token,
        default="",
        example="a 43-character random string",
        meaning="Bearer token of the first operator, an admin. Empty: there is none. `make run` makes one.",
        secret=True,
    )
    token_key: str = knob(
        "TOKEN_KEY",
        forms.signing_key,
        default="",
        example="a 43-character random string",
        meaning="Signs tokens and guests; at least 32 bytes. The API does not start without; `make run` makes one.",
        secret=True,
    )
    previous_token_key: str = knob(
        "PREVIOUS_TOKEN_KEY",
        forms.signing_key,
        default="",
        example="the `TOKEN_KEY` of before",
        meaning="Accepted besides, so that `TOKEN_KEY` can be changed without signing everybody out.",
        secret=True,
    )
    phone_key: str = knob(
        "PHONE_KEY",
        forms.signing_key,
        default="",
        example="a 43-character random string",
        meaning="Phone numbers are kept as an HMAC under this key. Empty: they are not kept at all.",
        secret=True,
    )
    access_seconds: float = knob(
        "ACCESS_SECONDS",
        forms.seconds(10, 3600),
        default=900.0,
        example="900",
        meaning="How long an access token is good.",
    )
    session_days: float = knob(
        "SESSION_DAYS",
        forms.seconds(0.01, 365, unit="days"),
        default=30.0,
        example="30",
        meaning="Somebody who does not come back for so long has to sign in again.",
    )
    allow_guests: bool = knob(
        "ALLOW_GUESTS",
        forms.yes_or_no,
        default=False,
        example="true",
        meaning="Whether jobs may be created without an account (`make run`: true).",
    )
    registration: str = knob(
        "REGISTRATION",
        forms.one_of("open", "invitation", "closed"),
        default="invitation",
        example="open",
        meaning="Who may make an account: `open` to all, by `invitation`, or nobody (`closed`). `make run`: open.",
    )
    trusted_proxies: int = knob(
        "TRUSTED_PROXIES",
        forms.whole(0, 10),
        default=0,
        example="1",
        meaning="How many proxies of yours stand before the API; so many entries of `X-Forwarded-For` are believed.",
    )
