"""The base: how this process reaches PostgreSQL, and what all tables share.

Doors (a view, a task, a loop, a test) open ``with Session.begin() as session:``
and hand the session to verbs; verbs never commit. `Autocommit` is for a door whose
every statement stands alone: PostgreSQL then needs no BEGIN and no COMMIT, which
are two of three round trips. `bare` is the same for the two routes that are called
most: an ORM session costs them more CPU than psycopg2 does.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import enum
from collections.abc import Iterator, Mapping
from typing import Any

import psycopg2
from sqlalchemy import DateTime, Engine, Enum, MetaData, QueuePool, TextClause, create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import DeclarativeBase, sessionmaker
from sqlalchemy.orm import Session as OrmSession
from sqlalchemy.pool import PoolProxiedConnection
from sqlalchemy.util import queue

import models
from models import database_metrics, prepared, waiting
from models.settings import Settings

# expire_on_commit=False: a view may serialise what it has just committed.
Session = sessionmaker(expire_on_commit=False)
"""A transaction: all of it or nothing."""

Autocommit = sessionmaker(expire_on_commit=False)
"""Each statement its own transaction: ``with Autocommit() as session``."""

LOCK_SECONDS = 3
IDLE_IN_TRANSACTION_SECONDS = 10
POOL_OVERFLOW = 5
SERVERS_SHARE = 0.9
"""Of an answer's time: a server that works then says itself that a statement took too long."""


def stored_by_value(states: type[enum.StrEnum]) -> Enum:
    """An enum stored as its value, kept to its members by a CHECK."""
    return Enum(
        states, native_enum=False, create_constraint=True, length=20, values_callable=lambda e: [s.value for s in e]
    )


class Base(DeclarativeBase):
    """Every datetime is aware; every constraint has a name that migrations can rely on."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {dt.datetime: DateTime(timezone=True)}  # noqa: RUF012


def open_database(settings: Settings, *, name: str, answers: bool = False) -> Engine:
    """Bind `Session` and `Autocommit` of this process to the database; connects at first use.

    Args:
        name: shown in ``pg_stat_activity`` (``parley api``).
        answers: whether callers wait behind each use of it, for whom ``DB_ANSWER_SECONDS`` is the longest wait.
    """
    models.load_tables()  # a foreign key names a table that its own module need not import
    engine = _engine(settings, name, overflow=POOL_OVERFLOW, answers=answers, planning={})
    database_metrics.watch(engine, pool="transactions", size=settings.db_pool_size + POOL_OVERFLOW)
    Session.configure(bind=engine)
    # A pool of its own: switching a connection back and forth would cost the round trip that autocommit saves.
    autocommit = _engine(
        settings, name, overflow=0, answers=answers, planning=prepared.PLANNING, isolation_level="AUTOCOMMIT"
    )
    database_metrics.watch(autocommit, pool="statements", size=settings.db_pool_size)
    Autocommit.configure(bind=autocommit)
    return engine


class ForgettingPool(QueuePool):
    """A pool that can be told that a connection broke: its elders are then replaced, not tried one by one."""

    def forget(self, connection: PoolProxiedConnection, error: Exception) -> None:
        """Replace this connection and all made before it at their next use, as an ORM session has it done."""
        self._invalidate(connection, error)


class _Places(queue.Queue[Any]):
    """What `QueuePool` keeps its connections in: waits for one no longer than whoever asks may wait in all."""

    def get(self, block: bool = True, timeout: float | None = None) -> Any:  # noqa: FBT001, FBT002
        left = waiting.left_seconds()
        return super().get(block, left if timeout is None else min(timeout, left))


class AnsweringPool(ForgettingPool):
    """A pool behind which somebody waits: ``pool_timeout`` bounds the whole use of a connection.

    The limits of the single steps (a place in the pool, connecting, a statement) would add up.
    """

    _queue_class = _Places

    def connect(self) -> PoolProxiedConnection:
        """A connection whose time runs from now, before the wait for it."""
        waiting.answer_within(self.timeout())
        return super().connect()


def take_time(session: OrmSession, *, seconds: float) -> None:
    """Let this transaction run longer than an answer may take; its caller has been told that it will."""
    session.execute(_STATEMENT_LIMIT, {"limit": str(int(seconds * 1000))})
    waiting.answer_within(seconds + 1)  # last, for taking a connection from the pool has set it anew


_STATEMENT_LIMIT = text("SELECT set_config('statement_timeout', :limit, true)")


class Bare:
    """An autocommit connection, with as much of `Session` as single textual statements need."""

    def __init__(self, cursor: Any, usable: dict[str, bool]) -> None:
        self._cursor, self._usable = cursor, usable

    def execute(self, statement: TextClause, parameters: Mapping[str, object]) -> Bare:
        """Run it; the answer is read from what is returned."""
        prepared.run(self._cursor, prepared.compiled(statement), parameters, usable=self._usable)
        return self

    def mappings(self) -> Bare:
        """Rows by column name, which is how they come here anyway."""
        return self

    def one_or_none(self) -> dict[str, Any] | None:
        """The row, if there is one."""
        row = self._cursor.fetchone()
        return row and dict(zip((column.name for column in self._cursor.description), row, strict=True))

    def all(self) -> list[dict[str, Any]]:
        """All rows."""
        names = [column.name for column in self._cursor.description]
        return [dict(zip(names, row, strict=True)) for row in self._cursor]


@contextlib.contextmanager
def bare() -> Iterator[Bare]:
    """``with bare() as session``: `Autocommit` without the session's work.

    Raises:
        SQLAlchemyError: as from a session.
    """
    engine: Engine = Autocommit.kw["bind"]
    connection = None
    try:
        connection = engine.raw_connection()
        with contextlib.closing(connection.cursor()) as cursor:
            yield Bare(cursor, connection.info.setdefault("prepared", {}))
    except psycopg2.Error as error:
        broken = connection is None or bool(connection.dbapi_connection and connection.dbapi_connection.closed)
        if connection is not None and broken:
            pool: Any = engine.pool
            pool.forget(connection, error)
        raise DBAPIError.instance(None, None, error, psycopg2.Error, connection_invalidated=broken) from error
    finally:
        if connection is not None:
            connection.close()


def _engine(
    settings: Settings, name: str, *, overflow: int, answers: bool, planning: Mapping[str, str], **options: Any
) -> Engine:
    statement_seconds, pool_seconds = settings.db_statement_seconds, settings.db_connect_seconds
    connecting: dict[str, Any] = {}
    if answers:
        connecting["connection_factory"] = waiting.Answering
        pool_seconds = settings.db_answer_seconds
        statement_seconds = min(statement_seconds, SERVERS_SHARE * pool_seconds)
    return create_engine(
        settings.database_url,
        poolclass=AnsweringPool if answers else ForgettingPool,
        pool_size=settings.db_pool_size,
        max_overflow=overflow,
        pool_timeout=pool_seconds,
        # LIFO lets a pool that was busy once fall idle again.
        pool_use_lifo=True,
        connect_args={
            "application_name": f"parley {name}",
            "options": _options(statement_seconds, planning),
            "cursor_factory": database_metrics.TimedCursor,
            **connecting,
        },
        **options,
    )


def _options(statement_seconds: float, planning: Mapping[str, str]) -> str:
    chosen = {
        "statement_timeout": int(statement_seconds * 1000),
        "lock_timeout": LOCK_SECONDS * 1000,
        "idle_in_transaction_session_timeout": IDLE_IN_TRANSACTION_SECONDS * 1000,
        "timezone": "UTC",
        # Compiling a plan costs more than any statement here runs.
        "jit": "off",
        **planning,
    }
    return " ".join(f"-c {name}={value}" for name, value in chosen.items())


# 08: connection; 25: transaction ended (idle too long); 40: rolled back (deadlock); 53: out of resources;
# 55, 57: in use, cancelled, shutting down; 58: its own system failed. No code: no answer at all.
_OUTAGE_CLASSES = frozenset({"08", "25", "40", "53", "55", "57", "58"})


def is_outage(error: Exception) -> bool:
    """Whether the database, not the statement, is to blame, so that the same statement may succeed later."""
    if isinstance(error, PoolTimeout):
        return True
    if not isinstance(error, DBAPIError):
        return False
    code = getattr(error.orig, "pgcode", None)
    return error.connection_invalidated or _class_of(error, code) in _OUTAGE_CLASSES


def _class_of(error: DBAPIError, code: str | None) -> str:
    """The SQLSTATE's class; psycopg2 leaves it empty when the connection broke or the wait was cut."""
    if code is not None:
        return code[:2]
    return "08" if isinstance(error.orig, psycopg2.OperationalError) else ""
