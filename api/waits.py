"""Waits: how this process waits for PostgreSQL, and how it learns that it should stop.

Under gunicorn's gevent workers the standard library is patched before this
application is imported, but psycopg2 is C and would block every other request;
its wait callback hands the wait to gevent.
"""

from __future__ import annotations

from typing import Any

from gevent import monkey
from gevent import socket as green

from models import waiting
from models.settings import Settings


def ready_by_gevent(descriptor: int, for_writing: bool, seconds: float) -> bool:  # noqa: FBT001
    """Let other greenlets run until the descriptor is ready."""
    try:
        (green.wait_write if for_writing else green.wait_read)(descriptor, timeout=seconds)
    except TimeoutError:
        return False
    return True


def bound(settings: Settings) -> None:
    """Limit every wait for the database in this process, by gevent where it is in charge."""
    waiting.bound_every_wait(
        connect_seconds=settings.db_connect_seconds,
        statement_seconds=settings.db_statement_seconds,
        ready=ready_by_gevent if monkey.is_module_patched("socket") else waiting.ready_by_poll,
    )


class Stopping:
    """Whether gunicorn told this worker to stop; gunicorn.conf.py hands the worker over."""

    worker: Any = None

    def __call__(self) -> bool:
        """True from the moment gunicorn has said so."""
        return self.worker is not None and not self.worker.alive
