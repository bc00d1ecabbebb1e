"""Flights: of many in one process who miss the same entry at once, one fetches it and the others wait for that.

Who has waited looks again, and takes what is kept, not what the other was given: that one may have read before a change
which the waiting one has made itself. If there is still nothing, each fetches for itself.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
PATIENCE_SECONDS = 1.0


class Flights:
    """Those of one process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: dict[str, threading.Event] = {}

    def found(self, entry: str, look: Callable[[], T | None], fetch: Callable[[], T]) -> T:
        """What ``look`` finds, or else ``fetch`` brings."""
        if (kept := look()) is not None:
            return kept
        landed, is_first = self._join(entry)
        if not is_first:
            landed.wait(PATIENCE_SECONDS)
            kept = look()
            return fetch() if kept is None else kept
        try:
            return fetch()
        finally:
            with self._lock:
                del self._under_way[entry]
            landed.set()

    def _join(self, entry: str) -> tuple[threading.Event, bool]:
        with self._lock:
            landed = self._under_way.get(entry)
            if landed is not None:
                return landed, False
            return self._under_way.setdefault(entry, threading.Event()), True
