"""Chats over HTTP: made, listed, changed; who comes, who goes, and what each of them sees."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text
from werkzeug.test import TestResponse

from api.chat_schemas import ChatSchema, ChatsPageSchema, MembersSchema, UnreadSchema
from models import chats, own_chats
from models.base import Session
from models.users import AI_ID
from tests.factories import a_chat, a_user, an_ai_chat, say, signed_in

Headers = dict[str, str]


class Someone:
    """A user who speaks HTTP."""

    def __init__(self, client: FlaskClient, username: str) -> None:
        self._client, self.username = client, username
        self.id = a_user(username=username, display_name=username.title())
        self.headers = signed_in(self.id)

    def ask(self, method: str, path: str, body: Any = None, **query: Any) -> TestResponse:
        """Below ``/api/chats``."""
        url = f"/api/chats{path}"
        return self._client.open(url, method=method, json=body, headers=self.headers, query_string=query or None)

    def get(self, path: str, **query: Any) -> Any:
        """What is answered, if it is 200."""
        response = self.ask("GET", path, **query)
        assert response.status_code == 200, response.get_json()
        return response.get_json()

    def made(self, **said: Any) -> Any:
        """A chat of theirs."""
        response = self.ask("POST", "", said)
        assert response.status_code == 201, response.get_json()
        assert response.headers["Location"] == f"/api/chats/{response.get_json()['chatId']}"
        return response.get_json()


@pytest.fixture
def anna(app: Flask) -> Someone:
    return Someone(app.test_client(), "anna")


@pytest.fixture
def ben(app: Flask) -> Someone:
    return Someone(app.test_client(), "ben")


def code(response: TestResponse) -> tuple[int, str, str | None]:
    """Status, code and pointer of a refusal."""
    said = response.get_json()
    errors = said.get("errors") or [{"pointer": None, "code": said["code"]}]
    return response.status_code, errors[0]["code"], errors[0]["pointer"]


def test_a_chat_of_each_type_has_the_members_it_should(anna: Someone, ben: Someone) -> None:
    """People are named by id or username; who makes a group is its admin; a pair has the chat it had before."""
    alone = anna.made(type="ai", title=" Physics ")
    pair = anna.made(type="1_to_1", members=[ben.id])
    group = anna.made(type="group", title="Trip", members=["BEN", ben.id, anna.id], aiMode="off", hidesHistory=True)

    again = ben.ask("POST", "", {"type": "1_to_1", "members": ["anna"]})

    assert ChatSchema().validate(alone) == ChatSchema().validate(pair) == ChatSchema().validate(group) == {}
    assert (alone["title"], alone["titleSource"], alone["aiMode"], alone["role"]) == (
        "Physics",
        "user",
        "always",
        "admin",
    )
    assert (pair["other"], pair["role"]) == ({"userId": ben.id, "displayName": "Ben"}, "member")
    assert (group["hidesHistory"], group["role"], group["other"]) == (True, "admin", None)
    assert (again.status_code, again.get_json()["chatId"]) == (200, pair["chatId"])
    assert again.get_json()["other"] == {"userId": anna.id, "displayName": "Anna"}
    for chat, members in ((alone, {anna.id, AI_ID}), (pair, {anna.id, ben.id, AI_ID}), (group, {anna.id, ben.id})):
        shown = anna.get(f"/{chat['chatId']}/members")
        assert MembersSchema().validate(shown) == {}
        assert {member["userId"] for member in shown["items"]} == members
    assert alone["chatId"][14] == "7"


TOO_MANY = [str(uuid.UUID(int=number)) for number in range(2000)]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, (422, "required", "/type")),
        ({"type": "room"}, (422, "unknown_chat_type", "/type")),
        ({"type": "ai", "members": ["ben"]}, (422, "not_of_this_type", "/members")),
        ({"type": "ai", "hidesHistory": True}, (422, "not_of_this_type", "/hidesHistory")),
        ({"type": "1_to_1"}, (422, "wrong_length", "/members")),
        ({"type": "1_to_1", "members": ["ben"], "title": "Us"}, (422, "not_of_this_type", "/title")),
        ({"type": "1_to_1", "members": ["anna"]}, (422, "not_with_yourself", "/members")),
        ({"type": "1_to_1", "members": ["ai"]}, (422, "unknown_member", "/members")),
        ({"type": "1_to_1", "members": [AI_ID]}, (422, "unknown_member", "/members")),
        ({"type": "group", "members": ["ben"]}, (422, "required", "/title")),
        ({"type": "group", "title": "a\nb"}, (422, "invalid_title", "/title")),
        ({"type": "group", "title": "x" * 121}, (422, "invalid_title", "/title")),
        ({"type": "group", "title": "x", "members": ["ben", "no\x00body"]}, (422, "unknown_member", "/members")),
        ({"type": "group", "title": "x", "members": [str(uuid.uuid4())]}, (422, "unknown_member", "/members")),
        ({"type": "group", "title": "x", "members": [7]}, (422, "wrong_type", "/members/0")),
        ({"type": "group", "title": "x", "members": "ben"}, (422, "wrong_type", "/members")),
        ({"type": "group", "title": "x", "aiMode": "loud"}, (422, "unknown_ai_mode", "/aiMode")),
        ({"type": "group", "title": "x", "hidesHistory": "yes"}, (422, "wrong_type", "/hidesHistory")),
        ({"type": "group", "title": "x", "members": TOO_MANY}, (400, "too_many_members", "/members")),
        ({"type": "group", "title": "x", "roomHash": "x"}, (422, "unknown_field", "/roomHash")),
    ],
)
def test_a_chat_that_cannot_be_is_refused(
    anna: Someone, ben: Someone, said: dict[str, Any], expected: tuple[int, str, str]
) -> None:
    """By name, and nothing is stored."""
    refused = anna.ask("POST", "", said)

    assert code(refused) == expected
    assert anna.get("")["items"] == []


def test_the_list_goes_by_the_newest_message_and_pages_have_each_chat_once(anna: Someone) -> None:
    """Chats that nobody has said anything in go by when they were made; the recent ones are the first five."""
    ids = [a_chat(anna.id, title=str(number)) for number in range(7)]
    a_chat(a_user())
    say(ids[2], anna.id, "Look:\n  here")

    pages = []
    cursor: dict[str, str] | None = {}
    while cursor is not None:
        page = anna.get("", limit=3, **cursor)
        assert ChatsPageSchema().validate(page) == {}
        pages.append([chat["title"] for chat in page["items"]])
        cursor = {"cursor": page["nextCursor"]} if page["nextCursor"] else None

    assert pages == [["2", "6", "5"], ["4", "3", "1"], ["0"]]
    recent = anna.get("/recent")["items"]
    assert [chat["title"] for chat in recent] == ["2", "6", "5", "4", "3"]
    assert recent[0]["lastMessagePreview"] == "Look: here"
    assert len(anna.get("/recent", limit=50)["items"]) == 7


@pytest.mark.parametrize(
    ("path", "pointer"),
    [
        *(("/recent?limit=51", "/limit"), ("/recent?limit=-1", "/limit"), ("?limit=-5", "/limit")),
        *(("?cursor=x", "/cursor"), ("?colour=1", "/colour"), ("/search?q=x&cursor=x", "/cursor")),
        *(("/search", "/q"), ("/search?q=%20", "/q"), ("/search?q=x&limit=51", "/limit")),
        *((f"/search?q={'x' * 201}", "/q"), ("/search?q=%00", "/q")),
    ],
)
def test_a_bad_query_is_refused(anna: Someone, path: str, pointer: str) -> None:
    """With a pointer at the parameter."""
    assert code(anna.ask("GET", path))[::2] == (422, pointer)


def test_unread_is_what_others_have_said_and_not_deleted_since_one_has_read(anna: Someone, ben: Someone) -> None:
    """Beyond 99 nobody counts. Writing reads all before; reading never goes back, nor beyond what there is."""
    first, second, silent = (a_chat(anna.id, ben.id, title=str(number)) for number in range(3))
    say(silent, ben.id)
    say(first, ben.id, *["x"] * 3)
    ben.ask("DELETE", f"/{first}/messages/2")
    say(second, ben.id, *["x"] * 101)
    anna.ask("PUT", f"/{second}/mute", {"muted": True})
    anna.ask("POST", f"/{silent}/seen", {"seq": 10**18})

    unread = anna.get("/unread")

    assert UnreadSchema().validate(unread) == {}
    assert unread == {
        "items": [
            {"chatId": second, "unread": 99, "unreadCapped": True, "muted": True},
            {"chatId": first, "unread": 2, "unreadCapped": False, "muted": False},
        ],
        "limited": False,
    }
    assert [(c["unread"], c["unreadCapped"]) for c in anna.get("/recent")["items"]] == [
        (99, True),
        (2, False),
        (0, False),
    ]
    assert ben.get("/unread")["items"] == []
    steps = [anna.ask("POST", f"/{second}/seen", {"seq": seq}).get_json() for seq in (2, 1, 900)]
    assert [(step["lastReadSeq"], step["unread"], step["unreadCapped"]) for step in steps] == [
        *[(2, 99, False)] * 2,
        (101, 0, False),
    ]
    say(first, anna.id)
    assert anna.get("/unread")["items"] == []


def test_more_chats_than_are_counted_are_said_to_be_there(anna: Someone, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that moved last are counted."""
    monkeypatch.setattr(own_chats, "MOST_COUNTED", 1)
    monkeypatch.setattr(own_chats, "_COUNTS", text(own_chats._COUNTS.text.replace("LIMIT 1000 + 1", "LIMIT 1 + 1")))
    other = a_user()
    for chat_id in (a_chat(other, anna.id), newest := a_chat(other, anna.id)):
        say(chat_id, other)

    unread = anna.get("/unread")

    assert ([chat["chatId"] for chat in unread["items"]], unread["limited"]) == ([newest], True)


def test_a_room_hash_is_good_wherever_an_id_is_and_opens_nothing(anna: Someone, ben: Someone) -> None:
    """Who guesses one learns as much as who guesses an id: nothing."""
    chat = anna.made(type="group", title="Trip")
    name = chat["roomHash"]
    sent = anna.ask("POST", f"/{name}/messages", {"content": "Hello", "clientMsgId": "1"}).get_json()["message"]

    assert sent["chatId"] == chat["chatId"]
    assert anna.get(f"/{name}/messages")["items"] == [sent]
    assert anna.get("/search", q="hello", chatId=name)["items"] == [sent]
    for guess in (name, name.lower(), "A" * 26, "x", chat["chatId"], chat["chatId"].replace("-", "")):
        for path in ("", "/messages", "/members", "/changes?since=0"):
            assert code(ben.ask("GET", f"/{guess}{path}")) == (404, "chat_not_found", None)
        assert code(ben.ask("GET", "/search", q="hello", chatId=guess)) == (404, "chat_not_found", None)


def test_a_removed_member_reads_and_writes_nothing_from_that_moment(anna: Someone, ben: Someone) -> None:
    """Wherever they ask. Taken in again, they see what they may."""
    chat_id = a_chat(anna.id, ben.id)
    say(chat_id, anna.id, "Hello")
    message = {"content": "Hi", "clientMsgId": "1"}
    assert ben.ask("POST", f"/{chat_id}/messages", message).status_code == 201

    removed = anna.ask("DELETE", f"/{chat_id}/members/{ben.id}")

    assert removed.status_code == 204
    for method, path, body in (
        *(("GET", path, None) for path in ("", "/messages", "/changes?since=0", "/members")),
        *(("POST", "/messages", message), ("POST", "/seen", {"seq": 1}), ("POST", "/leave", None)),
        *(("PATCH", "", {"title": "x"}), ("PATCH", "/messages/2", {"content": "x"}), ("DELETE", "/messages/2", None)),
        *(("PUT", "/mute", {"muted": True}), ("POST", "/members", {"members": ["ben"]})),
    ):
        assert code(ben.ask(method, f"/{chat_id}{path}", body)) == (404, "chat_not_found", None), path
    assert (ben.get("")["items"], ben.get("/unread")["items"], ben.get("/search", q="hello")["items"]) == ([], [], [])
    assert len(anna.ask("POST", f"/{chat_id}/members", {"members": ["ben"]}).get_json()["items"]) == 3
    assert len(ben.get(f"/{chat_id}/messages")["items"]) == 2


def test_whoever_joins_a_chat_that_hides_its_history_sees_nothing_of_before(anna: Someone, ben: Someone) -> None:
    """On no page, as no change, in no preview, by no search, and as nothing unread."""
    chat_id = anna.made(type="group", title="Trip", hidesHistory=True)["chatId"]
    say(chat_id, anna.id, "secret", "secret")
    anna.ask("POST", f"/{chat_id}/members", {"members": [ben.id]})
    anna.ask("PATCH", f"/{chat_id}/messages/2", {"content": "secret again"})

    chat = ben.get(f"/{chat_id}")

    assert (chat["lastMessagePreview"], chat["unread"]) == (None, 0)
    for path in ("/messages", "/messages?before=2", "/messages?after=0", "/changes?since=0"):
        assert ben.get(f"/{chat_id}{path}")["items"] == []
    assert ben.get("/search", q="secret")["items"] == []
    assert code(ben.ask("PATCH", f"/{chat_id}/messages/1", {"content": "x"})) == (404, "message_not_found", None)
    anna.ask("PATCH", f"/{chat_id}", {"hidesHistory": False})
    assert ben.get(f"/{chat_id}/messages")["items"] == []
    say(chat_id, anna.id, "no secret")
    found = [ben.get("/search", q="secret"), ben.get("/search", q="secret", chatId=chat_id)]
    assert [[message["seq"] for message in page["items"]] for page in found] == [[3], [3]]


def test_what_members_and_admins_may_do_to_a_chat(anna: Someone, ben: Someone) -> None:
    """A group is its admins'; of a pair either says when the AI answers, and nobody leaves it."""
    group, alone = a_chat(anna.id, ben.id), an_ai_chat(anna.id)
    pair = anna.made(type="1_to_1", members=["ben"])["chatId"]
    forbidden, no_group = (403, "not_chat_admin", None), (409, "not_a_group", None)

    for someone, method, path, body, expected in (
        (ben, "PATCH", f"/{group}", {"title": "Mine"}, forbidden),
        (ben, "PATCH", f"/{group}", {}, forbidden),
        (ben, "POST", f"/{group}/members", {"members": ["anna"]}, forbidden),
        (ben, "DELETE", f"/{group}/members/{anna.id}", None, forbidden),
        (ben, "PATCH", f"/{group}/members/{ben.id}", {"role": "admin"}, forbidden),
        (anna, "PATCH", f"/{group}/members/{anna.id}", {"role": "member"}, (409, "last_admin", None)),
        (anna, "PATCH", f"/{group}/members/{AI_ID}", {"role": "admin"}, (404, "member_not_found", None)),
        (anna, "DELETE", f"/{group}/members/{AI_ID}", None, (404, "member_not_found", None)),
        (anna, "DELETE", f"/{group}/members/nobody", None, (404, "member_not_found", None)),
        (anna, "POST", f"/{group}/members", {"members": TOO_MANY}, (400, "too_many_members", "/members")),
        (anna, "POST", f"/{group}/members", {"members": []}, (422, "wrong_length", "/members")),
        (anna, "PATCH", f"/{group}", {"title": None}, (422, "wrong_type", "/title")),
        (anna, "PATCH", f"/{pair}", {"title": "Us"}, no_group),
        (anna, "PATCH", f"/{alone}", {"hidesHistory": True}, no_group),
        (anna, "POST", f"/{pair}/leave", None, no_group),
        (anna, "POST", f"/{alone}/leave", None, no_group),
        (anna, "POST", f"/{alone}/members", {"members": ["ben"]}, no_group),
        (anna, "DELETE", f"/{pair}/members/{ben.id}", None, no_group),
    ):
        assert code(someone.ask(method, path, body)) == expected, (method, path, body)
    assert ben.ask("PATCH", f"/{pair}", {"aiMode": "off"}).get_json()["aiMode"] == "off"
    changed = anna.ask("PATCH", f"/{group}", {"title": "Work", "aiMode": "always", "aiCallers": "admins"}).get_json()
    assert (changed["title"], changed["titleSource"], changed["aiMode"], changed["aiCallers"]) == (
        *("Work", "user", "always", "admins"),
    )
    assert AI_ID not in {member["userId"] for member in anna.get(f"/{pair}/members")["items"]}
    assert anna.ask("PATCH", f"/{pair}", {"aiMode": "mention"}).status_code == 200
    assert AI_ID in {member["userId"] for member in anna.get(f"/{pair}/members")["items"]}


def test_the_last_admin_is_followed_by_another_and_the_last_member_by_nobody(anna: Someone, ben: Someone) -> None:
    """What a chat held goes with it."""
    chat_id = a_chat(anna.id, ben.id)
    say(chat_id, anna.id)

    assert anna.ask("POST", f"/{chat_id}/leave").status_code == 204

    assert ben.get(f"/{chat_id}")["role"] == "admin"
    assert ben.ask("DELETE", f"/{chat_id}/members/{ben.id}").status_code == 204
    with Session() as session:
        for table in ("chats", "messages", "chat_members"):
            assert session.execute(text(f"SELECT count(*) FROM {table}")).scalar_one() == 0


def test_a_group_that_is_full_takes_nobody_in(anna: Someone, ben: Someone, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even some of those who are named. The AI does not count."""
    monkeypatch.setattr("models.moderation.MOST_MEMBERS", 2)
    chat_id = a_chat(anna.id)

    refused = anna.ask("POST", f"/{chat_id}/members", {"members": [ben.id, a_user()]})

    assert code(refused) == (409, "group_full", None)
    assert len(anna.get(f"/{chat_id}/members")["items"]) == 2
    assert anna.ask("POST", f"/{chat_id}/members", {"members": [ben.id]}).status_code == 200
    assert chats.MOST_MEMBERS == 500
