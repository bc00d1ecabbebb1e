"""Hearing: notices that a worker lives and is deaf.

Celery's connection to its broker can die in ways that neither end reports, and a
consumer can be gone while its process is well: it beats, has slots free, and
never gets a job again. The sign is precise. Jobs of its class have been
announced and nobody has taken them, look after look; this worker has room and
has been told of none; and the broker answers a new connection.

The worker then stops as if it had been told to, letting its calls finish, and
exits for its supervisor.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

from sqlalchemy.exc import SQLAlchemyError

from models import announcements, logs
from models.base import Session
from models.live import broker, client
from tasks.runner import Runner
from tasks.watchdog import EXIT_CODE, LOOKS

log = logs.logger()


class Hearing:
    """A thread beside the `Runner`; it ends with the process.

    Args:
        leave: ends the process.
    """

    def __init__(self, runner: Runner, *, leave: Callable[[int], object] = os._exit) -> None:
        self._runner, self._leave = runner, leave
        self._seconds = runner.settings.watchdog_seconds
        self._well_at = time.monotonic()

    def start(self) -> None:
        """Begin to listen whether this worker hears."""
        threading.Thread(target=self._run, name="hearing", daemon=True).start()

    def check(self) -> None:
        """Stop the process if it has been deaf all the time."""
        if not self._seems_deaf():
            self._well_at = time.monotonic()
        elif time.monotonic() - self._well_at > self._seconds and self._broker_answers():
            log.error("worker_deaf", seconds=self._seconds)
            self._runner.stop(grace_seconds=self._runner.settings.stop_grace_seconds)
            self._leave(EXIT_CODE)

    def _seems_deaf(self) -> bool:
        if not self._runner.has_room or self._runner.hinted_at > self._well_at:
            return False
        try:
            with Session.begin() as session:
                return announcements.are_out(
                    session, self._runner.queue_class, again_after=self._runner.settings.announce_seconds
                )
        except SQLAlchemyError:  # the watch has logged it
            return False

    def _broker_answers(self) -> bool:
        """Otherwise nobody hears anything, and a new process would not either."""
        return broker.answers(self._runner.settings, seconds=client.READ_SECONDS)

    def _run(self) -> None:
        while True:
            time.sleep(self._seconds / LOOKS)
            try:
                self.check()
            except Exception:
                log.exception("tick_failed", loop="hearing")
