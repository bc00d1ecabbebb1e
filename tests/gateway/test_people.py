"""Who is here, who writes, who has seen what: told to those it concerns, and to nobody else."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any
from unittest.mock import ANY

import pytest
import redis
from sqlalchemy.exc import OperationalError
from websockets.datastructures import Headers

from models import members, moderation
from models.base import Session
from models.live import presence
from models.settings import Settings
from tests.factories import a_chat, a_user, say, signed_in
from tests.gateway.clients import Client
from tests.gateway.conftest import Live
from tests.statements import counted
from tests.system.stack import eventually

pytestmark = pytest.mark.xdist_group("gateway")
Connect = Callable[..., Client]


def test_presence_is_told_to_those_who_show_the_chat_and_ends_after_a_grace(
    live: Live, client: Connect, monkeypatch: pytest.MonkeyPatch, db: Settings
) -> None:
    """A page that is loaded anew was never away; one that is gone is, some seconds later. The seed's keys are kept."""
    monkeypatch.setattr(presence, "GRACE_SECONDS", 1)
    anna, ben = a_user(), a_user()
    chat = a_chat(anna, ben)
    page, elsewhere = client(anna), client(anna)

    shown = page.ask("open", chat=chat)["members"]
    assert sorted(shown, key=lambda each: str(each["userId"])) == sorted(
        [
            {"userId": anna, "online": True, "lastSeenAt": None},
            {"userId": ben, "online": False, "lastSeenAt": None},
        ],
        key=lambda each: str(each["userId"]),
    )
    first, second = client(ben), client(ben)
    page.event("presence", userId=ben, online=True)
    with redis.Redis.from_url(db.redis_url) as keys:
        # The second is noted after it was greeted, and nobody is told.
        assert eventually(lambda: keys.zcard(f"chat:conns:{ben}") == 2, seconds=5)
        assert 290 < keys.ttl(f"chat:online:{ben}") <= 300
        assert 86000 < keys.ttl(f"chat:last_seen:{ben}") <= 86400
    first.close()
    second.close()
    gone = page.event("presence", userId=ben, online=False)["d"]
    assert gone["lastSeenAt"] is not None
    with redis.Redis.from_url(db.redis_url) as keys:
        assert keys.exists(f"chat:online:{ben}", f"chat:conns:{ben}") == 0
    assert elsewhere.ops() == []

    page.ask("close", chat=chat)
    client(ben)
    assert page.ask("open", chat=chat)["members"] != shown


def test_only_people_one_shares_a_chat_with_can_be_watched(client: Connect) -> None:
    """The dots of the sidebar. A list replaces the one before."""
    anna, ben, eve = a_user(), a_user(), a_user()
    a_chat(anna, ben)
    page = client(anna)

    watched = page.ask("watch", users=[ben, eve])["presence"]

    assert watched == [{"userId": ben, "online": False, "lastSeenAt": None}]
    client(eve)
    client(ben)
    page.event("presence", userId=ben, online=True)
    assert page.ask("watch", users=[])["presence"] == []


def test_a_chat_can_be_shown_before_word_of_it_has_come(
    live: Live, client: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page that has just made one asks for it at once; from then on it hears of it."""
    monkeypatch.setitem(live.gateway.news.heard_user, "members", lambda *_: None)
    anna, ben = a_user(), a_user()
    pages = [client(anna), client(ben)]
    chat = a_chat(anna, ben)

    for page in pages:
        assert {each["userId"] for each in page.ask("open", chat=chat)["members"]} == {anna, ben}

    say(chat, anna, "Welcome")
    for page in pages:
        assert page.event("message.new", chat=chat)["d"]["content"] == "Welcome"


def test_typing_reaches_the_others_who_show_the_chat_and_ends_with_the_message(
    live: Live, client: Connect, db: Settings
) -> None:
    """No statement is run for it. Nor for presence."""
    anna, ben = a_user(), a_user()
    chat = a_chat(anna, ben)
    writer, reader, away = client(anna), client(ben), client(ben)
    reader.ask("open", chat=chat)

    with counted() as statements:
        assert writer.ask("typing", chat=chat, on=True) == {}
        assert reader.event("typing", chat=chat)["d"] == {"userId": anna, "on": True}
    # Every 20 s it is asked who is signed in still, whatever else happens.
    assert [each for each in statements if "FROM sessions" not in each] == []
    with redis.Redis.from_url(db.redis_url) as keys:
        assert 0 < eventually(lambda: max(0, keys.pttl(f"chat:typing:{chat}:{anna}")), seconds=3) <= 3000
    writer.ask("send", chat=chat, content="Done", clientMsgId="m1")

    reader.event("typing", chat=chat, userId=anna, on=False)
    away.event("message.new")
    assert "typing" not in away.ops() + writer.ops()
    assert writer.refusal("typing", chat=a_chat(ben), on=True)["code"] == "chat_not_found"


def test_what_could_not_be_counted_is_counted_when_the_database_is_back(
    live: Live, client: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has read on another device is told all the same, a moment later."""
    anna, ben = a_user(), a_user()
    chat = a_chat(anna, ben)
    say(chat, ben, "Hello", "Are you there?")
    desk, phone = client(anna), client(anna)
    reads = live.gateway.news._chat_reads
    count, failures = reads.unread_in, [OperationalError("SELECT", {}, Exception("gone"), connection_invalidated=True)]

    def count_at_the_second_try(*given: Any) -> Any:
        if failures:
            raise failures.pop()
        return count(*given)

    monkeypatch.setattr(reads, "unread_in", count_at_the_second_try)
    desk.ask("seen", chat=chat, seq=1)

    assert phone.event("unread", chat=chat)["d"] == {"unread": 1, "unreadCapped": False}
    assert failures == []


def test_seen_is_told_to_all_and_unread_to_oneself(live: Live, client: Connect) -> None:
    """Over the socket or over HTTP, one event each; and all at once."""
    anna, ben = a_user(), a_user()
    chat, second = a_chat(anna, ben), a_chat(anna, ben)
    desk, phone, other = client(ben), client(ben), client(anna)
    say(chat, anna, "1", "2", "3")
    say(second, anna, "1")
    for _ in range(4):
        desk.event("message.new")

    assert desk.ask("seen", chat=chat, seq=2) == {"lastReadSeq": 2, "unread": 1, "unreadCapped": False}
    assert other.event("seen", chat=chat)["d"] == {"userId": ben, "seq": 2}
    for page in (desk, phone):
        assert page.event("unread", chat=chat)["d"] == {"unread": 1, "unreadCapped": False}
    assert desk.ask("seen_all") == {"chats": 2}
    for each in (chat, second):
        phone.event("unread", chat=each, unread=0)
        other.event("seen", chat=each)
    headers = signed_in(ben)
    assert live.app.test_client().post("/api/chats/seen-all", headers=headers).get_json() == {"chats": 0}
    assert "unread" not in other.ops()


def test_sync_answers_many_chats_as_changes_does(live: Live, client: Connect) -> None:
    """Up to fifty at once; of those that are others' it says that there are none; the future is the present."""
    anna, eve = a_user(), a_user()
    chat, others = a_chat(anna), a_chat(eve)
    say(chat, anna, "1", "2")
    page = client(anna)

    mine, not_mine = page.ask("sync", chats=[{"id": chat, "since": 1}, {"id": others, "since": 0}])["chats"]

    headers = signed_in(anna)
    asked = live.app.test_client().get(f"/api/chats/{chat}/changes?since=1", headers=headers).get_json()
    assert mine == {"id": chat, **asked}
    assert not_mine == {"id": others, "code": "chat_not_found"}
    (future,) = page.ask("sync", chats=[{"id": chat, "since": 10**9}])["chats"]
    assert (future["items"], future["limited"], future["since"]) == ([], True, 2)
    assert page.refusal("sync", chats=[{"id": chat, "since": 0}] * 51)["code"] == "validation_failed"


def test_what_changes_about_a_chat_is_told(client: Connect) -> None:
    """Its title to all who are in it; to oneself that one has muted it, or may do more."""
    anna, ben = a_user(), a_user()
    chat = a_chat(anna, ben)
    page, own = client(anna), client(ben)

    with Session.begin() as session:
        moderation.change(session, chat, user_id=anna, title="Journey")
        members.mute(session, chat, user_id=ben, muted=True)
        moderation.set_role(session, chat, user_id=anna, member_id=ben, role=members.MemberRole.ADMIN)

    page.event("chat", chat=chat)
    own.event("chat", chat=chat)
    own.event("chat", chat=chat)
    page.event("members", chat=chat, userId=ben, gone=False)


def test_ping_says_how_the_service_is(live: Live, client: Connect) -> None:
    """Here nothing works for the AI. The same over HTTP, for whoever has no socket."""
    page = client(a_user())

    answer = page.ask("ping")

    assert answer == {"t": ANY, "database": "ok", "redis": "ok", "ai": "down", "queueDepth": 0}
    polled = live.app.test_client().get("/api/ping").get_json()
    assert {**polled, "t": ANY} == answer


def test_nothing_of_the_handshake_is_kept(client: Connect) -> None:
    """Its headers are two kilobytes of each of ten thousand sockets."""
    client(a_user(), additional_headers={"X-Marker": "kept"})

    gc.collect()
    # By type(): isinstance would ask proxies, which then make what they stand for.
    kept = [each for each in gc.get_objects() if type(each) is Headers and each.get("X-Marker")]

    # The other half of the connection is in this process, too.
    assert len(kept) == 1
