"""The watchdog: ends a process that is up and does nothing, so that its supervisor starts it anew.

Supervisors restart what has ended, not what hangs. So each loop says when it has
been at work, and a thread ends the process when one has kept silent for too long.
Every wait of a loop is bounded, so silence is a defect: a thread that died, a
lock that nobody gives back, a library that does not return.

An outage is not silence. A loop that meets a database that does not answer has
been at work; ending it would cure nothing, and throw away the answers it keeps.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

from models import logs

EXIT_CODE = 70
LOOKS = 10
"""So many in the time after which silence counts."""

log = logs.logger()


class Watchdog:
    """One for each process; only watches once it is started.

    Args:
        seconds: of silence after which the process is ended.
        leave: ends the process.
    """

    def __init__(self, *, seconds: float, leave: Callable[[int], object] = os._exit) -> None:
        self._seconds, self._leave = seconds, leave
        self._due: dict[str, float] = {}
        self._looked_at = time.monotonic()

    def heard(self, loop: str, *, again_within: float = 0.0) -> None:
        """The loop of that name is at work.

        Args:
            again_within: seconds for which it now rests; infinite while it has nothing to do.
        """
        self._due[loop] = time.monotonic() + again_within + self._seconds

    def start(self) -> None:
        """From now on end the process when a loop falls silent."""
        self._looked_at = time.monotonic()
        threading.Thread(target=self._run, name="watchdog", daemon=True).start()

    def look(self) -> None:
        """End the process if a loop should have been heard by now."""
        now = time.monotonic()
        late, self._looked_at = now - self._looked_at - self._seconds / LOOKS, now
        if late > self._seconds / LOOKS:
            # The whole process stood still, not a loop of it: stopped, or its machine asleep.
            self._due = {loop: due + late for loop, due in list(self._due.items())}
        silent = [loop for loop, due in list(self._due.items()) if due < now]
        if silent:
            log.error("process_stuck", loops=silent, seconds=self._seconds)
            self._leave(EXIT_CODE)

    def _run(self) -> None:
        while True:
            time.sleep(self._seconds / LOOKS)
            self.look()
