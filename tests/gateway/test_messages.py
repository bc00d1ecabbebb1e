"""What is said reaches every socket of every member, and nobody else's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

from models import edits, moderation
from models.base import Session
from tests.factories import a_chat, a_user, an_ai_chat, say, signed_in
from tests.gateway.clients import Client
from tests.gateway.conftest import Live
from tests.system.stack import eventually

pytestmark = pytest.mark.xdist_group("gateway")
Connect = Callable[..., Client]


def test_a_message_reaches_every_member_and_its_sender_at_all_sockets(live: Live, client: Connect) -> None:
    """Confirmed to whoever sent it, announced to their other sockets before, unknown to strangers."""
    anna, ben, eve = a_user(), a_user(), a_user()
    chat = a_chat(anna, ben)
    phone, desk, other, stranger = client(anna), client(anna), client(ben), client(eve)

    sent = desk.ask("send", chat=chat, content="Hello", clientMsgId="m1")

    assert (sent["replayed"], sent["differs"], sent["message"]["seq"]) == (False, False, 1)
    for each in (phone, desk, other):
        assert each.event("message.new", chat=chat)["d"] == sent["message"]
    assert phone.event("message.pending", chat=chat)["d"] == {"content": "Hello", "clientMsgId": "m1"}
    assert (desk.heard(), other.heard(), stranger.heard()) == ([], [], [])


def test_a_message_sent_again_is_the_first_and_told_once(client: Connect) -> None:
    """As over HTTP: by its clientMsgId, for ever."""
    anna = a_user()
    chat = a_chat(anna)
    page = client(anna)
    first = page.ask("send", chat=chat, content="Hello", clientMsgId="m1")

    again = page.ask("send", chat=chat, content="Hello!", clientMsgId="m1")

    assert again == {**first, "differs": True, "replayed": True}
    page.event("message.new", chat=chat)
    assert page.heard() == []


def test_what_was_announced_and_is_refused_is_taken_back(client: Connect) -> None:
    """At the sender's other sockets, after it was announced there; nobody else heard of either."""
    anna, ben = a_user(), a_user()
    chat = a_chat(anna, ben)
    phone, desk, other = client(anna), client(anna), client(ben)

    assert desk.refusal("send", chat=chat, content=" ", clientMsgId="m1")["code"] == "validation_failed"

    assert [
        (each["op"], each["d"]["clientMsgId"])
        for each in (phone.event("message.pending"), phone.event("message.refused"))
    ] == [("message.pending", "m1"), ("message.refused", "m1")]
    assert (desk.ops(), other.ops()) == ([], [])


def test_what_others_commit_is_told_whoever_commits_it(live: Live, client: Connect) -> None:
    """A verb called anywhere will do: the api, a worker. Edits and deletions are told as such."""
    anna, ben = a_user(), a_user()
    chat = a_chat(anna, ben)
    page = client(ben)

    say(chat, anna, "One")
    assert page.event("message.new", chat=chat)["d"]["content"] == "One"
    with Session.begin() as session:
        edits.edit(session, chat, seq=1, user_id=anna, content="Two")
    assert page.event("message.edited", chat=chat)["d"]["content"] == "Two"
    with Session.begin() as session:
        edits.delete(session, chat, seq=1, user_id=anna)
    assert page.event("message.deleted", chat=chat)["d"]["content"] == ""
    http: FlaskClient = live.app.test_client()
    body = {"content": "Three", "clientMsgId": "m3"}
    assert http.post(f"/api/chats/{chat}/messages", json=body, headers=signed_in(anna)).status_code == 201
    assert page.event("message.new", chat=chat)["d"]["content"] == "Three"


def test_whoever_is_removed_hears_nothing_more_and_whoever_comes_hears_from_then_on(client: Connect) -> None:
    """Both learn of it themselves, and so do the others."""
    anna, ben, cleo = a_user(), a_user(), a_user()
    chat = a_chat(anna, ben, hides_history=True)
    admin, leaver, comer = client(anna), client(ben), client(cleo)
    say(chat, anna, "Before")
    leaver.event("message.new", chat=chat)

    with Session.begin() as session:
        moderation.remove(session, chat, user_id=anna, member_id=ben)
        moderation.add(session, chat, user_id=anna, member_ids=[cleo])
    for page in (admin, leaver):
        page.event("members", chat=chat, userId=ben, gone=True)
    for page in (admin, comer):
        page.event("members", chat=chat, userId=cleo, gone=False)
    say(chat, anna, "After")

    assert comer.event("message.new", chat=chat)["d"]["content"] == "After"
    admin.event("message.new", chat=chat, content="After")
    assert leaver.heard() == []
    with Session.begin() as session:
        edits.edit(session, chat, seq=1, user_id=anna, content="Before, edited")
    admin.event("message.edited", chat=chat)
    assert comer.heard() == []


def test_a_removal_that_nobody_was_told_of_counts_all_the_same(client: Connect) -> None:
    """Who may have a message is asked of PostgreSQL when it is delivered, not remembered."""
    anna, ben = a_user(), a_user()
    chat = a_chat(anna, ben)
    page, leaver = client(anna), client(ben)
    with Session.begin() as session:
        session.execute(text("DELETE FROM chat_members WHERE user_id = :ben"), {"ben": ben})

    say(chat, anna, "Behind his back")

    page.event("message.new", chat=chat)
    leaver.event("members", chat=chat, userId=ben, gone=True)
    assert leaver.heard() == []


def test_a_chat_that_has_just_been_made_is_heard_of(client: Connect) -> None:
    """Its members are told, and what is said in it reaches them."""
    anna, ben = a_user(), a_user()
    page = client(ben)

    chat = a_chat(anna, ben)
    page.event("members", chat=chat, userId=ben, gone=False)
    say(chat, anna)

    page.event("message.new", chat=chat)


def test_what_fails_while_one_message_is_told_does_not_end_the_telling(
    live: Live, client: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It did: the loop ended with the first error that was not of the database, and nobody heard of anything more."""
    anna = a_user()
    chat, page = a_chat(anna), client(anna)
    deliver, failures = live.gateway.news._deliver, [KeyError("a column")]

    def deliver_the_second(*given: Any) -> None:
        if failures:
            raise failures.pop()
        deliver(*given)

    monkeypatch.setattr(live.gateway.news, "_deliver", deliver_the_second)
    say(chat, anna, "One")
    eventually(lambda: not failures)
    say(chat, anna, "Two")

    for content in ("One", "Two"):
        page.event("message.new", chat=chat, content=content)


def test_two_gateways_tell_the_same(client: Connect, start: Callable[..., Live]) -> None:
    """Whichever a page is connected to."""
    anna, ben = a_user(), a_user()
    chat = a_chat(anna, ben)
    other = start()
    here, there = client(anna), client(ben, at=other)

    here.ask("send", chat=chat, content="Hello", clientMsgId="m1")

    assert there.event("message.new", chat=chat)["d"]["content"] == "Hello"
    there.close()
    other.stop()


def test_commands_are_refused_as_over_http(client: Connect) -> None:
    """The same codes, and where the fault is."""
    anna, eve = a_user(), a_user()
    chat = an_ai_chat(anna)
    page, stranger = client(anna), client(eve)

    assert stranger.refusal("send", chat=chat, content="Hi", clientMsgId="m1")["code"] == "chat_not_found"
    blank = page.refusal("send", chat=chat, content=" ", clientMsgId="m1")
    assert (blank["code"], blank["errors"][0]["code"]) == ("validation_failed", "blank")
    assert page.refusal("send", content="Hi", clientMsgId="m1")["errors"][0]["pointer"] == "/chat"
    assert page.refusal("send", chat=chat, content="Hi")["errors"][0]["pointer"] == "/d/clientMsgId"
    assert page.refusal("dance")["code"] == "unknown_op"
    assert page.refusal("edit", chat=chat, seq=7, content="Hi")["code"] == "message_not_found"
