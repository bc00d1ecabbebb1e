"""Destroyed: a database that backups are made of, to be lost and restored."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from models import settings
from models.settings import Settings
from scripts import beside, dumps
from tests.conftest import Servers


@contextlib.contextmanager
def a_database(worker_id: str, *, purpose: str) -> Iterator[Settings]:
    """One of the test's own, gone in the end with all that is called after it, beside a Redis that is empty."""
    servers = Servers(worker_id, purpose=purpose)
    servers.erase_redis()
    ours = settings.from_environment(servers.environment)
    yield ours
    for name in names(ours):
        beside.drop(dumps.with_name(ours, "postgres"), name)


def ask(ours: Settings, statement: str) -> Any:
    """The first value of the first row, if there is one."""
    with contextlib.closing(dumps.connect(ours)) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone()[0] if cursor.description else None


def names(ours: Settings) -> list[str]:
    """Of all databases of the server that are called after this one, or after what is done with it."""
    known = ask(dumps.with_name(ours, "postgres"), "SELECT array_agg(datname::text) FROM pg_database")
    return [name for name in known if name.startswith(dumps.name_of(ours))]
