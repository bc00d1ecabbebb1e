"""The history: what was tried, answered and broken, in order, one JSON object a line."""

from __future__ import annotations

import json
import pathlib
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["invoke", "ok", "fail", "info"]
"""Jepsen's: tried; done; not done; nobody knows, or not an operation of a client."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """One line."""

    at: float
    """Seconds since the epoch: comparable with PostgreSQL's clock, which is this machine's."""
    kind: Kind
    what: str
    """``post``, ``read`` or ``fault``."""
    facts: dict[str, Any] = field(default_factory=dict)


class History:
    """Written as it happens, so that a run that hangs can be read too."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        self.events: list[Event] = []
        self._file = path.open("w")
        self._lock = threading.Lock()

    def add(self, kind: Kind, what: str, **facts: Any) -> None:
        """Append one event, now."""
        event = Event(at=time.time(), kind=kind, what=what, facts=facts)
        with self._lock:
            self.events.append(event)
            self._file.write(json.dumps({"at": round(event.at, 4), "kind": kind, "what": what, **facts}) + "\n")
            self._file.flush()

    def of(self, what: str, kind: Kind | None = None) -> list[Event]:
        """The events of one sort."""
        with self._lock:
            return [event for event in self.events if event.what == what and kind in (None, event.kind)]

    def close(self) -> None:
        """Nothing more is written."""
        self._file.close()
