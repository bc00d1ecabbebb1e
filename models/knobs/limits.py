"""How often, and how much, one caller may ask."""

from __future__ import annotations

from dataclasses import dataclass

from models import forms
from models.knobs.knob import knob


@dataclass(frozen=True, kw_only=True)
class LimitKnobs:
    """Rates within a window that moves, and quotas."""

    create_limit: str = knob(
        "CREATE_LIMIT",
        forms.rate,
        default="500/5 seconds",
        example="500/5 seconds",
        meaning="Jobs one owner may create: 100 a second in the long run, 500 in one burst. `none`: any number.",
    )
    batch_limit: str = knob(
        "BATCH_LIMIT",
        forms.rate,
        default="60/minute",
        example="60/minute",
        meaning="Batches one owner may hand in or try again. `none`: any number.",
    )
    login_limit: str = knob(
        "LOGIN_LIMIT",
        forms.rate,
        default="5/minute",
        example="5/minute",
        meaning="Tries at the password of one account from one address. `none`: any number.",
    )
    auth_limit: str = knob(
        "AUTH_LIMIT",
        forms.rate,
        default="60/minute",
        example="60/minute",
        meaning="Requests from one address to each of the other routes of `/api/auth`, and logins in all. `none`: any.",
    )
    register_limit: str = knob(
        "REGISTER_LIMIT",
        forms.rate,
        default="10/minute",
        example="10/minute",
        meaning="Tries to make an account from one address. `none`: any number.",
    )
    send_limit: str = knob(
        "SEND_LIMIT",
        forms.rate,
        default="100/10 seconds",
        example="100/10 seconds",
        meaning="Messages one user may send, edit or delete, in all chats together. `none`: any number.",
    )
    search_limit: str = knob(
        "SEARCH_LIMIT",
        forms.rate,
        default="60/minute",
        example="60/minute",
        meaning="Searches of one user. `none`: any number.",
    )
    daily_tokens_per_owner: int = knob(
        "DAILY_TOKENS_PER_OWNER",
        forms.whole(0, 10**12),
        default=0,
        example="1000000",
        meaning="Tokens one owner's jobs may use on one day (UTC) before no more are accepted (429); 0: any number.",
    )
