"""The reader: looks jobs up for many requests at once.

When a thousand waiting requests wake together, a thousand queries would queue
for ten connections, and the last would find that its time in the pool is up.
Here the requests that gather while one query runs share the next one.

And when a query got no answer, those who waited for their turn share that, too:
each batch would find out for itself, one after the other, and the last caller
would be told after half a minute.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from sqlalchemy.exc import TimeoutError as PoolTimeout

from models import jobs, versions
from models.base import bare, is_outage

MOST_AT_ONCE = 250
PATIENCE_SECONDS = 2.0


class _Batch:
    """The jobs that one query will look up, each with whom it is for, and what it found."""

    def __init__(self) -> None:
        self.wanted: set[tuple[str, str]] = set()
        self.done = False
        self.found: Mapping[tuple[str, str], Mapping[str, Any]] = {}
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            with bare() as session:
                self.found = versions.shown_at_once(session, sorted(self.wanted))
        except Exception as error:  # noqa: BLE001  it belongs to everyone who shares the query
            self.error = error
        self.done = True

    def fail(self, error: Exception) -> None:
        """Nobody needs to try."""
        self.error, self.done = error, True


class Reader:
    """One for each process.

    Args:
        patience_seconds: how long a request may wait for its turn.
    """

    def __init__(self, *, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._patience_seconds = patience_seconds
        self._gathering = threading.Lock()
        self._turn = threading.Lock()
        self._waiting: list[_Batch] = []

    def read(self, job_id: str, *, reader: str) -> Mapping[str, Any]:
        """The job as `models.jobs.shown` has it.

        Raises:
            Refusal: there is none that the reader may see.
            SQLAlchemyError: nobody could look, or not in time.
        """
        batch = self._join((job_id, reader))
        if not self._turn.acquire(timeout=self._patience_seconds):
            raise PoolTimeout("the queries of others took too long")
        try:
            if not batch.done:
                self._run(batch)
        finally:
            self._turn.release()
        if batch.error is not None:
            raise batch.error
        return batch.found.get((job_id, reader)) or _refused(job_id, reader=reader)

    def _join(self, wanted: tuple[str, str]) -> _Batch:
        with self._gathering:
            if not self._waiting or len(self._waiting[-1].wanted) >= MOST_AT_ONCE:
                self._waiting.append(_Batch())
            batch = self._waiting[-1]
            batch.wanted.add(wanted)
        return batch

    def _run(self, batch: _Batch) -> None:
        with self._gathering:
            self._waiting.remove(batch)
        batch.run()
        if batch.error is not None and is_outage(batch.error):
            with self._gathering:
                told, self._waiting = self._waiting, []
            for other in told:
                other.fail(batch.error)


def _refused(job_id: str, *, reader: str) -> Mapping[str, Any]:
    """Why it is not there is for that verb to say."""
    with bare() as session:
        return jobs.shown(session, job_id, reader=reader)
