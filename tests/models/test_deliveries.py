"""The AI's messages: each posted once, with the end of its job, whatever dies in between."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from models import attempts, edits, leases, messages, regenerations, saved_chats, stops
from models.ai_errors import NothingToAnswer
from models.attempts import Claimed, Ending, Outcome
from models.base import Session
from models.errors import MessageNotFound
from models.messages import MessageStatus
from models.saved_chats import Conversation
from models.saved_items import Item
from models.settings import Settings
from models.states import JobStatus
from models.users import AI_ID
from tasks.recorder import Recorder
from tasks.watchdog import Watchdog
from tests.factories import (
    TOKEN_KEY,
    a_chat,
    a_user,
    an_ai_chat,
    answer,
    ask,
    call,
    change,
    claim,
    record,
    said_in,
    the_job,
)
from tests.statements import number_of

pytestmark = pytest.mark.usefixtures("db")


def asked(chat: str, person: str) -> Claimed:
    """A call of which the model has the prompt."""
    claimed = claim(str(call(chat, person)))
    assert claimed is not None
    assert ask(claimed)
    return claimed


def said_by_ai(chat: str) -> list[str]:
    return [one.content for one in said_in(chat) if one.is_ai]


def test_a_worker_killed_between_the_answer_and_its_commit_leaves_nothing_and_the_next_one_posts_once() -> None:
    """And what the dead one's connection may still bring is fenced off. (The long form kills real workers.)"""
    anna = a_user()
    chat = an_ai_chat(anna)
    killed = asked(chat, anna)
    ending = Ending(job_id=killed.id, attempt=1, outcome=Outcome.COMPLETED, text="From the dead.")

    with Session() as session:  # which dies with it, before the commit
        assert attempts.record(session, [ending])
    after_the_kill = said_by_ai(chat)
    change(killed.id, lease_until=the_job(killed.id).created_at)
    with Session.begin() as session:
        assert leases.reap(session) == [killed.id]
    answer(killed.id, "From the living.")
    late = record(killed, text="From the dead.")

    assert after_the_kill == []
    assert not late
    assert said_by_ai(chat) == ["From the living."]
    assert the_job(killed.id).result == "From the living."


def test_a_recorder_that_does_not_know_whether_it_was_heard_writes_again_and_posts_once() -> None:
    """The commit had arrived, only its answer had not."""
    anna = a_user()
    chat = an_ai_chat(anna)
    claimed = asked(chat, anna)

    counted = [record(claimed, text="Once.") for _ in range(2)]

    assert counted == [True, False]
    assert said_by_ai(chat) == ["Once."]


def test_a_chat_whose_message_cannot_be_posted_does_not_cost_the_others_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own job is left to its lease."""
    anna = a_user()
    chats = [an_ai_chat(anna) for _ in range(3)]
    claims = [asked(chat, anna) for chat in chats]
    post = messages.post

    def fail(session: object, *, chat_id: str, **given: object) -> object:
        if chat_id == chats[1]:
            raise RuntimeError(chat_id)
        return post(session, chat_id=chat_id, **given)  # type: ignore[arg-type]

    monkeypatch.setattr(messages, "post", fail)
    batch = [Ending(job_id=one.id, attempt=1, outcome=Outcome.COMPLETED, text="Yes.") for one in claims]
    Recorder(on_done=lambda _: None, watchdog=Watchdog(seconds=60))._write(batch)

    assert [said_by_ai(chat) for chat in chats] == [["Yes."], [], ["Yes."]]
    assert the_job(claims[1].id).status is JobStatus.ANALYZING


def leave(chat: str, user: str) -> None:
    with Session.begin() as session:
        session.execute(
            text("DELETE FROM chat_members WHERE chat_id = :chat AND user_id = :user"), {"chat": chat, "user": user}
        )


def test_what_was_answered_is_posted_although_the_asker_has_left() -> None:
    """The others have read the question."""
    anna, bob = a_user(), a_user()
    chat = a_chat(anna, bob)
    claimed = asked(chat, bob)

    leave(chat, bob)

    assert record(claimed, text="To whom it may concern.")
    assert said_by_ai(chat) == ["To whom it may concern."]


def test_where_the_ai_was_shown_the_door_or_the_chat_is_gone_nothing_is_posted() -> None:
    """The job has its answer, if it is there at all."""
    anna = a_user()
    without, gone = a_chat(anna), a_chat(anna)
    claims = [asked(chat, anna) for chat in (without, gone)]

    leave(without, AI_ID)
    with Session.begin() as session:
        session.execute(text("DELETE FROM chats WHERE id = :id"), {"id": gone})

    assert [record(claimed, text="Hello?") for claimed in claims] == [True, False]
    assert said_by_ai(without) == []


def test_a_failed_reply_posts_nothing_and_can_be_seen() -> None:
    """The message that called for it says which job that is."""
    anna = a_user()
    chat = an_ai_chat(anna)
    claimed = asked(chat, anna)

    record(claimed, outcome=Outcome.FAILED, error_code="provider_rejected", error_message="No.")

    [question] = said_in(chat)
    assert question.job_id is not None
    assert the_job(question.job_id).status is JobStatus.FAILED


def test_an_answer_longer_than_a_message_is_cut() -> None:
    """A message has a limit; the job's result has all of it."""
    anna = a_user()
    chat = an_ai_chat(anna)
    claimed = asked(chat, anna)

    record(claimed, text="a" * 40_000)

    assert said_by_ai(chat) == ["a" * 32_000]


def test_what_a_stopped_ai_had_said_stays_once_whoever_brings_it_first() -> None:
    """The api, with what somebody watched; or the worker, which knows a little more."""
    anna = a_user()
    seen, unseen = an_ai_chat(anna), an_ai_chat(anna)
    for chat, known in ((seen, "What was s"), (unseen, "")):
        claimed = asked(chat, anna)
        with Session.begin() as session:
            assert stops.stop(session, claimed.id, reader=f"user:{anna}", attempt=1, said=known)
        record(claimed, outcome=Outcome.RELEASED, error_code="lost", error_message="x", text="What was said.")

    assert said_by_ai(seen) == ["What was s"]
    assert said_by_ai(unseen) == ["What was said."]
    assert {one.status for one in said_in(seen) + said_in(unseen) if one.is_ai} == {MessageStatus.STOPPED}


def test_what_was_not_stopped_but_taken_over_leaves_no_part_behind() -> None:
    """The attempt that took it over will say all of it."""
    anna = a_user()
    chat = an_ai_chat(anna)
    claimed = asked(chat, anna)
    change(claimed.id, lease_until=the_job(claimed.id).created_at)
    with Session.begin() as session:
        leases.reap(session)

    record(claimed, outcome=Outcome.RELEASED, error_code="lost", error_message="x", text="What was said.")

    assert said_by_ai(chat) == []


def regenerate(chat: str, seq: int, user: str) -> tuple[str, bool]:
    with Session.begin() as session:
        return regenerations.request(session, chat, seq=seq, user_id=user, settings=Settings())


def test_another_answer_takes_the_place_of_the_first_which_is_kept() -> None:
    """Same number, a new change; asked for twice at once it is made once."""
    anna = a_user()
    chat = an_ai_chat(anna)
    first = call(chat, anna)
    answer(first, "First.")

    made = [regenerate(chat, 2, anna) for _ in range(2)]
    answer(made[0][0], "Second.")

    assert [is_new for _, is_new in made] == [True, False]
    assert len({job_id for job_id, _ in made}) == 1
    replaced = said_in(chat)[1]
    assert (replaced.content, replaced.seq, replaced.change_seq, replaced.job_id) == ("Second.", 2, 3, made[0][0])
    assert replaced.client_msg_id == f"ai:{first}"
    with Session() as session:
        kept = session.execute(text("SELECT version, content FROM message_versions")).all()
    assert kept == [(1, "First.")]


def test_what_was_deleted_meanwhile_stays_deleted() -> None:
    """By an admin, while the model thought of something better."""
    anna = a_user()
    chat = an_ai_chat(anna)
    answer(call(chat, anna), "First.")
    job_id, _ = regenerate(chat, 2, anna)

    with Session.begin() as session:
        edits.delete(session, chat, seq=2, user_id=anna)
    answer(job_id, "Second.")

    assert said_by_ai(chat) == [""]


@pytest.mark.parametrize(("seq", "refusal"), [(1, NothingToAnswer), (4, NothingToAnswer), (9, MessageNotFound)])
def test_only_an_answer_of_the_ai_can_be_given_anew(seq: int, refusal: type[Exception]) -> None:
    """While what it answers is there: message 3 was deleted."""
    anna = a_user()
    chat = an_ai_chat(anna)
    for _ in range(2):
        answer(call(chat, anna), "Yes.")
    with Session.begin() as session:
        edits.delete(session, chat, seq=3, user_id=anna)

    with pytest.raises(refusal):
        regenerate(chat, seq, anna)


def test_each_answer_and_each_saved_line_more_costs_one_statement() -> None:
    """However many end, or are saved, together."""
    anna = a_user()

    def answers(number: int) -> int:
        claimed = [asked(an_ai_chat(anna), anna) for _ in range(number)]
        endings = [Ending(job_id=c.id, attempt=1, outcome=Outcome.COMPLETED, text="Yes.") for c in claimed]
        with Session.begin() as session:
            return number_of(lambda: attempts.record(session, endings))

    def lines(number: int) -> int:
        said = Conversation(named=None, title="Saved", items=[Item(content=str(n)) for n in range(number)])
        with Session.begin() as session:
            save = lambda: saved_chats.save(session, said, user_id=anna, window=50, key=TOKEN_KEY)  # noqa: E731
            return number_of(save)

    assert answers(6) - answers(2) == 4
    assert lines(9) - lines(3) == 3  # by turns: every other one is the user's


def title_of(chat: str) -> tuple[str | None, str]:
    with Session() as session:
        return tuple(session.execute(text("SELECT title, title_source FROM chats WHERE id = :id"), {"id": chat}).one())


def title_job(chat: str) -> str:
    with Session() as session:
        [job_id] = session.scalars(
            text("SELECT id::text FROM jobs WHERE chat_id = :id AND purpose = 'title'"), {"id": chat}
        )
    return str(job_id)


@pytest.mark.parametrize(
    ("answered", "title"),
    [
        ('{"title": "Colour of the sky"}', ("Colour of the sky", "model")),
        ('<think>Hm.</think>```json\n{"title": "Sky."}\n```', ("Sky", "model")),
        ("Colour of the sky", ("Why is the sky blue?", "auto")),
        ('{"title": "' + "very " * 20 + 'long"}', ("Why is the sky blue?", "auto")),
        ('{"title": "Two\\nlines"}', ("Why is the sky blue?", "auto")),
        ('{"title": null}', ("Why is the sky blue?", "auto")),
    ],
)
def test_a_chat_is_called_as_it_begins_and_later_as_a_model_says_if_that_is_a_title(
    answered: str, title: tuple[str, str]
) -> None:
    """The model is asked once, after the AI's first message, with the lowest priority."""
    anna = a_user()
    chat = an_ai_chat(anna)
    answer(call(chat, anna, "Why is the\nsky blue?"))
    at_once = title_of(chat)

    job_id = title_job(chat)
    answer(job_id, answered)
    answer(call(chat, anna, "And at night?"))

    assert at_once == ("Why is the sky blue?", "auto")
    assert title_of(chat) == title
    assert the_job(title_job(chat)).priority == 0


def test_a_persons_title_is_never_overwritten() -> None:
    """Neither by the first message nor by a model that thought of one before."""
    anna = a_user()
    named, renamed = an_ai_chat(anna, title="Mine"), an_ai_chat(anna)
    call(named, anna)
    answer(call(renamed, anna))

    with Session.begin() as session:
        session.execute(text("UPDATE chats SET title = 'Mine', title_source = 'user' WHERE id = :id"), {"id": renamed})
    answer(title_job(renamed), '{"title": "The model\'s"}')

    assert [title_of(chat) for chat in (named, renamed)] == [("Mine", "user")] * 2
