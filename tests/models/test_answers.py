"""Behind the API's connections somebody waits: the whole use of one is bounded, and none is tried that is broken."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import psycopg2
import pytest
from psycopg2 import extensions
from sqlalchemy import text
from sqlalchemy.exc import OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session as OrmSession

from models import base, waiting
from models.base import Autocommit, Session, bare, is_outage
from models.settings import Settings
from tests.fault_proxy import FaultProxy

SECONDS = 1.5
LONG_SECONDS = 40.0
ONE = text("SELECT 1 AS one")


@pytest.fixture
def proxy(bound: Settings) -> Iterator[FaultProxy]:
    """Before the database, and this process's sessions behind it, as in the API."""
    before = Session.kw["bind"], Autocommit.kw["bind"]
    port = int(bound.database_url.rsplit(":", 1)[1].split("/")[0])
    with FaultProxy(port) as mine:
        url = mine.behind(bound.database_url)
        settings = dataclasses.replace(bound, database_url=url, db_answer_seconds=SECONDS, db_pool_size=2)
        engine = base.open_database(settings, name="tests", answers=True)
        yield mine
        engine.dispose()
        Autocommit.kw["bind"].dispose()
    Session.configure(bind=before[0])
    Autocommit.configure(bind=before[1])


def one() -> object:
    with bare() as session:
        return session.execute(ONE, {}).mappings().one_or_none()


def refused_after() -> float:
    """Seconds until a statement was refused as an outage."""
    begun = time.monotonic()
    with pytest.raises(SQLAlchemyError) as refused:
        one()
    assert is_outage(refused.value)
    return time.monotonic() - begun


def test_a_frozen_database_is_given_up_in_time_by_all_who_wait(proxy: FaultProxy) -> None:
    """Those with a connection, those who make one, and those who wait for a place in the pool."""
    one()
    proxy.switch("freeze")

    with ThreadPoolExecutor(6) as threads:
        waits = list(threads.map(lambda _: refused_after(), range(6)))

    assert max(waits) < SECONDS + 1
    proxy.switch("pass")
    assert one() == {"one": 1}


def test_a_broken_connection_takes_its_elders_along(proxy: FaultProxy) -> None:
    """Each of them would cost another caller his answer."""
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda _: one_slowly(), range(2)))
    proxy.switch("reset")
    proxy.switch("pass")

    refused_after()

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda _: one_slowly(), range(2)))  # raises what they raised


def test_the_time_of_an_answer_bounds_no_other_connection(proxy: FaultProxy, bound: Settings) -> None:
    """The same thread may have waited for one before."""
    one()
    waiting.answer_within(0)

    with contextlib.closing(psycopg2.connect(bound.libpq_url)) as other, other.cursor() as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)


def one_slowly() -> None:
    """Long enough for another connection to be needed."""
    with bare() as session:
        session.execute(text("SELECT pg_sleep(0.1)"), {})


@contextlib.contextmanager
def transaction() -> Iterator[OrmSession]:
    with Session.begin() as session:
        yield session


def test_a_statement_that_takes_too_long_is_ended_by_a_server_that_works(proxy: FaultProxy) -> None:
    """So its connection lives on."""
    with pytest.raises(SQLAlchemyError) as refused, transaction() as session:
        session.execute(text("SELECT pg_sleep(9)"))

    assert is_outage(refused.value)
    assert not getattr(refused.value, "connection_invalidated", False)


def test_a_transaction_may_ask_for_time(proxy: FaultProxy) -> None:
    """A batch of ten thousand takes longer than a poll; the next transaction is held to the usual time."""
    with transaction() as session:
        base.take_time(session, seconds=5)
        session.execute(text("SELECT pg_sleep(:seconds)"), {"seconds": SECONDS + 0.5})

    with pytest.raises(SQLAlchemyError), transaction() as session:
        session.execute(text("SELECT pg_sleep(:seconds)"), {"seconds": SECONDS + 0.5})


def test_a_connection_that_broke_without_a_word_is_not_waited_for(bound: Settings) -> None:
    """psycopg2 may say so in its answer instead of raising."""
    wait: Any = extensions.get_wait_callback()
    broken = SimpleNamespace(status=extensions.STATUS_READY, poll=lambda: extensions.POLL_ERROR)

    with pytest.raises(psycopg2.OperationalError, match="broke"):
        wait(broken)


def test_what_was_waited_before_counts(bound: Settings) -> None:
    """A place in the pool and an answer are then waited for as long as is left, and the next answer as long as ever."""
    before = Session.kw["bind"], Autocommit.kw["bind"]
    settings = dataclasses.replace(bound, db_answer_seconds=LONG_SECONDS, db_pool_size=1)
    engine = base.open_database(settings, name="tests", answers=True)
    pool = Autocommit.kw["bind"]

    def late() -> object:
        with waiting.having_waited(LONG_SECONDS):
            return one()

    try:
        with ThreadPoolExecutor(1) as threads:
            with pool.connect(), pytest.raises(PoolTimeout):
                threads.submit(late).result(LONG_SECONDS / 2)
            with pytest.raises(OperationalError, match="did not answer in time"):
                threads.submit(late).result(LONG_SECONDS / 2)
            assert threads.submit(one).result() == {"one": 1}
    finally:
        engine.dispose()
        pool.dispose()
        Session.configure(bind=before[0])
        Autocommit.configure(bind=before[1])
