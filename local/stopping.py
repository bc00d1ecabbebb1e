"""Stopping: how a person, or the machine, asks the launcher to end."""

from __future__ import annotations

import signal
from typing import Final

ASKING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(Exception):
    """Somebody asked the launcher to stop; raised where it would otherwise go on waiting."""


class StopRequests:
    """Counts the requests: the first asks for a clean end, the second for an immediate one."""

    def __init__(self) -> None:
        self._count = 0

    def listen(self) -> None:
        """From now on Ctrl-C, SIGTERM and SIGHUP are requests. Under ``nohup`` SIGHUP stays ignored."""
        for number in ASKING:
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self.note)

    def note(self, *_: object) -> None:
        """Count a request; what `signal.signal` calls."""
        self._count += 1

    def is_stopping(self) -> bool:
        """Whether an end was asked for."""
        return self._count > 0

    def is_urgent(self) -> bool:
        """Whether it was asked for again."""
        return self._count > 1
