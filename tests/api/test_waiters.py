"""Whoever is parked is woken: by a message, by a look at the database, or because the process stops."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg2
import pytest
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from api.reader import Reader
from api.waiters import Waiter, Waiters
from models import jobs, versions
from models.base import Session, is_outage
from models.errors import JobNotFound
from models.live import changes
from models.live.changes import Change, Publisher
from models.live.partial import PartialText
from models.owners import ANYONE
from models.settings import Settings
from models.states import JobStatus
from models.versions import version_of
from tests.factories import create
from tests.system.stack import eventually

NOBODY = "redis://127.0.0.1:1/0"
BOUND = 20.0
"""Seconds; a bound, not an expectation."""


def waiters_of(settings: Settings, **options: int) -> Waiters:
    return Waiters(settings, stopping=lambda: False, **options)


def see(waiter: Waiter | None, job_id: str) -> Waiter:
    """As a request does: read, then note what was read."""
    assert waiter is not None
    waiter.seen = version_of(Reader().read(job_id, reader=ANYONE))
    return waiter


def until_woken(waiter: Waiter, tell: Callable[[], None]) -> None:
    """Tell again and again: the subscription may not have begun."""

    def woken() -> bool:
        tell()
        return waiter.wait(0.1)

    eventually(woken)


def cancel(job_id: str) -> None:
    with Session.begin() as session:
        jobs.cancel(session, job_id, reader=ANYONE)


@pytest.mark.parametrize("redis_url", [None, NOBODY])
def test_a_change_wakes_those_who_wait_for_its_job(db: Settings, redis_url: str | None) -> None:
    """With Redis, and without."""
    settings = db if redis_url is None else dataclasses.replace(db, redis_url=redis_url)
    changes.publish_from_now_on(settings)
    waiters, mine, other = waiters_of(settings), create(), create()

    with waiters.parked(mine) as concerned, waiters.parked(other) as unconcerned:
        one, another = see(concerned, mine), see(unconcerned, other)
        cancel(mine)

        assert one.wait(BOUND)
        assert not another.wait(0)
    assert waiters.count == 0


def test_a_message_that_was_lost_costs_seconds_and_no_more(db: Settings) -> None:
    """While Redis works, the database is looked at now and then all the same."""
    changes.publish_from_now_on(dataclasses.replace(db, redis_url=NOBODY))
    waiters, job_id = waiters_of(db), create()

    with waiters.parked(job_id, for_the_end=True) as parked:
        waiter = see(parked, job_id)
        cancel(job_id)

        assert waiter.wait(BOUND)


def test_who_waits_for_the_end_sleeps_through_the_rest(db: Settings) -> None:
    """Each of them would otherwise read the job three times."""
    publisher, waiters = Publisher(db), waiters_of(db)
    job_id = create()

    with waiters.parked(job_id, for_the_end=True) as patient, waiters.parked(job_id) as curious:
        assert patient is not None
        assert curious is not None
        until_woken(curious, lambda: publisher.tell({job_id: JobStatus.ANALYZING}))
        slept = not patient.wait(0)
        publisher.tell({job_id: JobStatus.COMPLETED})

        assert slept
        assert patient.wait(BOUND)


def test_words_wake_only_those_who_listen(db: Settings) -> None:
    """And do not make them read the row again."""
    partial, waiters, job_id = PartialText(db), waiters_of(db), create()

    with waiters.parked(job_id, for_text=True) as listener, waiters.parked(job_id) as other:
        assert listener is not None
        assert other is not None
        listener.moved = False
        until_woken(listener, lambda: partial.put({(job_id, 1): b"word"}))

        assert not listener.moved
        assert not other.wait(0)


def test_no_more_are_parked_than_there_are_places(db: Settings) -> None:
    """One too many is told so, and a place that was left can be taken."""
    waiters, job_id = waiters_of(db, most=2), create()

    with waiters.parked(job_id), waiters.parked(job_id), waiters.parked(job_id) as third:
        assert third is None
        assert waiters.count == 2
    with waiters.parked(job_id) as next_one:
        assert next_one is not None


@pytest.mark.parametrize("redis_url", [None, NOBODY])
def test_all_are_woken_when_the_process_stops(db: Settings, redis_url: str | None) -> None:
    """Whatever they wait for."""
    settings = db if redis_url is None else dataclasses.replace(db, redis_url=redis_url)
    stopping = threading.Event()
    waiters, job_id = Waiters(settings, stopping=stopping.is_set), create()

    with waiters.parked(job_id, for_the_end=True) as waiter:
        assert waiter is not None
        stopping.set()

        assert waiter.wait(BOUND)


def test_nonsense_on_the_channel_is_ignored(db: Settings) -> None:
    """Whoever reaches Redis may send anything."""
    for message in (b"", b"[]", b"{}", b'{"jobs": 1, "texts": []}', b'{"jobs": {}, "texts": 5}', b"\xff", b"null"):
        assert Change.decoded(message) == Change()


def test_many_readers_share_their_queries(db: Settings) -> None:
    """Each gets the job it asked for, and the refusal of one is not another's."""
    reader, ids = Reader(), [create() for _ in range(60)]
    asked = [*ids, *ids, "00000000-0000-4000-8000-000000000000"]

    def read(job_id: str) -> str | None:
        try:
            return str(reader.read(job_id, reader=ANYONE)["id"])
        except JobNotFound:
            return None

    with ThreadPoolExecutor(30) as threads:
        found = list(threads.map(read, asked))

    assert found == [*ids, *ids, None]


def silent(monkeypatch: pytest.MonkeyPatch, reader: Reader, *, others: int) -> list[list[str]]:
    """A database that lets one query wait until so many batches wait behind it; the queries it was asked."""
    asked: list[list[str]] = []

    def look(_: object, job_ids: list[str]) -> dict[str, Any]:
        asked.append(job_ids)
        eventually(lambda: len(reader._waiting) >= others)
        raise OperationalError(None, None, psycopg2.OperationalError("the database did not answer in time"))

    monkeypatch.setattr("api.reader.MOST_AT_ONCE", 1)
    monkeypatch.setattr(versions, "shown_at_once", look)
    return asked


def test_who_waits_behind_a_query_that_got_no_answer_does_not_ask_again(
    db: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each batch would wait as long as the first, one after the other."""
    reader, ids = Reader(patience_seconds=BOUND), [create() for _ in range(6)]
    asked = silent(monkeypatch, reader, others=5)

    with ThreadPoolExecutor(6) as threads:
        errors = [
            future.exception(BOUND) for future in [threads.submit(reader.read, job_id, reader=ANYONE) for job_id in ids]
        ]

    assert [type(error) for error in errors] == [OperationalError] * 6
    assert len(asked) == 1


def test_who_gets_no_turn_in_time_is_told_that_the_database_is_away(
    db: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may only be slow; a caller cannot tell, and does not wait longer than for one that is frozen."""
    reader, one, other = Reader(patience_seconds=0.1), create(), create()
    silent(monkeypatch, reader, others=2)

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(reader.read, one, reader=ANYONE)
        eventually(reader._turn.locked)
        late = threads.submit(reader.read, other, reader=ANYONE).exception(BOUND)
        reader._join((one, ANYONE))  # which lets the query end
        assert isinstance(late, PoolTimeout)
        assert is_outage(late)
        assert isinstance(first.exception(BOUND), OperationalError)
