"""The clock: PostgreSQL's, read anew by every expression.

Machines disagree about the time; rows are compared with one clock only.
``clock_timestamp()`` and not ``now()``: the latter stands still during a
transaction, so a statement that waited for a lock would judge leases by the
time at which it began to wait. PostgreSQL cannot look for a clock that moves in an
index, though: a statement that searches by time, and waits for no lock, compares
with ``statement_timestamp()``.
"""

from __future__ import annotations

import datetime as dt

from sqlalchemy import Function, func


def now() -> Function[dt.datetime]:
    """The present, as a SQL expression."""
    return func.clock_timestamp()
