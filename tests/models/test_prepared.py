"""What is planned once for each connection answers as if it were planned each time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from sqlalchemy import text

from models import jobs, prepared
from models.base import Autocommit, bare
from models.settings import Settings
from tests.factories import a_job

pytestmark = pytest.mark.usefixtures("fresh")
SHELF = text("SELECT book FROM shelf WHERE place = :place").execution_options(prepared=True)


@pytest.fixture
def fresh(db: Settings) -> None:
    """The next connection is a new one, and all further ones are the same: nobody else uses the pool."""
    Autocommit.kw["bind"].dispose()


@pytest.fixture
def shelf() -> Iterator[None]:
    """A table of the test's own."""
    run("CREATE TABLE shelf (place integer PRIMARY KEY, book integer)")
    yield
    run("DROP TABLE shelf")


def run(statement: str) -> None:
    """On the connection that has prepared."""
    with bare() as session:
        session.execute(text(statement), {})


def prepared_here() -> list[str]:
    with bare() as session:
        rows = session.execute(text("SELECT statement FROM pg_prepared_statements"), {}).mappings().all()
    return [row["statement"] for row in rows]


def book(place: int) -> object:
    with bare() as session:
        return session.execute(SHELF, {"place": place}).mappings().one_or_none()


def shown(job_id: str) -> str:
    with bare() as session:
        return str(jobs.shown(session, job_id, reader="a")["status"])


def created() -> str:
    job = jobs.NewJob(owner="a", type=jobs.JobType.CHAT, message="Hello", max_attempts=5, deadline_seconds=60)
    with bare() as session:
        return jobs.create(session, job)


def created_by_key(key: str) -> tuple[str, bool]:
    job = jobs.NewJob(owner="a", type=jobs.JobType.CHAT, message="Hello", max_attempts=5, deadline_seconds=60)
    with bare() as session:
        return jobs.create_once(session, job, key=key, said={})


def test_the_statements_of_the_busy_routes_are_prepared_once() -> None:
    """Each as often as it is asked for."""
    for number in range(3):
        shown(created())
        created_by_key(str(number))

    assert len(prepared_here()) == 3


@pytest.mark.parametrize("loss", ["DEALLOCATE ALL", "DISCARD ALL"])
def test_what_was_prepared_may_be_lost(loss: str) -> None:
    """As behind a pooler that hands statements to connections of its own: nothing is refused, nothing done twice."""
    job_id, (by_key, _) = created(), created_by_key("before")
    shown(job_id)
    run(loss)

    made = [created(), created(), created_by_key("after")[0]]

    assert [shown(each) for each in [job_id, by_key, *made]] == ["created"] * 5
    assert created_by_key("before") == (by_key, False)
    with bare() as session:
        assert session.execute(text("SELECT count(*) AS jobs FROM jobs"), {}).mappings().one_or_none() == {"jobs": 5}


@pytest.mark.usefixtures("shelf")
def test_somebody_else_may_have_prepared_it() -> None:
    """As behind such a pooler, by another process."""
    run("INSERT INTO shelf VALUES (1, 11)")
    run(prepared.compiled(SHELF).prepare)

    assert [book(1), book(1), book(2)] == [{"book": 11}, {"book": 11}, None]


@pytest.mark.usefixtures("shelf")
def test_a_migration_may_change_what_is_answered() -> None:
    """PostgreSQL refuses to answer a prepared statement with other types than at first."""
    run("INSERT INTO shelf VALUES (1, 11)")
    before = book(1)
    run("ALTER TABLE shelf ALTER book TYPE text USING 'Volume ' || book")

    assert [before, book(1), book(1)] == [{"book": 11}, {"book": "Volume 11"}, {"book": "Volume 11"}]


def test_a_refusal_of_the_statement_itself_is_none_of_its_preparation() -> None:
    """It comes up as it would without, and the next one is prepared as before."""
    shown(created())
    job = jobs.NewJob(owner="a", type=jobs.JobType.CHAT, message="", max_attempts=5, deadline_seconds=60)
    with pytest.raises(Exception, match="message_length"), bare() as session:
        jobs.create(session, job)
    shown(created())

    assert len(prepared_here()) == 2


def test_a_kept_plan_is_good_for_a_table_that_grows() -> None:
    """Planned for a handful of rows, it would read ten thousand, until statistics are taken."""
    job_id = a_job()
    run("VACUUM ANALYZE jobs")
    for _ in range(10):  # PostgreSQL plans the first five times anew
        shown(job_id)

    with contextlib.closing(Autocommit.kw["bind"].raw_connection()) as connection, connection.cursor() as cursor:
        cursor.execute("EXPLAIN " + prepared.compiled(jobs._SHOWN).execute, {"id": job_id, "reader": "a"})
        plan = [line for (line,) in cursor]

    assert "Index Scan using pk_jobs" in plan[0]
    assert any("Index Cond: (id = $1)" in line for line in plan), plan  # the kept one: no value stands in it
