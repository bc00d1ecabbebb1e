"""Waiting: a limit on every wait for PostgreSQL, kept by this process and by nobody else.

``statement_timeout`` is kept by the server, TCP keepalives by its kernel: a
frozen server (stopped, swapped out, half-open route) keeps neither, and
psycopg2 then waits for ever. psycopg2 lets a process replace its wait by a
callback; ours gives up. psycopg2 closes a connection whose callback raised, so
the pool throws it away.

Where somebody waits for an answer, the limits of the single steps add up to too
much: a place in the pool, a connection, a statement. There the whole of it has
a limit too (`answer_within`).
"""

from __future__ import annotations

import contextlib
import math
import select
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import psycopg2
from psycopg2 import extensions

Ready = Callable[[int, bool, float], bool]
"""``(descriptor, for_writing, seconds) -> whether it became ready in time``."""

_WAITS = (extensions.POLL_READ, extensions.POLL_WRITE)
_ESTABLISHED = (extensions.STATUS_READY, extensions.STATUS_BEGIN, extensions.STATUS_PREPARED)


def ready_by_poll(descriptor: int, for_writing: bool, seconds: float) -> bool:  # noqa: FBT001
    """Wait in this thread. ``poll``, because ``select`` cannot hold descriptors above 1023."""
    poller = select.poll()
    poller.register(descriptor, select.POLLOUT if for_writing else select.POLLIN)
    return bool(poller.poll(seconds * 1000))


_answer_by: ContextVar[float] = ContextVar("answer_by", default=math.inf)
"""On the monotonic clock; of this thread or greenlet."""


_waited: ContextVar[float] = ContextVar("waited", default=0.0)
"""Seconds that this thread or greenlet has waited already, before it asked for a connection."""


class Answering(extensions.connection):
    """A connection behind which somebody waits. (psycopg2's own counts its steps apart.)"""


def answer_within(seconds: float) -> None:
    """From here on this thread or greenlet waits so long for `Answering` connections, all in all."""
    _answer_by.set(time.monotonic() + seconds - _waited.get())


@contextlib.contextmanager
def having_waited(seconds: float) -> Iterator[None]:
    """Have so many seconds counted among those that this thread or greenlet waits for `Answering` connections."""
    before = _waited.set(seconds)
    try:
        yield
    finally:
        _waited.reset(before)


def left_seconds() -> float:
    """How long this thread or greenlet may still wait for `Answering` connections."""
    return max(0.0, _answer_by.get() - time.monotonic())


def bound_every_wait(*, connect_seconds: float, statement_seconds: float, ready: Ready = ready_by_poll) -> None:
    """Install the callback for this process (psycopg2 knows only one).

    Args:
        statement_seconds: the server's own limit; ours is a second longer, so
            that a server that works answers with its error first.
        ready: how to wait; the API hands in gevent's.
    """

    def wait(connection: Any) -> None:
        connecting = connection.status not in _ESTABLISHED
        limit = connect_seconds if connecting else statement_seconds + 1.0
        until = time.monotonic() + limit
        if isinstance(connection, Answering):
            until = min(until, _answer_by.get())
        while (state := connection.poll()) != extensions.POLL_OK:
            if state not in _WAITS:
                raise psycopg2.OperationalError("the connection to the database broke")
            left = until - time.monotonic()
            if left <= 0 or not ready(connection.fileno(), state == extensions.POLL_WRITE, left):
                raise psycopg2.OperationalError("the database did not answer in time")

    extensions.set_wait_callback(wait)
