"""The dashboard's page with its numbers already in it, for an operator whose browser runs no scripts, or is curl.

The places of numbers are those that the page's script fills. No browser sends a token by itself when a page is opened,
so that page is another than the one which is everybody's.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping
from typing import Any

Now = Mapping[str, Any]
UNKNOWN = "unknown"
_PLACE = re.compile(r'(<dd data-figure="([a-z]+)">)[^<]*(</dd>)')
_SHOWN = (('id="entry"', 'id="entry" hidden'), ('id="board" hidden', 'id="board"'))


def with_numbers(page: str, now: Now) -> str:
    """The page, with these numbers in it.

    Args:
        now: as `api.dashboard.standing` has it.

    >>> with_numbers('<dd data-figure="waiting">unknown</dd>', {"queue": {"waiting": 1204}})
    '<dd data-figure="waiting">1,204</dd>'
    """
    for before, after in _SHOWN:
        page = page.replace(before, after, 1)
    return _PLACE.sub(lambda found: found[1] + html.escape(_figure(found[2], now)) + found[3], page)


def _figure(name: str, now: Now) -> str:
    path, written = FIGURES[name]
    value: Any = now
    for part in path.split("."):
        value = value and value.get(part)
    return UNKNOWN if value is None else written(value)


def _count(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.2g}"  # noqa: PLR2004


def _share(value: float) -> str:
    return f"{value:.1%}"


def _seconds(value: float) -> str:
    return f"{value:.3g} s"


def _rate(value: float) -> str:
    return f"{_count(value)}/s"


def _megabytes(value: float) -> str:
    return f"{value / 1e6:,.0f} MB"


FIGURES: Mapping[str, tuple[str, Callable[[Any], str]]] = {
    "waiting": ("queue.waiting", _count),
    "running": ("queue.running", _count),
    "oldest": ("queue.oldest", _seconds),
    "letters": ("deadLetters.count", _count),
    "finished": ("recent.finishedRate", _rate),
    "failed": ("recent.failedShare", _share),
    "requests": ("recent.requestRate", _rate),
    "errors": ("recent.errorShare", _share),
    "latency": ("recent.latencyP95", _seconds),
    "sockets": ("recent.sockets", _count),
    "delivery": ("recent.deliveryP95", _seconds),
    "cache": ("recent.chatCacheHits", _share),
    "people": ("activity.users", _count),
    "jobs": ("activity.jobs", _count),
    "most": ("activity.jobsPerOwner", lambda shares: _count(shares[-1])),
    "cost": ("cost.today", str),
    "cores": ("recent.cores", _count),
    "resident": ("recent.resident", _megabytes),
    "disk": ("recent.diskUsedShare", _share),
    "database": ("databaseBytes", _megabytes),
    "processes": ("processes", lambda kinds: ", ".join(f"{kind} {number}" for kind, number in sorted(kinds.items()))),
}
"""Where each number stands in the body of `GET /api/dashboard`, and how it is written."""
