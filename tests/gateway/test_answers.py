"""What the AI does in a chat is told while it does it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from models.live.partial import PartialText
from models.settings import Settings
from tests.factories import a_chat, a_user, an_ai_chat, ask, call, claim, create, record
from tests.gateway.clients import Client
from tests.gateway.conftest import Live

pytestmark = pytest.mark.xdist_group("gateway")
Connect = Callable[..., Client]


def test_an_answer_is_followed_from_its_call_to_its_message(live: Live, client: Connect, db: Settings) -> None:
    """Status to all members; the text, piece by piece and whole, to those who show the chat, however late they come."""
    anna, ben = a_user(), a_user()
    chat = a_chat(anna, ben)
    page, late, aside = client(anna), client(ben), client(ben)
    page.ask("open", chat=chat)
    partial = PartialText(db)

    job_id = call(chat, anna)
    assert job_id is not None
    claimed = claim(job_id)
    assert claimed is not None
    for each in (page, aside):
        status = each.event("ai.status", chat=chat, jobId=job_id, status="processing")["d"]
        assert status == {"jobId": job_id, "status": "processing", "attempt": 1, "askedBy": anna}
    assert ask(claimed)
    page.event("ai.status", status="analyzing")
    assert partial.watched() == {job_id}
    partial.put({(job_id, 1): "Grüß".encode()[:-1]})
    first = page.event("ai.text", chat=chat)["d"]
    assert first == {"jobId": job_id, "attempt": 1, "offset": 0, "text": "Grü"}
    late.ask("open", chat=chat)
    assert late.event("ai.text", chat=chat)["d"] == first
    partial.put({(job_id, 1): "Grüße 👋 an alle".encode()})
    for each in (page, late):
        assert each.event("ai.text")["d"] == {"jobId": job_id, "attempt": 1, "offset": 3, "text": "ße 👋 an alle"}
    record(claimed, text="Grüße 👋 an alle")

    page.event("ai.status", status="completed")
    assert page.event("message.new", chat=chat, isAi=True)["d"]["content"] == "Grüße 👋 an alle"
    assert "ai.text" not in aside.ops()


def test_an_answer_can_be_stopped_and_asked_for_anew(live: Live, client: Connect) -> None:
    """As over HTTP; everybody sees it."""
    anna = a_user()
    chat = an_ai_chat(anna)
    page, other = client(anna), client(anna)

    job_id = page.ask("send", chat=chat, content="Why?", clientMsgId="m1")["message"]["jobId"]
    assert page.ask("stop", chat=chat) == {"jobId": job_id}
    other.event("ai.status", chat=chat, jobId=job_id, status="cancelled")
    again = page.ask("send", chat=chat, content="Why, then?", clientMsgId="m2")["message"]["jobId"]
    claimed = claim(again)
    assert claimed is not None
    assert ask(claimed)
    record(claimed, text="Because.")
    answered = other.event("message.new", chat=chat, isAi=True)["d"]

    anew = page.ask("regenerate", chat=chat, seq=answered["seq"])

    assert anew["status"] == "created"
    claimed = claim(anew["jobId"])
    assert claimed is not None
    assert ask(claimed)
    record(claimed, text="Because of Rayleigh.")
    assert other.event("message.edited", chat=chat, seq=answered["seq"])["d"]["content"] == "Because of Rayleigh."


def test_a_job_that_is_watched_is_told_as_it_moves(client: Connect) -> None:
    """One's own, and nobody else's."""
    anna, eve = a_user(), a_user()
    page, stranger = client(anna), client(eve)
    job_id = create(owner=f"user:{anna}")

    assert page.ask("watch_job", jobId=job_id) == {"status": "created"}
    assert stranger.refusal("watch_job", jobId=job_id)["code"] == "job_not_found"
    assert claim(job_id) is not None

    assert page.event("job")["d"] == {"jobId": job_id, "status": "processing"}
    assert stranger.ops() == []
