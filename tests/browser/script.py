"""The script of the stand-in: what a test may have become of a request, and what is noted of each."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Seen:
    """One request to the API, as it arrived; `at` is monotonic."""

    method: str
    path: str
    key: str | None
    body: Any
    at: float
    authorization: str | None = None


@dataclass(frozen=True)
class Drop:
    """Close the connection without an answer; `after_doing` does what was asked first."""

    after_doing: bool = False


@dataclass(frozen=True)
class Refuse:
    """Answer with a problem."""

    status: int
    code: str
    detail: str = "Scripted."
    retry_after: int | None = None
    errors: tuple[dict[str, str], ...] = ()


@dataclass(frozen=True)
class Page:
    """Answer with somebody's HTML, as a proxy in front of a stopped server does."""

    status: int


@dataclass(frozen=True)
class Hold:
    """Answer as usual, but only once `release` is set; a look is then answered with what was so when it came."""

    release: threading.Event = field(default_factory=threading.Event)


Reply = Drop | Refuse | Page | Hold
