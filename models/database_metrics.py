"""Database metrics: what this process sends to PostgreSQL, and how many of its connections are in use.

Timed where psycopg2 sends it, below both the sessions and `bare`, so that there is one place and nothing goes past it.
"""

from __future__ import annotations

import time
from typing import Any

from psycopg2 import extensions
from sqlalchemy import Engine, event

from models import metrics

SECONDS = metrics.histogram(
    "parley_database_statement_duration_seconds",
    "From when a statement is sent to when its answer is there, failed ones too. COMMIT is none.",
    # Most are answered within one millisecond; longer than five no caller waits.
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0, 5.0),
)
IN_USE = metrics.gauge("parley_database_pool_in_use", "Connections that some work of this process has now.", "pool")
SIZE = metrics.gauge("parley_database_pool_size", "So many there may be; who wants one more waits.", "pool")


class TimedCursor(extensions.cursor):
    """psycopg2's, with its time taken."""

    def execute(self, query: Any, vars: Any = None) -> None:  # noqa: A002 - psycopg2's word
        """As psycopg2's."""
        begun = time.perf_counter()
        try:
            super().execute(query, vars)
        finally:
            SECONDS.observe(time.perf_counter() - begun)

    def executemany(self, query: Any, vars_list: Any) -> None:
        """As psycopg2's, which sends one after the other; timed as one."""
        begun = time.perf_counter()
        try:
            super().executemany(query, vars_list)
        finally:
            SECONDS.observe(time.perf_counter() - begun)


def watch(engine: Engine, *, pool: str, size: int) -> None:
    """Count the connections of its pool that are in use.

    Args:
        pool: ``transactions`` or ``statements``.
    """
    SIZE.labels(pool).set(size)
    in_use = IN_USE.labels(pool)
    in_use.set(0)
    event.listen(engine, "checkout", lambda *_: in_use.inc())
    event.listen(engine, "checkin", lambda *_: in_use.dec())
