"""Job rows: how a job that is to be done at once is inserted, each column beside its value."""

from __future__ import annotations

from models.states import JobStatus

_AT_ONCE = {
    "status": f"'{JobStatus.CREATED}'",
    "created_at": "t",
    "updated_at": "t",
    "next_attempt_at": "t",
    "due": "true",
}


def insert(*, source: str, **values: str) -> str:
    """The statement, without what is to be done with a conflict.

    Args:
        source: FROM and what follows; it knows the present as ``t``.
        values: SQL for each further column, by its name.

    >>> insert(source="(SELECT clock_timestamp() AS t) AS clock", owner=":owner").split(" SELECT ")[0]
    'INSERT INTO jobs (status, created_at, updated_at, next_attempt_at, due, owner)'
    """
    columns = {**_AT_ONCE, **values}
    return f"INSERT INTO jobs ({', '.join(columns)}) SELECT {', '.join(columns.values())} FROM {source}"  # noqa: S608
