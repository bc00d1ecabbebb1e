"""Preferences: how long a client would like to wait for an answer (RFC 7240, ``Prefer: wait=N``)."""

from __future__ import annotations

import re

from werkzeug.http import parse_list_header

LONGEST_WAIT_SECONDS = 60

_NAME = re.compile(r"\s*([^\s=;]+)")
_WAIT = re.compile(r'\s*wait\s*=\s*(?:([0-9]+)|"([0-9]+)")\s*(?:;.*)?', re.IGNORECASE)


def wait_seconds(prefer: str | None) -> int | None:
    """The wait a client prefers, 60 s at most; None if it names none, or none that can be understood.

    Of several, the first counts.

    >>> wait_seconds("respond-async, wait=10"), wait_seconds("wait=3600"), wait_seconds("wait=soon")
    (10, 60, None)
    """
    for preference in parse_list_header(prefer or ""):
        name = _NAME.match(preference)
        if name and name[1].lower() == "wait":
            wait = _WAIT.fullmatch(preference)
            return _bounded(wait[1] or wait[2]) if wait else None
    return None


def _bounded(digits: str) -> int:
    # A number of thousands of digits is not worth reading.
    return min(LONGEST_WAIT_SECONDS, int(digits.lstrip("0")[:9] or 0))
