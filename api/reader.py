"""The reader: looks jobs up for many requests at once.

When a thousand waiting requests wake together, a thousand queries would queue
for ten connections, and the last would find that its time in the pool is up.
Here the requests that gather while one query runs share the next one.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from models import jobs, versions
from models.base import bare

MOST_AT_ONCE = 250


class _Batch:
    """The jobs that one query will look up, and what it found."""

    def __init__(self) -> None:
        self.ids: set[str] = set()
        self.done = False
        self.found: Mapping[str, Mapping[str, Any]] = {}
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            with bare() as session:
                self.found = versions.shown_at_once(session, sorted(self.ids))
        except Exception as error:  # noqa: BLE001  it belongs to everyone who shares the query
            self.error = error
        self.done = True


class Reader:
    """One for each process."""

    def __init__(self) -> None:
        self._gathering = threading.Lock()
        self._turn = threading.Lock()
        self._next = _Batch()

    def read(self, job_id: str) -> Mapping[str, Any]:
        """The job as `models.jobs.shown` has it.

        Raises:
            Refusal: there is none.
            SQLAlchemyError: nobody could look.
        """
        with self._gathering:
            if len(self._next.ids) >= MOST_AT_ONCE:
                self._next = _Batch()
            batch = self._next
            batch.ids.add(job_id)
        with self._turn:
            if not batch.done:
                with self._gathering:
                    if self._next is batch:
                        self._next = _Batch()
                batch.run()
        if batch.error is not None:
            raise batch.error
        return batch.found.get(job_id) or _refused(job_id)


def _refused(job_id: str) -> Mapping[str, Any]:
    """Why it is not there is for that verb to say."""
    with bare() as session:
        return jobs.shown(session, job_id)
