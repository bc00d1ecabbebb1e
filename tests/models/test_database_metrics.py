"""Each statement is timed, whichever way it goes, and what is borrowed from a pool is given back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from models import base, prepared
from models.base import Autocommit, Session, bare
from models.metrics import REGISTRY
from models.settings import Settings

pytestmark = pytest.mark.usefixtures("db")
ONE = text("SELECT 1 AS one")
KEPT = text("SELECT CAST(:number AS integer) AS kept").execution_options(prepared=True)
WRONG = text("SELECT nothing FROM nowhere")
BREAK = text("SELECT pg_terminate_backend(pg_backend_pid())")


def timed() -> float:
    return REGISTRY.get_sample_value("parley_database_statement_duration_seconds_count") or 0


def shown(family: str, pool: str) -> float:
    return REGISTRY.get_sample_value(f"parley_database_pool_{family}", {"pool": pool}) or 0


@pytest.fixture
def engines(bound: Settings) -> Iterator[None]:
    """New ones, of which nobody has borrowed anything yet."""
    before = Session.kw["bind"], Autocommit.kw["bind"]
    base.open_database(bound, name="tests")
    yield
    for maker, bind in zip((Session, Autocommit), before, strict=True):
        maker.kw["bind"].dispose()
        maker.configure(bind=bind)


@contextlib.contextmanager
def connected() -> Iterator[None]:
    """Both pools have a connection already: what a new one says of itself is timed, too."""
    for maker in (Session, Autocommit):
        with maker() as session:
            session.execute(ONE)
    with bare() as session:
        session.execute(KEPT, {"number": 1})
    yield


def test_a_statement_is_timed_whichever_way_it_goes() -> None:
    """By a transaction, by itself, bare; prepared or not, and one that fails."""
    with connected():
        before = timed()
        with Session.begin() as transaction:
            transaction.execute(ONE)
        with Autocommit() as alone:
            alone.execute(ONE)
        with bare() as session:
            session.execute(ONE, {})
            session.execute(KEPT, {"number": 2})
        with pytest.raises(DBAPIError), bare() as session:
            session.execute(WRONG, {})

    assert prepared.compiled(KEPT).name
    assert timed() - before == 5


def test_many_rows_are_one_statement() -> None:
    """The ways in which a session writes many at once."""
    with connected(), Session.begin() as session:
        session.execute(text("CREATE TEMPORARY TABLE eggs (size integer) ON COMMIT DROP"))
        before = timed()
        session.execute(text("INSERT INTO eggs VALUES (:size)"), [{"size": number} for number in range(3)])
        assert session.scalar(text("SELECT count(*) FROM eggs")) == 3

    assert timed() - before == 2


@pytest.mark.usefixtures("engines")
def test_what_is_borrowed_is_given_back() -> None:
    """Also where the connection broke."""

    def in_use() -> tuple[float, float]:
        return shown("in_use", "transactions"), shown("in_use", "statements")

    with Session.begin() as session:
        session.execute(ONE)
        assert in_use() == (1, 0)
    with bare():
        assert in_use() == (0, 1)
    for maker in (Session, Autocommit):
        with pytest.raises(DBAPIError), maker() as session:
            session.execute(BREAK)
    with pytest.raises(DBAPIError), bare() as alone:
        alone.execute(BREAK, {})

    assert in_use() == (0, 0)


@pytest.mark.usefixtures("engines")
def test_what_a_pool_may_lend_is_told(bound: Settings) -> None:
    """A board divides one by the other."""
    most = bound.db_pool_size

    assert (shown("size", "transactions"), shown("size", "statements")) == (most + base.POOL_OVERFLOW, most)
