"""An answer is given again to the very same prompt, of the same owner and in the same chat, and to no other."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from models import flags, moderation
from models.attempts import Claimed
from models.base import Session
from models.flags import Flag
from models.jobs import Purpose
from models.live.circuit import Circuit
from models.live.reply_cache import Kept, ReplyCache
from models.settings import Settings
from models.states import JobStatus
from tasks import reuse
from tasks.llm.base import ROOM_REPLY, Prompt, Reply, Usage
from tasks.runner import Runner
from tests.factories import a_chat, a_user, an_ai_chat, call, create, said_in, the_attempt, the_job
from tests.tasks.test_chat_turns import Model, finished

NOWHERE = "redis://127.0.0.1:1/0"


@pytest.fixture
def kept(db: Settings) -> ReplyCache:
    """Of a Redis that begins empty."""
    circuit = Circuit(db)
    circuit.ask(lambda redis: redis.flushdb())
    return ReplyCache(db, circuit)


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def runner(db: Settings, model: Model, kept: ReplyCache) -> Runner:
    """A worker of its own."""
    return Runner(dataclasses.replace(db, worker_slots=4), model, name="w", kept=kept)


def test_a_job_that_wants_it_is_given_what_the_same_one_got(runner: Runner, model: Model) -> None:
    """For nothing, and it says so. Not one that does not want it, nor another owner's, nor another message."""
    first, again, unwilling, another, other = (
        finished(runner, create(message, reuse=reuse_it, owner=owner))
        for message, reuse_it, owner in (
            ("Why?", True, "user:a"),
            ("Why?", True, "user:a"),
            ("Why?", False, "user:a"),
            ("Why?", True, "user:b"),
            ("How?", True, "user:a"),
        )
    )

    assert [job.cached for job in (first, again, unwilling, another, other)] == [False, True, False, False, False]
    assert len(model.asked) == 4
    assert (again.status, again.result, again.model) == (JobStatus.COMPLETED, "Yes.", "some-model")
    tokens = [(one.prompt_tokens, one.completion_tokens) for one in (the_attempt(job.id, 1) for job in (first, again))]
    assert tokens == [(100, 10), (0, 0)]


def test_only_those_are_given_it_again_for_whom_it_is(db: Settings, model: Model, kept: ReplyCache) -> None:
    """A flag gives it to a share of the owners."""
    ours = dataclasses.replace(db, flags="reply_cache=50")
    shared = ReplyCache(ours, kept._circuit)
    some = Runner(dataclasses.replace(ours, worker_slots=4), model, name="w", kept=shared)
    people = [f"user:{number}" for number in range(6)]
    places = [flags.place(Flag.REPLY_CACHE, owner) < 50 for owner in people]
    assert set(places) == {True, False}

    for owner in people:
        finished(some, create("Why?", reuse=True, owner=owner))
    again = [finished(some, create("Why?", reuse=True, owner=owner)).cached for owner in people]

    assert again == places


def test_in_a_chat_a_second_attempt_need_not_ask_again(runner: Runner, model: Model, kept: ReplyCache) -> None:
    """The prompt is the same but for the marks around what was said, which are drawn anew."""
    anna = a_user()
    chat = a_chat(anna)
    model.answers[ROOM_REPLY] = "On Monday."
    job_id = call(chat, anna, "@AI when do we meet?")
    job = finished(runner, job_id)
    [prompt] = model.asked
    claimed = Claimed(**{**vars(_claimed(job)), "attempt": 2})

    again = reuse.answered(claimed, dataclasses.replace(prompt, **_remarked(prompt)), kept, _never)

    assert (again.text, again.cached, job.cached) == ("On Monday.", True, False)
    assert [message.content for message in said_in(chat)][-1] == "On Monday."


def _claimed(job: Any) -> Claimed:
    return Claimed(
        id=job.id,
        attempt=1,
        type="chat",
        message=job.message,
        failures=0,
        max_attempts=5,
        lost_count=0,
        seconds_left=60,
        purpose=job.purpose,
        chat_id=job.chat_id,
        owner=job.owner,
    )


def _remarked(prompt: Prompt) -> dict[str, Any]:
    mark = "data-0123456789abcdef"
    turns = [{**turn, "content": turn["content"].replace(prompt.mark, mark)} for turn in prompt.turns]
    return {"turns": turns, "mark": mark}


def _never() -> Reply:
    raise AssertionError("the model was asked")


def _once() -> Reply:
    return Reply(text="Anew.", model="m", usage=Usage(1, 1))


@pytest.mark.parametrize(
    ("changes", "prompt_changes"),
    [
        ({"owner": "user:b"}, {}),
        ({"chat_id": "00000000-0000-4000-8000-000000000002"}, {}),
        ({"is_probe": True}, {}),
        ({"purpose": Purpose.REGENERATION}, {}),
        ({}, {"model": "other"}),
        ({}, {"turns": [{"role": "user", "content": "Why? "}]}),
        ({}, {"turns": [{"role": "assistant", "content": "Why?"}]}),
        ({}, {"type": ROOM_REPLY}),
        ({}, {"reuses_answer": False}),
    ],
)
def test_whatever_is_not_the_same_is_asked(
    kept: ReplyCache, changes: dict[str, Any], prompt_changes: dict[str, Any]
) -> None:
    """And what is wanted anew takes the place of what was said before."""
    facts = {"id": "j", "attempt": 1, "type": "chat", "message": "Why?", "failures": 0, "max_attempts": 5}
    claimed = Claimed(**facts, lost_count=0, seconds_left=60, purpose="reply", owner="user:a", chat_id="1")  # type: ignore[arg-type]
    prompt = Prompt(
        type="chat_reply", message="Why?", turns=[{"role": "user", "content": "Why?"}], model="m", reuses_answer=True
    )
    kept.keep(reuse.hash_of(claimed, prompt), Kept("Before.", "m"))
    assert reuse.answered(claimed, prompt, kept, _never).text == "Before."

    other = dataclasses.replace(claimed, **changes), dataclasses.replace(prompt, **prompt_changes)
    assert reuse.answered(*other, kept, _once).text == "Anew."

    expected = "Anew." if "purpose" in changes else "Before."
    assert reuse.answered(claimed, prompt, kept, _never).text == expected


def test_a_chat_can_have_it_off_and_without_redis_there_is_none(
    runner: Runner, model: Model, kept: ReplyCache, db: Settings
) -> None:
    """What was cut off is not kept, either, nor anything once its time is over or if none is given."""
    anna = a_user()
    chats = [an_ai_chat(anna) for _ in range(2)]
    with Session.begin() as session:
        moderation.change(session, chats[1], user_id=anna, reuses_answers=False)
    for chat in chats:
        finished(runner, call(chat, anna, "Why?"))
    assert [prompt.reuses_answer for prompt in model.asked if prompt.type == "chat_reply"] == [True, False]

    prompt = Prompt(type="chat", message="Why?", reuses_answer=True)
    claimed = _claimed(the_job(create()))
    away = dataclasses.replace(db, redis_url=NOWHERE)
    off = dataclasses.replace(db, reply_cache_seconds=0.0)
    for cache in (ReplyCache(away, Circuit(away)), ReplyCache(off, Circuit(off))):
        assert [reuse.answered(claimed, prompt, cache, _once).cached for _ in range(2)] == [False, False]
    cut = Reply(text="An", model="m", usage=None, truncated=True)
    assert [reuse.answered(claimed, prompt, kept, lambda: cut).cached for _ in range(2)] == [False, False]
    assert [reuse.answered(claimed, prompt, kept, _once).cached for _ in range(2)] == [False, True]
    [key] = Circuit(db).ask(lambda redis: redis.keys(f"*reply:{reuse.hash_of(claimed, prompt)}"))
    assert 3500 < Circuit(db).ask(lambda redis: redis.ttl(key)) <= 3600
