"""The audit log: notes are added, read by pages, and removed when they are old; nothing else can be done to them."""

from __future__ import annotations

import datetime as dt

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from models import audit
from models.audit import Filter
from models.base import Session, bare
from tests.factories import now

pytestmark = pytest.mark.usefixtures("db")


def a_note(
    *, action: str = "job_read", actor: str = "operator", subject: str | None = None, age_days: float = 0
) -> int:
    """Stores one of any age, past the trigger, which knows updates only; answers its id."""
    with Session.begin() as session:
        return int(
            session.execute(
                text("""
                    INSERT INTO audit_log (at, actor, action, subject, request_id)
                    VALUES (clock_timestamp() - make_interval(secs => :age), :actor, :action, :subject, 'r')
                    RETURNING id
                """),
                {"age": age_days * 86_400, "actor": actor, "action": action, "subject": subject},
            ).scalar_one()
        )


def actions(**which: object) -> list[str]:
    with Session() as session:
        return [row.action for row in audit.page(session, Filter(**which), limit=100)]  # type: ignore[arg-type]


def test_a_note_says_who_did_what_to_whom_in_which_request() -> None:
    """Facts are kept as they are, hostile ones as data."""
    hostile = "'); DROP TABLE audit_log; --\r\n\x1b[2J"
    with Session.begin() as session:
        audit.note(session, actor=hostile, action="job_read", request_id="r-1", subject="job:1", code=hostile, number=7)
    with bare() as lone:
        audit.note(lone, actor="operator", action="job_read", request_id="r-2")

    with Session() as session:
        second, first = audit.page(session, Filter(), limit=10)
    assert (first.actor, first.action, first.subject, first.request_id) == (hostile, "job_read", "job:1", "r-1")
    assert first.facts == {"code": hostile, "number": 7}
    assert (second.subject, second.facts) == (None, {})


def test_a_note_shares_the_fate_of_its_transaction() -> None:
    """What was rolled back was not done, so it is not on record."""
    with Session() as session:
        audit.note(session, actor="operator", action="job_read", request_id="r")
        session.rollback()

    assert actions() == []


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE audit_log SET actor = 'somebody else' WHERE id = :id",
        "UPDATE audit_log SET at = at - interval '60 days' WHERE id = :id",
        "DELETE FROM audit_log WHERE id = :id",
    ],
)
@pytest.mark.parametrize("age_days", [0, 29.9])
def test_a_young_note_can_be_neither_changed_nor_removed(change: str, age_days: float) -> None:
    """Whoever has got hold of the application's connection cannot cover tracks by a statement."""
    note_id = a_note(age_days=age_days)

    with pytest.raises(DBAPIError, match="append-only"), Session.begin() as session:
        session.execute(text(change), {"id": note_id})

    assert actions() == ["job_read"]


def test_an_old_note_can_be_removed_but_not_changed() -> None:
    """Retention may do the one; nothing may do the other."""
    note_id = a_note(age_days=30.1)
    with pytest.raises(DBAPIError, match="append-only"), Session.begin() as session:
        session.execute(text("UPDATE audit_log SET actor = 'x' WHERE id = :id"), {"id": note_id})

    with Session.begin() as session:
        session.execute(text("DELETE FROM audit_log WHERE id = :id"), {"id": note_id})

    assert actions() == []


def test_the_sweep_removes_what_is_older_than_its_days_the_oldest_first() -> None:
    """So many at a time."""
    for age in (100, 400, 366, 367):
        a_note(action=f"aged_{age}", age_days=age)

    with Session.begin() as session:
        assert audit.sweep(session, days=365, most=2) == 2
    assert sorted(actions()) == ["aged_100", "aged_366"]
    with Session.begin() as session:
        assert audit.sweep(session, days=365, most=2) == 1
    assert actions() == ["aged_100"]


def test_no_sweep_takes_a_note_of_less_than_thirty_days() -> None:
    """However it is called: one that tried would fail as a whole and remove nothing for ever."""
    a_note(action="young", age_days=29)
    a_note(action="old", age_days=31)

    with Session.begin() as session:
        assert audit.sweep(session, days=1, most=10) == 1

    assert actions() == ["young"]


def test_pages_follow_each_other_without_gap_or_repetition() -> None:
    """By id, also while notes are added at the top."""
    ids = [a_note() for _ in range(5)]
    seen: list[int] = []
    below = None
    while True:
        with Session() as session:
            rows = audit.page(session, Filter(), limit=2, below=below)
        if not rows:
            break
        seen += [row.id for row in rows]
        below = seen[-1]
        a_note(action="later")

    assert seen == ids[::-1]


def test_a_filter_holds_for_each_of_its_parts() -> None:
    """And for all of them together."""
    a_note(action="a", actor="operator", subject="job:1", age_days=3)
    a_note(action="b", actor="user:1", subject="job:1", age_days=2)
    a_note(action="c", actor="user:1", age_days=1)

    assert actions(actor="user:1") == ["c", "b"]
    assert actions(action="a") == ["a"]
    assert actions(subject="job:1") == ["b", "a"]
    assert actions(after=now() - dt.timedelta(days=2.5)) == ["c", "b"]
    assert actions(before=now() - dt.timedelta(days=1.5)) == ["b", "a"]
    assert actions(actor="user:1", subject="job:1", after=now() - dt.timedelta(days=9)) == ["b"]
