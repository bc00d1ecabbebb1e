"""When a chat's summary is made to move on, by whose turn, and when it is left alone."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from sqlalchemy import text

from models import owners, summary_jobs
from models.base import Session
from models.jobs import JobType, Purpose, QueueClass
from models.states import JobStatus
from models.summary_jobs import Swept
from tests.factories import a_chat, a_job, a_user, an_ai_chat, call, fill, the_job

pytestmark = pytest.mark.usefixtures("db")


@pytest.fixture
def user() -> str:
    """Somebody."""
    return a_user()


def a_long_chat(user_id: str, *, unseen: int, **columns: Any) -> str:
    """A chat in which the AI has been called, so long."""
    chat_id = an_ai_chat(user_id)
    due(chat_id)
    fill(chat_id, user_id, up_to=unseen)
    with Session.begin() as session:
        for name, value in columns.items():
            session.execute(
                text(f"UPDATE ai_cache_contexts SET {name} = :value WHERE chat_id = :id"),
                {"value": value, "id": chat_id},
            )
    return chat_id


def due(chat_id: str, **options: Any) -> str | None:
    with Session.begin() as session:
        return summary_jobs.due(session, chat_id, **options)


def sweep(after: str | None = None) -> Swept:
    with Session.begin() as session:
        return summary_jobs.sweep(session, after=after)


@pytest.mark.parametrize(
    ("unseen", "is_due"), [(40, False), (41, True), (50, True), (51, False), (350, False), (351, True), (5_000, True)]
)
def test_a_call_of_the_ai_moves_the_summary_on_where_the_reply_does_not(user: str, unseen: int, is_due: bool) -> None:
    """From 51 to 350 the reply itself folds first; before, it is spared that; beyond, it could not wait for all."""
    assert (due(a_long_chat(user, unseen=unseen)) is not None) == is_due


def test_a_message_that_calls_the_ai_has_the_summary_moved_on(user: str) -> None:
    """With the message, in its transaction; in the name of who sent it."""
    other = a_user()
    chat_id = a_chat(user, other)
    fill(chat_id, user, up_to=400)

    call(chat_id, other, "Nobody is called")
    before = the_summary_job(chat_id)
    call(chat_id, other, "@AI what now?")

    assert before is None
    assert (job := the_summary_job(chat_id)) is not None
    assert (the_job(job).asked_by, the_job(job).up_to_seq) == (other, 402)


def the_summary_job(chat_id: str) -> str | None:
    with Session() as session:
        query = text("SELECT id::text FROM jobs WHERE purpose = 'summary' AND chat_id = :id")
        return session.execute(query, {"id": chat_id}).scalar_one_or_none()


def test_a_summary_job_is_a_job_of_whoever_called_the_ai_last(user: str) -> None:
    """Of no hurry, in the class in which nobody waits; their turn, and their tokens."""
    other = a_user()
    chat_id = a_long_chat(user, unseen=400)
    a_job(owner=owners.of_user(other), purpose=Purpose.REPLY, chat_id=chat_id, asked_by=other)

    job = the_job(str(due(chat_id)))

    assert (job.owner, job.asked_by) == (owners.of_user(other), other)
    assert (job.purpose, job.type, job.queue_class) == (Purpose.SUMMARY, JobType.SUMMARIZE, QueueClass.BATCH)
    assert (job.status, job.priority, job.chat_id, job.up_to_seq) == (JobStatus.CREATED, 0, chat_id, 400)
    assert job.due
    assert 3599 < (job.deadline_at - job.created_at).total_seconds() < 3601


def test_in_a_chat_where_nobody_has_called_it_is_whoevers_chat_it_is(user: str) -> None:
    """Or whoever asks."""
    first, second = a_long_chat(user, unseen=400), a_long_chat(user, unseen=400)
    other = a_user()

    assert the_job(str(due(first))).owner == owners.of_user(user)
    assert the_job(str(due(second, asked_by=other))).owner == owners.of_user(other)


@pytest.mark.parametrize("status", [JobStatus.CREATED, JobStatus.ANALYZING, JobStatus.RETRYING])
def test_there_is_one_unfinished_summary_job_a_chat(user: str, status: JobStatus) -> None:
    """Whoever asks meanwhile is told of that one."""
    chat_id = a_long_chat(user, unseen=400)
    under_way = a_job(purpose=Purpose.SUMMARY, chat_id=chat_id, status=status)

    assert due(chat_id) is None
    assert sweep().made == []
    with Session.begin() as session:
        assert summary_jobs.request(session, chat_id, asked_by=user) == under_way


def test_many_who_ask_at_once_get_one_job(user: str) -> None:
    """The index decides, whatever each has seen."""
    chat_id = a_long_chat(user, unseen=400)
    together = threading.Barrier(4)
    asked: list[str | None] = []

    def request() -> None:
        with Session.begin() as session:
            together.wait(10)
            asked.append(summary_jobs.request(session, chat_id, asked_by=user))

    threads = [threading.Thread(target=request) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert len(asked) == 4
    assert len(set(asked)) == 1
    assert asked[0] is not None


def test_on_request_all_but_the_newest_is_folded_even_after_failures(user: str) -> None:
    """Nobody who asks is told to wait; if there is nothing to do, there is no job."""
    much = a_long_chat(user, unseen=21, failures=9, failed_at="now()")
    little = a_long_chat(user, unseen=20)

    with Session.begin() as session:
        assert summary_jobs.request(session, much, asked_by=user) is not None
        assert summary_jobs.request(session, little, asked_by=user) is None


@pytest.mark.parametrize(
    ("columns", "is_swept"),
    [
        ({"unseen": 101}, True),
        ({"unseen": 100}, False),
        ({"unseen": 200, "summarized_seq": 100}, False),
        ({"unseen": 21, "is_stale": True}, True),
        ({"unseen": 20, "is_stale": True}, False),
        ({"unseen": 101, "failures": 2, "failed_at": "now()"}, True),
        ({"unseen": 101, "failures": 3, "failed_at": "now()"}, False),
    ],
)
def test_the_sweeper_makes_jobs_for_summaries_that_have_fallen_behind(
    user: str, columns: dict[str, Any], is_swept: bool
) -> None:
    """More than a hundred unseen, or thrown back; not while a chat's summary rests."""
    chat_id = a_long_chat(user, **columns)

    made = sweep().made

    assert [the_job(job_id).chat_id for job_id in made] == ([chat_id] if is_swept else [])


def test_the_sweeper_leaves_alone_where_the_ai_is_off_or_was_never_called(user: str) -> None:
    """What was said among people is not shown to a model that they have not let in."""
    fill(a_chat(user, a_user()), user, up_to=200)
    chat_id = a_long_chat(user, unseen=200)
    with Session.begin() as session:
        session.execute(text("UPDATE chats SET ai_mode = 'off' WHERE id = :id"), {"id": chat_id})

    assert sweep().made == []
    assert due(chat_id) is None


def test_the_sweeper_walks_on_tick_by_tick(user: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many chats there are, a tick is short; at the end it begins again."""
    monkeypatch.setattr(summary_jobs, "SWEPT_AT_ONCE", 2)
    monkeypatch.setattr(summary_jobs, "_LOOK", text(summary_jobs._LOOK.text.replace("LIMIT 5000", "LIMIT 2")))
    chats = {a_long_chat(user, unseen=101) for _ in range(5)}
    swept, after = [], None
    for _ in range(3):
        tick = sweep(after)
        swept.append([the_job(job_id).chat_id for job_id in tick.made])
        after = tick.last

    assert [len(some) for some in swept] == [2, 2, 1]
    assert {chat_id for some in swept for chat_id in some} == chats
    assert after is None


def test_one_who_posts_and_one_who_sweeps_do_not_wait_for_each_other_in_a_circle(user: str) -> None:
    """A chat that somebody is writing in is left for the next tick."""
    chat_id = a_long_chat(user, unseen=400)
    with Session.begin() as poster:
        poster.execute(text("SELECT FROM chats WHERE id = :id FOR NO KEY UPDATE"), {"id": chat_id})

        assert sweep().made == []
        assert summary_jobs.due(poster, chat_id) is not None
