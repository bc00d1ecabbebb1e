"""Beside: databases that are made next to another, to look into a backup or to take the other's place.

What is made here is removed here, however its maker ends, or by the next one where it was killed. The name says whose
it is and what for: ``parley_check_1f2e3d4c``.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import sys
import uuid
from collections.abc import Iterator
from typing import Any

import psycopg2
from psycopg2 import sql

from models.settings import Settings
from scripts import dumps
from scripts.dumps import Refused

LONGEST = 63
"""Bytes of a name. PostgreSQL cuts what is longer, and two names could become one."""
DIGITS = 8
REMOVABLE = "SELECT datname FROM pg_database WHERE pg_has_role(datdba, 'USAGE')"


def called(name: str, purpose: str) -> str:
    """A name that no database has: this one's, the purpose, and eight digits by chance.

    >>> called("parley", "check")[:-8]
    'parley_check_'
    """
    return _family(name, purpose) + uuid.uuid4().hex[:DIGITS]


@contextlib.contextmanager
def made(ours: Settings, name: str) -> Iterator[Settings]:
    """An empty database of this name, for as long as this lasts; it stays if it has got another name by then.

    Raises:
        Refused: it cannot be made.
    """
    mine = True
    try:
        with contextlib.closing(dumps.connect(ours)) as connection, connection.cursor() as cursor:
            try:
                cursor.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
            except psycopg2.Error as error:
                # Nothing was made, so what has this name is another's.
                mine = False
                lacks = isinstance(error, psycopg2.errors.InsufficientPrivilege)
                why = "This role may make no database: ALTER ROLE … CREATEDB." if lacks else dumps.first_line(error)
                raise Refused(why) from None
        yield dumps.with_name(ours, name)
    finally:
        if mine:
            _removed(ours, name)


def sweep(cursor: Any, name: str, purpose: str) -> None:
    """Remove what was made for this purpose and left. The caller sees to it that nobody is at it."""
    mine = re.compile(re.escape(_family(name, purpose)) + f"[0-9a-f]{{{DIGITS}}}")
    cursor.execute(REMOVABLE)
    for (each,) in cursor.fetchall():
        if mine.fullmatch(each):
            _drop(cursor, each)


def drop(ours: Settings, name: str) -> None:
    """Remove a database, if it is there."""
    with contextlib.closing(dumps.connect(ours)) as connection, connection.cursor() as cursor:
        _drop(cursor, name)


def _family(name: str, purpose: str) -> str:
    after = f"_{purpose}_"
    room = LONGEST - DIGITS - len(after)
    if len(name.encode()) > room:
        digest = hashlib.sha256(name.encode()).hexdigest()[:DIGITS]
        name = name.encode()[: room - DIGITS - 1].decode(errors="ignore") + f"_{digest}"
    return name + after


def _drop(cursor: Any, name: str) -> None:
    cursor.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _removed(ours: Settings, name: str) -> None:
    """Whatever went wrong before is what the caller has to hear of."""
    try:
        drop(ours, name)
    except (Refused, psycopg2.Error) as error:
        print(f"{name} is left behind until this is done again: {dumps.first_line(error)}", file=sys.stderr)
