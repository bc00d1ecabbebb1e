"""Which messages call the AI, and that each call is answered in its chat once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import text

from models import announcements, attempts
from models.announcements import Room
from models.attempts import Outcome
from models.base import Session
from models.chats import AiCallers, AiMode
from models.jobs import Purpose
from models.users import AI_ID
from tests.factories import a_chat, a_user, an_ai_chat, answer, ask, call, change, claim, record, said_in, the_job

pytestmark = pytest.mark.usefixtures("db")


def test_in_a_chat_with_the_ai_each_message_of_a_person_is_answered_once() -> None:
    """By a message of its own, which says what it answers, and which job made it."""
    anna = a_user()
    chat = an_ai_chat(anna)

    job_id = call(chat, anna, "Why is the sky blue?")
    answer(job_id)

    asked, answered = said_in(chat)
    assert (asked.job_id, answered.job_id) == (job_id, job_id)
    assert (answered.sender_id, answered.is_ai, answered.reply_to) == (AI_ID, True, 1)
    assert (answered.content, answered.client_msg_id) == ("Because of Rayleigh.", f"ai:{job_id}")
    assert the_job(str(job_id)).owner == f"user:{anna}"


@pytest.mark.parametrize(
    ("options", "content", "calls"),
    [
        ({}, "@AI what now?", True),
        ({}, "What now?", False),
        ({}, "`@AI` calls it", False),
        ({}, "> @AI what now?\nsaid Bob", False),
        ({"ai_mode": AiMode.ALWAYS}, "What now?", True),
        ({"ai_mode": AiMode.OFF}, "@AI what now?", False),
        ({"ai_callers": AiCallers.ADMINS}, "@AI what now?", False),
    ],
)
def test_elsewhere_its_mode_and_its_callers_decide(options: dict[str, Any], content: str, calls: bool) -> None:
    """Bob is no admin. Whom it does not answer, that one's message is posted all the same."""
    anna, bob = a_user(), a_user()
    chat = a_chat(anna, bob, **options)

    job_id = call(chat, bob, content)

    assert (job_id is not None) == calls
    assert [one.content for one in said_in(chat)] == [content]


def test_what_the_ai_says_calls_nobody() -> None:
    """Or two of them would talk until the money is gone."""
    anna = a_user()
    chat = a_chat(anna, ai_mode=AiMode.ALWAYS)
    answer(call(chat, anna), "@AI and @everyone, what do you think?")

    assert call(chat, AI_ID, "@AI again?") is None
    with Session() as session:
        assert session.scalar(text("SELECT count(*) FROM jobs WHERE purpose <> 'title'")) == 1


def test_a_call_that_comes_while_another_waits_joins_it() -> None:
    """However many at once. What is being answered is joined no more."""
    people = [a_user() for _ in range(8)]
    chat = a_chat(*people)

    with ThreadPoolExecutor(8) as threads:
        joined = set(threads.map(lambda person: call(chat, person), people))
    [first] = joined
    claimed = claim(str(first))
    later = call(chat, people[0])

    assert claimed is not None
    assert claimed.up_to_seq == len(people)
    assert later not in joined
    assert the_job(str(later)).up_to_seq == len(people) + 1


def announce() -> list[str]:
    """Stamp what is due; answers the ids, of what is not about titles."""
    with Session.begin() as session:
        stamped = announcements.stamp(session, "interactive", room=Room(100, 10), again_after=5)
    return [job_id for job_id, _ in stamped if the_job(job_id).purpose is not Purpose.TITLE]


def test_a_chat_is_answered_one_generation_after_the_other() -> None:
    """Neither announced nor claimed before; the others in the bundle are."""
    anna = a_user()
    chat, other = an_ai_chat(anna), an_ai_chat(anna)
    first = str(call(chat, anna))
    running = claim(first)
    second, elsewhere = str(call(chat, anna)), str(call(other, anna))
    recap = str(call(chat, anna, "@AI summarize"))

    announced = announce()
    with Session.begin() as session:
        hints = [(job_id, 0) for job_id in (second, elsewhere, recap)]
        claims = attempts.claim(session, hints, worker="w", lease_seconds=15)
    assert running is not None
    ask(running)
    record(running, text="First.")

    assert announced == [elsewhere]
    assert [claimed.id for claimed in claims] == [elsewhere]
    assert announce() == [second]
    answer(second)
    assert announce() == [recap]


def test_while_one_is_to_be_tried_again_the_next_waits() -> None:
    """Or it would be answered first, and not know what the other was told."""
    anna = a_user()
    chat = an_ai_chat(anna)
    first = str(call(chat, anna))
    running = claim(first)
    assert running is not None
    record(running, outcome=Outcome.RETRIED, error_code="x", error_message="x", delay_seconds=60)
    second = str(call(chat, anna))

    before = announce()
    change(first, due=True)
    first_again = announce()
    answer(first)

    assert (before, first_again, announce()) == ([], [first], [second])
