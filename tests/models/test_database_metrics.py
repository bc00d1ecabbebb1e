"""Each statement is timed, whichever way it goes, and what is borrowed from a pool is given back."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from models import prepared
from models.base import Autocommit, Session, bare
from models.metrics import REGISTRY
from models.settings import Settings

pytestmark = pytest.mark.usefixtures("db")
ONE = text("SELECT 1 AS one")
KEPT = text("SELECT CAST(:number AS integer) AS kept").execution_options(prepared=True)
WRONG = text("SELECT nothing FROM nowhere")


def timed() -> float:
    return REGISTRY.get_sample_value("parley_database_statement_duration_seconds_count") or 0


def in_use(pool: str) -> float | None:
    return REGISTRY.get_sample_value("parley_database_pool_in_use", {"pool": pool})


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


def test_what_is_borrowed_is_given_back(db: Settings) -> None:
    """Also where the connection broke."""
    with Session.begin() as session:
        session.execute(ONE)
        assert (in_use("transactions"), in_use("statements")) == (1, 0)
    with bare():
        assert (in_use("transactions"), in_use("statements")) == (0, 1)
    for maker in (Session, Autocommit):
        with pytest.raises(DBAPIError), maker() as session:
            session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
    with pytest.raises(DBAPIError), bare() as session:
        session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"), {})

    assert (in_use("transactions"), in_use("statements")) == (0, 0)


@pytest.mark.parametrize(("pool", "more"), [("transactions", 5), ("statements", 0)])
def test_what_a_pool_may_lend_is_told(db: Settings, pool: str, more: int) -> None:
    """A board divides one by the other."""
    assert REGISTRY.get_sample_value("parley_database_pool_size", {"pool": pool}) == db.db_pool_size + more
