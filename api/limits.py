"""Limits: how often one caller may do what is dear. Reading a job costs no look at any of this.

Flask-Limiter knows the limits and counts a moving window; `models.live.windows`
keeps it, in Redis for all processes or, while Redis is away, in this one alone.
Its hooks are left out: they would run before and after every request, and read
the window a second time for the headers. Here a view says what limits it.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, TypeVar

from flask import Flask, Response, after_this_request, current_app, g, request
from flask_limiter import Limiter
from limits import RateLimitItem, parse
from limits.storage import MovingWindowSupport, Storage

from api.callers import caller
from models import logs, owners
from models.errors import RateLimited
from models.live.windows import Taken, Windows
from models.settings import Settings

View = TypeVar("View", bound=Callable[..., Any])

SETTING_OF: Mapping[str, str] = {
    "create": "create_limit",
    "batch": "batch_limit",
    "send": "send_limit",
    "search": "search_limit",
    "login": "login_limit",
    "login-address": "auth_limit",
    "register": "register_limit",
    "password": "login_limit",
    "refresh": "auth_limit",
    "logout": "auth_limit",
    "guest": "auth_limit",
}
"""The limits, each by the name that callers see, with the setting that holds it."""
MOST_TOLD = 10_000

HEADERS: Mapping[str, Any] = {
    "RateLimit-Policy": {
        "schema": {"type": "string"},
        "description": 'What holds here: `"create";q=500;w=5` is 500 within any 5 s.',
    },
    "RateLimit": {
        "schema": {"type": "string"},
        "description": 'What is left: `"create";r=499;t=5`, and in how many seconds it will be more.',
    },
}
"""For the OpenAPI document."""

log = logs.logger()


def by_owner(name: str) -> Callable[[View], View]:
    """Count for whoever calls. Stands above the arguments: what cannot be read counts as well."""
    return _limited(lambda *_: count(name))


def by_address(name: str) -> Callable[[View], View]:
    """Count for the address a request comes from; for routes that ask nobody who it is."""
    return _limited(lambda *_: _limits().count(name, _address()))


def by_login(view: View) -> View:
    """Count for an account and an address together. Stands below the arguments, of which it reads ``username``."""
    return _limited(lambda said, *_: _limits().count("login", f"{_address()}:{_digest(said['username'])}"))(view)


def count(name: str) -> None:
    """Count for whoever calls, from within a view.

    A guest's cookie is there for the asking, so guests are counted by their address.

    Raises:
        RateLimited: there have been as many as there may be.
    """
    owner = caller().owner
    _limits().count(name, _address() if owners.is_guest(owner) else owner)


def _limited(count_one: Callable[..., None]) -> Callable[[View], View]:
    def decorate(view: View) -> View:
        @wraps(view)
        def limited(*args: Any, **kwargs: Any) -> Any:
            count_one(*args)
            return view(*args, **kwargs)

        return limited  # type: ignore[return-value]

    return decorate


def _limits() -> Limits:
    found: Limits = current_app.extensions["parley"]["limits"]
    return found


def _address() -> str:
    return owners.of_address(request.remote_addr)


def _digest(username: str) -> str:
    """So that no name is to be found in Redis or in a log."""
    return hashlib.sha256(username.encode()).hexdigest()[:32]


class _Storage(Storage, MovingWindowSupport):
    """Flask-Limiter's storage: one question to `Windows` takes a place and says all there is to say of it."""

    STORAGE_SCHEME = ["parley"]  # noqa: RUF012
    base_exceptions = ()

    def __init__(self, uri: str, *, windows: Windows, wrap_exceptions: bool = False) -> None:
        super().__init__(uri, wrap_exceptions=wrap_exceptions)
        self._windows = windows

    def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        """Whether there was room; ``amount`` is always 1."""
        del amount
        taken: Taken = self._windows.take(key, most=limit, seconds=expiry)
        g.taken = taken
        return taken.is_allowed

    def _never_asked(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError

    incr = get = get_expiry = check = reset = clear = get_moving_window = _never_asked


class Limits:
    """One for each process."""

    def __init__(self, app: Flask, settings: Settings) -> None:
        self.windows = Windows(settings)
        options: dict[str, Any] = {"windows": self.windows}
        limiter = Limiter(_address, strategy="moving-window", storage_uri="parley://", storage_options=options)
        # So it believes that its hooks are in place already.
        app.extensions.setdefault("limiter", set()).add(limiter)
        limiter.init_app(app)
        self._strategy = limiter.limiter
        self._limits = {
            name: parse(said) for name, setting in SETTING_OF.items() if (said := getattr(settings, setting))
        }
        self._told: dict[str, float] = {}

    def count(self, name: str, by: str) -> None:
        """Count one more, or refuse it; the answer says how many are left.

        Raises:
            RateLimited: there have been as many as there may be.
        """
        limit = self._limits.get(name)
        if limit is None:
            return
        is_allowed = self._strategy.hit(limit, name, by)
        taken: Taken = g.taken
        _show(name, limit, taken)
        if not is_allowed:
            self._tell(name, by, limit)
            raise RateLimited(
                most=limit.amount, window_seconds=limit.get_expiry(), retry_seconds=_whole(taken.reset_seconds)
            )

    def _tell(self, name: str, key: str, limit: RateLimitItem) -> None:
        """Once in a window: whoever floods us is not to flood the log."""
        now = time.monotonic()
        if self._told.get(key, now) > now:
            return
        if len(self._told) >= MOST_TOLD:
            self._told.clear()
        self._told[key] = now + limit.get_expiry()
        log.warning("rate_limited", limit=name, key=key)


def _show(name: str, limit: RateLimitItem, taken: Taken) -> None:
    if "standings" not in g:
        g.standings = []
        after_this_request(_add_headers)
    g.standings.append(
        (
            f'"{name}";q={limit.amount};w={limit.get_expiry()}',
            f'"{name}";r={taken.left};t={_whole(taken.reset_seconds)}',
        )
    )


def _add_headers(response: Response) -> Response:
    # draft-ietf-httpapi-ratelimit-headers-10: lists, an item for each policy.
    policies, standings = zip(*g.standings, strict=True)
    response.headers["RateLimit-Policy"] = ", ".join(policies)
    response.headers["RateLimit"] = ", ".join(standings)
    return response


def _whole(seconds: float) -> int:
    return max(1, math.ceil(seconds))
