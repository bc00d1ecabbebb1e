"""Summaries as a worker makes them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from models import summaries as stored
from models import summary_jobs, summary_steps
from models.base import Session
from models.settings import Settings
from models.states import JobStatus
from models.summary_answers import Summary
from models.summary_steps import Answered
from tasks import summaries
from tasks.llm.base import LOST, Call, Kind, Prompt, ProviderError, Reply, Usage
from tasks.llm.offline import Offline
from tasks.llm.transcripts import rows_in
from tasks.runner import Runner
from tasks.sweeper import Sweeper
from tests.factories import a_user, an_ai_chat, fill, the_attempt, the_job
from tests.system.stack import eventually


class Scribe:
    """A model that says which messages it was told of, or what it was given to say."""

    name = model = "scribe"

    def __init__(self) -> None:
        self.says: Callable[[list[int]], str] = lambda seqs: json.dumps({"summary": f"{seqs[0]} to {seqs[-1]}"})
        self.prompts: list[Prompt] = []
        self.told: list[Any] = []
        self.truncated = False

    def reply(self, prompt: Prompt, call: Call) -> Reply:
        """Answer at once."""
        self.prompts.append(prompt)
        seqs = [row["seq"] for row in rows_in(prompt.message) if "seq" in row]
        call.said = said = [self.says(seqs)]
        self.told.append(call.said)
        return Reply(text=said[0], model="scribe-1", usage=Usage(40, 2), truncated=self.truncated)

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def model() -> Scribe:
    """The model of one test."""
    return Scribe()


@pytest.fixture
def chat(db: Settings) -> str:
    """A chat of 150 messages, in which the AI has been called."""
    user = a_user()
    chat_id = an_ai_chat(user)
    with Session.begin() as session:
        summary_jobs.due(session, chat_id)
    fill(chat_id, user, up_to=150)
    return chat_id


def state(chat_id: str) -> dict[str, Any]:
    with Session() as session:
        return dict(stored.current(session, chat_id))


def request(chat_id: str) -> str:
    with Session.begin() as session:
        return str(summary_jobs.request(session, chat_id, asked_by=a_user()))


def test_a_worker_makes_a_step_and_shows_nothing_of_it_but_that_it_was_made(
    db: Settings, chat: str, model: Scribe
) -> None:
    """What the summary says is for members; a job belongs to one of them, who may have left."""
    runner, job_id = Runner(db, model, name="w"), request(chat)

    runner.take([(job_id, 0)])

    eventually(lambda: the_job(job_id).status is JobStatus.COMPLETED)
    now = state(chat)
    assert (now["rolling_summary_text"], now["summarized_seq"], now["model"]) == ("1 to 100", 100, "scribe-1")
    assert the_job(job_id).result == "Folded messages 1 to 100 into the summary of the chat."
    assert (the_attempt(job_id, 1).prompt_tokens, model.told) == (40, [()])


@pytest.mark.parametrize(
    ("says", "truncated"),
    [("I would rather not.", False), ('{"summary": "1 to 1', False), ('{"summary": "cut"}', True)],
)
def test_an_invalid_answer_leaves_the_old_summary_in_place(
    db: Settings, chat: str, model: Scribe, says: str, truncated: bool
) -> None:
    """The attempt has failed; the job is tried again, and in the end given up."""
    summaries.catch_up(chat, lambda prompt: model.reply(prompt, Call(seconds=60)))
    before = state(chat)
    model.says, model.truncated = lambda _: says, truncated
    runner, job_id = Runner(db, model, name="w"), request(chat)

    runner.take([(job_id, 0)])

    eventually(lambda: the_job(job_id).status is JobStatus.RETRYING)
    assert (the_job(job_id).error_code, the_job(job_id).failures) == ("summary_invalid", 1)
    assert the_attempt(job_id, 1).prompt_tokens == 40
    assert before["version"] == 1
    assert state(chat) == before


def test_without_a_model_summaries_are_made_too(db: Settings, chat: str) -> None:
    """Everything can be tried with nothing configured."""
    runner, job_id = Runner(db, Offline(db), name="w"), request(chat)

    runner.take([(job_id, 0)])

    eventually(lambda: state(chat)["summarized_seq"] == 100)
    assert "Somebody: Message" in state(chat)["rolling_summary_text"]


def test_a_job_that_finds_nothing_left_is_done(db: Settings, chat: str, model: Scribe) -> None:
    """Somebody else was faster."""
    job_id = request(chat)
    with Session.begin() as session:
        session.execute(text("UPDATE ai_cache_contexts SET summarized_seq = 130, version = 1"))

    Runner(db, model, name="w").take([(job_id, 0)])

    eventually(lambda: the_job(job_id).status is JobStatus.COMPLETED)
    assert (the_job(job_id).result, model.prompts) == ("There was nothing left to fold.", [])


def test_messages_that_were_all_deleted_are_folded_without_a_model(chat: str, model: Scribe) -> None:
    """There is nothing to be said about them, and nothing to be paid."""
    with Session.begin() as session:
        session.execute(text("UPDATE messages SET content = '', deleted_at = now() WHERE seq <= 100"))

    summaries.catch_up(chat, lambda prompt: model.reply(prompt, Call(seconds=60)))

    assert (state(chat)["summarized_seq"], model.prompts) == (100, [])


@pytest.mark.parametrize(
    ("length", "steps", "left"), [(50, 0, 50), (51, 1, 20), (151, 2, 20), (300, 3, 20), (350, 3, 50), (351, 0, 351)]
)
def test_before_a_reply_what_a_prompt_cannot_show_is_folded(
    chat: str, model: Scribe, length: int, steps: int, left: int
) -> None:
    """Three steps at most; what would need more is for the background, and is not begun."""
    with Session.begin() as session:
        session.execute(text("UPDATE chats SET last_seq = 0, last_change_seq = 0"))
        session.execute(text("DELETE FROM messages"))
    fill(chat, a_user(), up_to=length)

    spent = summaries.catch_up(chat, lambda prompt: model.reply(prompt, Call(seconds=60)))

    assert len(model.prompts) == steps
    assert state(chat)["last_seq"] - state(chat)["summarized_seq"] == left
    assert spent == (Usage(40 * steps, 2 * steps) if steps else None)


def test_steps_whose_cost_nobody_told_did_not_cost_nothing(chat: str, model: Scribe) -> None:
    """Then what was sent for is estimated (`tasks.endings`)."""

    def ask(prompt: Prompt) -> Reply:
        return dataclasses.replace(model.reply(prompt, Call(seconds=60)), usage=None)

    assert summaries.catch_up(chat, ask) is None
    assert model.prompts


def test_a_step_that_fails_before_a_reply_is_counted_and_does_without(chat: str, model: Scribe) -> None:
    """A reply that lacks the oldest messages is better than none; after three failures it is not even tried."""
    model.says = lambda _: "no"

    spent = [summaries.catch_up(chat, lambda prompt: model.reply(prompt, Call(seconds=60))) for _ in range(4)]

    assert spent == [Usage(40, 2)] * 3 + [None]
    assert len(model.prompts) == 3
    assert state(chat)["rests"]


def test_a_call_that_is_broken_off_is_no_failure_of_the_summary(chat: str) -> None:
    """Somebody has cancelled the reply."""

    def ask(prompt: Prompt) -> Reply:
        raise ProviderError("Broken off.", kind=Kind.TRANSIENT, code=LOST)

    with pytest.raises(ProviderError):
        summaries.catch_up(chat, ask)

    with Session() as session:
        assert session.scalar(text("SELECT failures FROM ai_cache_contexts")) == 0


def test_who_is_overtaken_goes_on_from_there(chat: str, model: Scribe) -> None:
    """A job was faster by one step: what the reply had made of the same messages is dropped."""

    def ask(prompt: Prompt) -> Reply:
        if not model.prompts:
            with Session.begin() as session:
                step = summary_steps.read(session, chat)
                assert step is not None
                summary_steps.store(session, Answered(step=step, summary=Summary(text="faster"), model="m"))
        return model.reply(prompt, Call(seconds=60))

    summaries.catch_up(chat, ask)

    assert (state(chat)["rolling_summary_text"], state(chat)["version"]) == ("faster", 1)


def test_the_sweeper_has_jobs_made_and_begins_again_at_the_end(chat: str) -> None:
    """Once a minute, in the dispatcher."""
    sweeper = Sweeper()

    assert [sweeper.sweep(), sweeper.sweep()] == [False, False]
    with Session() as session:
        assert session.scalar(text("SELECT count(*) FROM jobs WHERE purpose = 'summary'")) == 1
