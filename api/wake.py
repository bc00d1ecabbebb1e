"""The waker: tells the dispatcher that there is work, without the request waiting for it.

Views set a flag; one background thread (a greenlet under gunicorn) sends one
NOTIFY for all that were set meanwhile, on an autocommit connection of its own.
Inside the creating transaction it halved the commit rate, because PostgreSQL
takes a global lock for commits that notify. Losing a wake-up costs one poll of
the dispatcher, 100 ms.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Any

import psycopg2

from models import logs
from models.announcements import WAKE_CHANNEL
from models.settings import Settings

PAUSE_SECONDS = 1.0
"""After a failure; the dispatcher polls meanwhile."""

log = logs.logger()


class Waker:
    """One for each process; its thread starts with the first wake-up, that is, after any fork."""

    def __init__(self, settings: Settings) -> None:
        self._dsn = settings.libpq_url
        self._set = threading.Event()
        self._starting = threading.Lock()
        self._started = False
        self._connection: Any = None

    def wake(self) -> None:
        """Have the dispatcher look soon. Never waits, never fails."""
        self._set.set()
        if not self._started:
            self._start()

    def _start(self) -> None:
        with self._starting:
            if not self._started:
                self._started = True
                threading.Thread(target=self._run, name="waker", daemon=True).start()

    def _run(self) -> None:
        while True:
            self._set.wait()
            self._set.clear()
            try:
                self._notify()
            except psycopg2.Error as error:
                log.warning("wake_failed", error=type(error).__name__)
                self._close()
                time.sleep(PAUSE_SECONDS)

    def _notify(self) -> None:
        if self._connection is None:
            self._connection = psycopg2.connect(self._dsn, application_name="parley waker")
            self._connection.autocommit = True
        with self._connection.cursor() as cursor:
            cursor.execute(f"NOTIFY {WAKE_CHANNEL}")

    def _close(self) -> None:
        with contextlib.suppress(psycopg2.Error, AttributeError):
            self._connection.close()
        self._connection = None
