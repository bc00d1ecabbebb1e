"""Whose a thing is decides who finds it: in every statement that looks for one by its id."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from models import batch_results, batches, jobs, retention, versions
from models.base import Session, bare
from models.errors import BatchNotFound, JobGone, JobNotFound, Refusal
from models.owners import ANYONE
from models.retention import Tombstone
from models.states import JobStatus
from tests.factories import a_batch, a_job, change, the_job

pytestmark = pytest.mark.usefixtures("db")

# By hand on purpose: (whose, who wants to see it) -> whether it is there for him.
FOUND = {
    ("user:a", "user:a"): True,
    ("user:a", "user:b"): False,
    ("user:a", "user:"): False,
    ("user:a", "user"): False,
    ("user:a", "guest:a"): False,
    ("user:a", "address:192.0.2.1"): False,
    ("user:a", "operator"): False,
    ("user:a", ANYONE): True,
    ("guest:a", "guest:a"): True,
    ("guest:a", "guest:b"): True,
    ("guest:a", "user:b"): True,
    ("address:192.0.2.1", "user:b"): True,
    ("address:192.0.2.1", "address:2001:db8::/64"): True,
    ("operator", "user:a"): False,
    ("operator", "guest:a"): False,
    ("operator", "operator"): True,
    ("operator", ANYONE): True,
    ("guests", "user:a"): False,
    ("", "user:a"): False,
    ("user:guest:a", "guest:a"): False,
}
each_pair = pytest.mark.parametrize(("owner", "reader", "found"), [(*pair, found) for pair, found in FOUND.items()])


def finds(verb: Callable[..., Any], *arguments: Any, **named: Any) -> bool:
    """Whether it does, or says that there is nothing."""
    try:
        with Session.begin() as session:
            verb(session, *arguments, **named)
    except (JobNotFound, BatchNotFound):
        return False
    return True


@each_pair
def test_a_job_is_there_for_whom_it_is_open(owner: str, reader: str, found: bool) -> None:
    """To look at, alone or together with others, and to cancel."""
    job_id = a_job(owner=owner)

    with bare() as session:
        together = versions.shown_at_once(session, [(job_id, reader)])

    assert set(together) == ({(job_id, reader)} if found else set())
    assert finds(jobs.shown, job_id, reader=reader) == found
    assert finds(jobs.cancel, job_id, reader=reader) == found
    assert the_job(job_id).status is (JobStatus.CANCELLED if found else JobStatus.CREATED)


def test_readers_who_look_together_see_each_his_own() -> None:
    """One query for all of them, the same job wanted by several included."""
    mine, yours = a_job(owner="user:me"), a_job(owner="user:you")
    wanted = [(job_id, reader) for job_id in (mine, yours) for reader in ("user:me", "user:you", ANYONE)]

    with bare() as session:
        found = versions.shown_at_once(session, wanted)

    assert set(found) == {(mine, "user:me"), (mine, ANYONE), (yours, "user:you"), (yours, ANYONE)}
    assert all(job["id"] == job_id for (job_id, _), job in found.items())


@each_pair
def test_a_batch_is_there_for_whom_it_is_open(owner: str, reader: str, found: bool) -> None:
    """To look at, to read, to try again and to cancel."""
    batch_id = a_batch(owner, "One", "Two")
    whole: dict[str, Any] = {"reader": reader, "after": -1}

    def results() -> list[int]:
        beginning = dt.datetime(1, 1, 1, tzinfo=dt.UTC), -1
        later = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
        with Session() as session:
            rows = batch_results.by_time(session, batch_id, reader=reader, after=beginning, before=later)
            in_order = batch_results.by_position(session, batch_id, **whole)
        assert {row["position"] for row in rows} == {row["position"] for row in in_order}
        return [row["position"] for row in in_order]

    with Session() as session:
        over = batch_results.is_over(session, batch_id, reader=reader)
    assert over == (not found)  # to whom it is not there, nothing of it is to come
    assert finds(batches.shown, batch_id, reader=reader) == found
    assert finds(batches.retry_some, batch_id, **whole) == found
    assert finds(batches.cancel_some, batch_id, **whole) == found
    with Session() as session:
        statuses = set(session.scalars(text("SELECT status FROM jobs")))
    assert statuses == {"cancelled" if found else "created"}
    finds(batches.cancel_some, batch_id, reader=ANYONE, after=-1)  # now there are results
    assert results() == ([0, 1] if found else [])


def absence(job_id: str, reader: str) -> Refusal:
    with bare() as session:
        return retention.absence(session, job_id, reader=reader, unknown=JobNotFound())


@pytest.mark.parametrize(
    ("owner", "told", "not_told"),
    [
        ("user:a", ["user:a", ANYONE], ["user:b", "guest:a", "address:192.0.2.1"]),
        ("guest:a", ["guest:a", "user:b", ANYONE], []),
        (None, [ANYONE], ["user:a", "guest:a", "address:192.0.2.1"]),
    ],
)
def test_only_who_might_have_seen_it_learns_that_it_is_gone(
    owner: str | None, told: list[str], not_told: list[str]
) -> None:
    """Nobody knows any more whose it was, if an older version removed it; then it is operators who learn of it."""
    job_id = str(uuid.uuid4())
    with Session.begin() as session:
        session.add(Tombstone(job_id=job_id, owner=owner))

    assert {type(absence(job_id, reader)) for reader in told} == {JobGone}
    assert {type(absence(job_id, reader)) for reader in not_told} <= {JobNotFound}


def test_a_refusal_knows_what_is_anothers_and_what_is_not_there() -> None:
    """For the audit log: the one is a try at somebody's thing, the other is a typing error."""
    foreign, buried, batch = a_job(owner="user:a"), str(uuid.uuid4()), a_batch("user:a")
    with Session.begin() as session:
        session.add(Tombstone(job_id=buried, owner="user:a"))

    assert absence(foreign, "user:b").anothers == f"job:{foreign}"
    assert absence(buried, "user:b").anothers == f"job:{buried}"
    assert absence(str(uuid.uuid4()), "user:b").anothers is None
    for batch_id, anothers in ((batch, f"batch:{batch}"), (str(uuid.uuid4()), None)):
        with bare() as session, pytest.raises(BatchNotFound) as refused:
            batches.shown(session, batch_id, reader="user:b")
        assert refused.value.anothers == anothers


def test_a_cancel_that_waited_for_a_change_of_owner_goes_by_the_new_one() -> None:
    """The row is judged as it is when the lock is had: an adopted job is not its former guest's to cancel."""
    job_id = a_job(owner="guest:a")
    change(job_id, owner="user:a")

    assert not finds(jobs.cancel, job_id, reader="guest:a")
    assert finds(jobs.cancel, job_id, reader="user:a")
