"""A chat's summary, moved on step by step, whatever happens meanwhile."""

from __future__ import annotations

import random
import threading
import uuid
from typing import Any

import pytest
from sqlalchemy import text

from models import (
    attempts,
    departures,
    edits,
    leases,
    moderation,
    regenerations,
    summaries,
    summary_jobs,
    summary_steps,
)
from models.attempts import Ending, Outcome
from models.base import Session
from models.states import JobStatus
from models.summary_answers import Summary
from models.summary_steps import Answered, Step
from models.users import AI_ID
from tests.factories import a_chat, a_user, an_ai_chat, ask, change, claim, fill, say, the_job
from tests.system.stack import eventually

pytestmark = pytest.mark.usefixtures("db")


@pytest.fixture
def user() -> str:
    """Somebody."""
    return a_user()


@pytest.fixture
def chat(user: str) -> str:
    """Their chat with the AI, of 150 messages."""
    chat_id = an_ai_chat(user)
    fill(chat_id, user, up_to=150)
    return chat_id


def read(chat_id: str) -> Step:
    with Session.begin() as session:
        step = summary_steps.read(session, chat_id)
    assert step is not None
    return step


def verbatim(step: Step) -> Answered:
    """The answer of a model that leaves nothing out: all that it was told before, and all that it is told now."""
    said = [step.before.text, *(f"{line.seq}={line.content}" for line in step.lines)]
    return Answered(step=step, summary=Summary(text="\n".join(filter(None, said))), model="some-model")


def store(answered: Answered) -> bool:
    with Session.begin() as session:
        return summary_steps.store(session, answered, tokens=7)


def step_on(chat_id: str) -> None:
    assert store(verbatim(read(chat_id)))


def state(chat_id: str) -> dict[str, Any]:
    with Session() as session:
        return dict(summaries.current(session, chat_id))


def past(chat_id: str) -> list[tuple[int, int]]:
    """Versions that were replaced, each with its newest message."""
    with Session() as session:
        return [
            (row["version"], row["summarized_seq"])
            for row in summaries.history(session, chat_id, reader=owner_of(chat_id), limit=100)
        ]


def owner_of(chat_id: str) -> str:
    with Session() as session:
        return str(session.scalar(text("SELECT created_by::text FROM chats WHERE id = :id"), {"id": chat_id}))


def edit(chat_id: str, user_id: str, seq: int, content: str = "Changed") -> None:
    with Session.begin() as session:
        edits.edit(session, chat_id, seq=seq, user_id=user_id, content=content)


def delete(chat_id: str, user_id: str, seq: int) -> None:
    with Session.begin() as session:
        edits.delete(session, chat_id, seq=seq, user_id=user_id)


def test_a_step_shows_a_hundred_messages_and_what_was_known(chat: str, user: str) -> None:
    """The oldest that no summary has seen; the newest twenty are left."""
    first = read(chat)
    store(verbatim(first))
    second = read(chat)

    assert first.covered == range(1, 101)
    assert (first.lines[0].content, first.lines[0].sender_id) == ("Message 1", user)
    assert first.names == {user: "Somebody"}
    assert second.covered == range(101, 131)
    assert second.before.text.endswith("100=Message 100")


def test_a_stored_step_replaces_the_summary_and_keeps_the_one_before(chat: str) -> None:
    """Once it is replaced, not before: version 0 never said anything."""
    step_on(chat)
    step_on(chat)

    now = state(chat)
    assert (now["version"], now["summarized_seq"], now["model"]) == (2, 130, "some-model")
    assert past(chat) == [(1, 100)]


def test_of_two_steps_from_one_version_the_first_counts(chat: str) -> None:
    """Compare-and-set: the other would tell the same messages again."""
    one, other = verbatim(read(chat)), verbatim(read(chat))

    assert [store(one), store(other)] == [True, False]
    assert state(chat)["version"] == 1


@pytest.mark.parametrize("changed", [edit, delete])
def test_what_changes_while_the_model_thinks_drops_the_step(chat: str, user: str, changed: Any) -> None:
    """It was told what nobody says any more. The next one is told the present text."""
    late = verbatim(read(chat))

    changed(chat, user, 50)

    assert not store(late)
    assert state(chat)["version"] == 0
    step_on(chat)
    assert "Message 50" not in state(chat)["rolling_summary_text"]


def test_what_is_said_while_the_model_thinks_drops_nothing(chat: str, user: str) -> None:
    """People go on talking."""
    answered = verbatim(read(chat))

    say(chat, user, "Go on")

    assert store(answered)


@pytest.mark.parametrize(("seq", "left"), [(131, 130), (130, 100), (101, 100), (100, 0)])
def test_an_edit_throws_the_summary_back_to_before_the_message(chat: str, user: str, seq: int, left: int) -> None:
    """To the newest version that knew nothing of it; one that is not in it throws nothing back."""
    step_on(chat)
    step_on(chat)

    edit(chat, user, seq)

    now = state(chat)
    assert (now["summarized_seq"], now["is_stale"]) == (left, left < 130)
    assert "Changed" not in now["rolling_summary_text"]
    assert past(chat) == ([(2, 130), (1, 100)] if left < 130 else [(1, 100)])


def test_another_answer_of_the_ai_throws_the_summary_back(chat: str) -> None:
    """It says something else from then on."""
    with Session.begin() as session:
        session.execute(text("UPDATE messages SET sender_id = :ai, is_ai = true WHERE seq = 10"), {"ai": AI_ID})
    step_on(chat)

    with Session.begin() as session:
        row = {"id": str(uuid.uuid4()), "chat_id": chat, "up_to_seq": 10, "result": "Rather this."}
        regenerations.settle(session, [row])

    assert (state(chat)["summarized_seq"], state(chat)["is_stale"]) == (0, True)


def test_what_an_ended_account_had_said_is_in_no_summary_any_more(user: str) -> None:
    """Nor in one that is kept."""
    chat_id, other = a_chat(user, a_user()), a_user()
    with Session.begin() as session:
        moderation.add(session, chat_id, user_id=user, member_ids=[other])
    fill(chat_id, user, up_to=50)
    fill(chat_id, other, up_to=300)
    for _ in range(3):
        step_on(chat_id)

    with Session.begin() as session:
        while departures.some(session, other, most=100):
            pass

    assert state(chat_id)["summarized_seq"] == 0
    assert past(chat_id) == []


def test_of_versions_that_reach_as_far_the_newest_is_the_clean_one(chat: str, user: str) -> None:
    """The older one was made before an edit, and is kept to be looked at only."""
    step_on(chat)
    edit(chat, user, 5)
    step_on(chat)
    step_on(chat)

    edit(chat, user, 120)

    assert "\n5=Changed\n" in state(chat)["rolling_summary_text"]


def test_a_deletion_takes_the_message_out_of_the_past_too(chat: str, user: str) -> None:
    """What is gone is gone, also from the versions that members may look at."""
    step_on(chat)
    step_on(chat)

    delete(chat, user, 110)

    assert past(chat) == [(1, 100)]


def test_a_summary_is_stale_until_it_has_caught_up(chat: str, user: str) -> None:
    """Members see that there is less in it than there was."""
    step_on(chat)
    edit(chat, user, 3)
    stale = [state(chat)["is_stale"]]
    for _ in range(2):
        step_on(chat)
        stale.append(state(chat)["is_stale"])

    assert stale == [True, False, False]  # after the first of the two a prompt can show all that is left


def test_a_reset_begins_anew_and_what_is_under_way_comes_too_late(chat: str, user: str) -> None:
    """Whatever somebody has managed to get into a summary, its members can get rid of it."""
    step_on(chat)
    late = verbatim(read(chat))

    with Session.begin() as session:
        summaries.reset(session, chat, user_id=user)

    assert not store(late)
    now = state(chat)
    assert (now["rolling_summary_text"], now["summarized_seq"], now["version"]) == ("", 0, 2)


@pytest.mark.parametrize("seed", range(3))
def test_whatever_is_edited_deleted_or_reset_a_summary_tells_only_what_still_stands(user: str, seed: int) -> None:
    """A hundred things in any order: it has each message as it is now, and what is kept has none that was deleted."""
    chance = random.Random(seed)
    chat_id = an_ai_chat(user)
    fill(chat_id, user, up_to=400)
    texts = {seq: f"Message {seq}" for seq in range(1, 401)}
    pending: list[Answered] = []

    for turn in range(100):
        seq = chance.randint(1, 400)
        match chance.choice(["read", "read", "store", "store", "edit", "delete", "reset"]):
            case "read":
                with Session.begin() as session:
                    step = summary_steps.read(session, chat_id)
                pending += [verbatim(step)] if step else []
            case "store" if pending:
                store(pending.pop(chance.choice([0, -1])))
            case "edit" if texts[seq]:
                texts[seq] = f"Turn {turn}"
                edit(chat_id, user, seq, texts[seq])
            case "delete":
                texts[seq] = ""
                delete(chat_id, user, seq)
            case "reset" if chance.random() < 0.2:
                with Session.begin() as session:
                    summaries.reset(session, chat_id, user_id=user)
            case _:
                continue
        now = state(chat_id)
        told = dict(line.split("=", 1) for line in now["rolling_summary_text"].splitlines())
        assert told == {str(seq): said for seq, said in texts.items() if seq <= now["summarized_seq"] and said}
        with Session() as session:
            versions = summaries.history(session, chat_id, reader=user, limit=100)
        kept = "\n".join(row["rolling_summary_text"] for row in versions)
        assert not {seq for seq, said in texts.items() if not said and f"\n{seq}=" in f"\n{kept}"}


def test_a_step_takes_no_more_than_a_model_can_read(chat: str, user: str) -> None:
    """Fewer messages of more words; one that is far too long is shown cut."""
    with Session.begin() as session:
        session.execute(text("UPDATE messages SET content = repeat('word ', 1000) WHERE seq <= 100"))

    step = read(chat)

    assert step.covered == range(1, 11)
    assert all(line.is_cut and len(line.content) == 4_000 for line in step.lines)


def test_a_summary_rests_after_three_failures_in_a_row_longer_each_time(chat: str) -> None:
    """And is as before once one succeeds."""

    def rests_after(failures: int, *, minutes: int) -> bool:
        with Session.begin() as session:
            summary_jobs.due(session, chat)
            session.execute(
                text("""UPDATE ai_cache_contexts SET failures = :failures,
                        failed_at = clock_timestamp() - make_interval(mins => :minutes)"""),
                {"failures": failures, "minutes": minutes},
            )
        return bool(state(chat)["rests"])

    assert [rests_after(failures, minutes=0) for failures in (0, 2, 3)] == [False, False, True]
    assert [rests_after(3, minutes=11), rests_after(4, minutes=11), rests_after(4, minutes=21)] == [False, True, False]
    assert [rests_after(999, minutes=minutes) for minutes in (20 * 60, 24 * 60)] == [True, False]
    rests_after(3, minutes=0)
    step_on(chat)
    assert not state(chat)["rests"]


def finish(job_id: str, *, expected: int, outcome: Outcome = Outcome.COMPLETED) -> None:
    """Run a summary job once, as a worker does."""
    claimed = claim(job_id, expected=expected)
    assert claimed is not None
    assert ask(claimed)
    with Session.begin() as session:
        step = summary_steps.read(session, str(claimed.chat_id))
    ending = Ending(
        job_id=job_id,
        attempt=claimed.attempt,
        outcome=outcome,
        text="Folded.",
        error_code="summary_invalid" if outcome is not Outcome.COMPLETED else None,
        error_message="No." if outcome is not Outcome.COMPLETED else None,
        basis=verbatim(step) if step and outcome is Outcome.COMPLETED else None,
        prompt_tokens=40,
        completion_tokens=2,
    )
    with Session.begin() as session:
        attempts.record(session, [ending])


def unfinished(chat_id: str) -> list[str]:
    with Session() as session:
        query = text("SELECT id::text FROM jobs WHERE chat_id = CAST(:id AS uuid) AND finished_at IS NULL")
        return list(session.scalars(query, {"id": chat_id}))


def test_a_chat_of_five_thousand_messages_is_summarised_step_by_step_through_a_kill(user: str) -> None:
    """Each step makes the job of the next, in its own transaction. The one whose worker dies is made again."""
    chat_id = an_ai_chat(user)
    fill(chat_id, user, up_to=5_000, words="m")
    with Session.begin() as session:
        job_id = summary_jobs.due(session, chat_id)
    steps, done = 0, []
    while job_id is not None:
        if steps == 25:
            dying = claim(job_id)
            assert dying is not None
            change(job_id, lease_until=text("clock_timestamp() - interval '1 second'"))
            with Session.begin() as session:
                assert leases.reap(session) == [job_id]
        finish(job_id, expected=int(steps == 25))
        done.append(job_id)
        steps += 1
        job_id = next(iter(unfinished(chat_id)), None)

    now = state(chat_id)
    told = [line.partition("=")[0] for line in now["rolling_summary_text"].splitlines()]
    assert told == [str(seq) for seq in range(1, now["summarized_seq"] + 1)]
    assert (steps, now["version"], now["summarized_seq"]) == (50, 50, 4_980)
    assert {the_job(one).status for one in done} == {JobStatus.COMPLETED}


def test_an_answer_of_a_job_that_was_taken_over_is_not_stored(chat: str) -> None:
    """The fence of attempts is the summary's, too: both are one transaction."""
    with Session.begin() as session:
        job_id = str(summary_jobs.request(session, chat, asked_by=a_user()))
    claimed = claim(job_id)
    assert claimed is not None
    ask(claimed)
    answered = verbatim(read(chat))
    change(job_id, lease_until=text("clock_timestamp() - interval '1 second'"))
    with Session.begin() as session:
        leases.reap(session)

    with Session.begin() as session:
        late = Ending(job_id=job_id, attempt=1, outcome=Outcome.COMPLETED, text="Folded.", basis=answered)
        attempts.record(session, [late])

    assert state(chat)["version"] == 0


def test_failures_are_counted_and_the_summary_stays(chat: str) -> None:
    """Whether the job is tried again or given up."""
    step_on(chat)
    before = state(chat)
    with Session.begin() as session:
        job_id = str(summary_jobs.request(session, chat, asked_by=a_user()))

    finish(job_id, expected=0, outcome=Outcome.RETRIED)
    change(job_id, next_attempt_at=text("clock_timestamp()"), due=True)
    finish(job_id, expected=1, outcome=Outcome.FAILED)

    assert state(chat) == {**before, "rests": False}
    with Session() as session:
        assert session.scalar(text("SELECT failures FROM ai_cache_contexts")) == 2


def test_one_who_calls_the_ai_while_a_step_is_being_stored_does_not_wait_in_a_circle(user: str) -> None:
    """The one holds the chat and looks for the job; the other has ended the job and waits for the chat."""
    chat_id = an_ai_chat(user)
    fill(chat_id, user, up_to=400)
    with Session.begin() as session:
        job_id = str(summary_jobs.due(session, chat_id))

    with Session.begin() as caller:
        caller.execute(text("SELECT FROM chats WHERE id = :id FOR NO KEY UPDATE"), {"id": chat_id})
        storing = threading.Thread(target=finish, args=[job_id], kwargs={"expected": 0})
        storing.start()
        eventually(lambda: caller.scalar(text("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")))
        made = summary_jobs.due(caller, chat_id)
    storing.join(30)

    assert made is None
    assert (the_job(job_id).status, state(chat_id)["version"]) == (JobStatus.COMPLETED, 1)


def test_jobs_of_several_chats_are_settled_together(user: str) -> None:
    """The recorder writes them in one transaction."""
    chats = [a_chat(user, a_user()) for _ in range(3)]
    endings = []
    for chat_id in chats:
        fill(chat_id, user, up_to=60)
        with Session.begin() as session:
            job_id = str(summary_jobs.request(session, chat_id, asked_by=user))
        claimed = claim(job_id)
        assert claimed is not None
        ask(claimed)
        answered = verbatim(read(chat_id))
        endings.append(Ending(job_id=job_id, attempt=1, outcome=Outcome.COMPLETED, text="Folded.", basis=answered))

    with Session.begin() as session:
        attempts.record(session, endings)

    assert [state(chat_id)["summarized_seq"] for chat_id in chats] == [40, 40, 40]


def test_a_chat_that_is_not_there_has_no_summary() -> None:
    """Deleted a moment ago, perhaps."""
    with Session() as session, pytest.raises(LookupError):
        summaries.current(session, str(uuid.uuid4()))
