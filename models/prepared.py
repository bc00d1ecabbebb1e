"""Prepared: statements that PostgreSQL parses and plans once for each connection, not each time.

For a look-up by primary key that is two thirds of what it costs the server. A
statement asks for it by ``text(...).execution_options(prepared=True)``; the types
of its parameters must follow from where they stand.

What was prepared can get lost: a pooler before the server hands each statement
to another connection of its own, ``DISCARD ALL`` drops it, a migration changes the
type of a column it answers. PostgreSQL then refuses before it does anything, and
from then on that connection runs the plain statement.

A plan that is kept does not notice that its table has grown until statistics say
so, and for a table of a few rows it would be to read all of them. Connections that
prepare therefore plan without sequential scans (`PLANNING`), and once: left to itself PostgreSQL plans a question to a
partitioned table anew each time, which takes ten times as long as running it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from psycopg2 import errors
from sqlalchemy import TextClause
from sqlalchemy.dialects.postgresql.psycopg2 import dialect as psycopg2_dialect

PLANNING = {"enable_seqscan": "off", "plan_cache_mode": "force_generic_plan"}
_REFUSALS = (
    errors.InvalidSqlStatementName,  # 26000: not prepared here
    errors.DuplicatePreparedStatement,  # 42P05: prepared here by somebody else
    errors.FeatureNotSupported,  # 0A000: it would answer with other types now
)


@dataclass(frozen=True, kw_only=True)
class Statement:
    """A statement as psycopg2 takes it."""

    plain: str
    name: str = ""
    """Empty if it is not to be prepared. Otherwise made of the text: another release's statement is another one."""
    prepare: str = ""
    execute: str = ""


@cache
def compiled(statement: TextClause) -> Statement:
    """Kept for good, so statements are constants of their modules."""
    dialect: Any = psycopg2_dialect
    plain = str(statement.compile(dialect=dialect()))
    if not statement.get_execution_options().get("prepared"):
        return Statement(plain=plain)
    numbered: Any = statement.compile(dialect=dialect(paramstyle="numeric_dollar"))
    name = "parley_" + hashlib.sha256(plain.encode()).hexdigest()[:16]
    arguments = ", ".join(f"%({parameter})s" for parameter in numbered.positiontup)
    return Statement(
        plain=plain, name=name, prepare=f"PREPARE {name} AS {numbered}", execute=f"EXECUTE {name} ({arguments})"
    )


def run(cursor: Any, statement: Statement, parameters: Mapping[str, object], *, usable: dict[str, bool]) -> None:
    """Execute it in autocommit, prepared if it may be.

    Args:
        usable: whether what was prepared on this connection can be used, by name; kept with the connection.
    """
    if statement.name and usable.get(statement.name, True):
        try:
            if statement.name not in usable:
                cursor.execute(statement.prepare)
                usable[statement.name] = True
            cursor.execute(statement.execute, parameters)
        except _REFUSALS:
            usable[statement.name] = False
        else:
            return
    cursor.execute(statement.plain, parameters)
