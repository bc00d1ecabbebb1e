"""The wake-up: hears that jobs were created, sooner than the next poll.

The API sends ``NOTIFY`` after it has committed. A notification that is lost, or
a connection that is down, costs one poll interval and nothing else.
"""

from __future__ import annotations

import contextlib
import select
import time
from typing import Any

import psycopg2

from models import logs
from models.announcements import WAKE_CHANNEL
from models.settings import Settings

RECONNECT_SECONDS = 2.0

log = logs.logger()


class WakeUp:
    """A connection of its own that LISTENs."""

    def __init__(self, settings: Settings) -> None:
        self._dsn = settings.libpq_url
        self._connection: Any = None
        self._next_try = 0.0

    def wait(self, seconds: float) -> None:
        """Return when a job was created, or after so many seconds."""
        connection = self._connected()
        if connection is None:
            time.sleep(seconds)
            return
        readable, _, _ = select.select([connection], [], [], seconds)
        if readable:
            self._drain()

    def _drain(self) -> None:
        try:
            self._connection.poll()
            self._connection.notifies.clear()
        except psycopg2.Error as error:
            log.warning("wakeup_lost", error=type(error).__name__)
            self._close()

    def _connected(self) -> Any:
        if self._connection is None and time.monotonic() >= self._next_try:
            self._next_try = time.monotonic() + RECONNECT_SECONDS
            with contextlib.suppress(psycopg2.Error):
                self._connect()
        return self._connection

    def _connect(self) -> None:
        connection = psycopg2.connect(self._dsn, application_name="parley wakeup")
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"LISTEN {WAKE_CHANNEL}")
        self._connection = connection

    def _close(self) -> None:
        with contextlib.suppress(psycopg2.Error):
            self._connection.close()
        self._connection = None
