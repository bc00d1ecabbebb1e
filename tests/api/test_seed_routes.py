"""The chat page's first routes: save a whole conversation, show one, list the titles."""

from __future__ import annotations

import datetime as dt
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from models import chats, edits, members
from models.base import Session
from models.errors import ChatNotFound
from models.users import AI_ID
from tests.api.accounts import Headers
from tests.conftest import Servers
from tests.factories import TOKEN_KEY, a_chat, a_user, an_ai_chat, say, signed_in
from tests.statements import number_of

PAGE = 4


@pytest.fixture
def app(make_app: Any) -> Flask:
    """With short pages."""
    made: Flask = make_app(chat_page_messages=PAGE)
    return made


@pytest.fixture
def anna(app: Flask) -> str:
    return a_user()


@pytest.fixture
def headers(anna: str) -> Headers:
    return signed_in(anna)


def saved(client: FlaskClient, headers: Headers, chat_id: Any, messages: list[Any], title: str | None = None) -> Any:
    body = {"chat_id": chat_id, "chat_title": title, "messages": messages}
    response = client.post("/chat/data", json=body, headers=headers)
    assert response.status_code == 200, response.get_json()
    return response.get_json()


def shown(client: FlaskClient, headers: Headers, chat_id: str, **query: Any) -> Any:
    response = client.get(f"/chats/{chat_id}", query_string=query, headers=headers)
    assert response.status_code == 200, response.get_json()
    return response.get_json()


def contents(page: Any) -> list[str]:
    return [line["content"] for line in page["messages"]]


def rows(statement: str) -> list[Any]:
    with Session() as session:
        return list(session.execute(text(statement)))


def test_a_conversation_is_saved_shown_and_listed(client: FlaskClient, headers: Headers) -> None:
    """The three answers, whole. Lines of the AI that it has not said are not stored."""
    answer = saved(client, headers, -1, ["Hello", "Hi", "How are you?"], title="Greetings")
    page = shown(client, headers, answer["chat_id"])

    assert answer == {"chat_id": answer["chat_id"], "chat_title": "Greetings", "inserted": 2, "ignored": 1}
    moments = [dt.datetime.fromisoformat(line.pop("created_at")) for line in page["messages"]]
    assert moments == sorted(moments)
    lines = [{"role": "user", "content": content} for content in ("Hello", "How are you?")]
    assert page == {"chat_id": answer["chat_id"], "chat_title": "Greetings", "messages": lines, "before": None}
    titles = client.get("/chat/titles", headers=headers).get_json()
    assert titles == {
        "active_chat_id": answer["chat_id"],
        "titles": [{"chat_id": answer["chat_id"], "chat_title": "Greetings"}],
    }


def test_saving_the_same_again_writes_nothing(client: FlaskClient, headers: Headers, anna: str) -> None:
    """Not a row, by nobody's lock: toggling between chats costs two reads each."""
    chat_id = an_ai_chat(anna, title="Mine")
    say(chat_id, anna, "Hello")
    say(chat_id, AI_ID, "Hi")
    before = rows("SELECT xmin, ctid, * FROM chats") + rows("SELECT xmin, ctid, * FROM messages")

    for messages in (["Hello", "Hi"], [{"role": "user", "content": "Hello"}], ["Hi", "Hello"], []):
        assert saved(client, headers, chat_id, messages, title="Mine")["inserted"] == 0

    assert rows("SELECT xmin, ctid, * FROM chats") + rows("SELECT xmin, ctid, * FROM messages") == before


def test_what_is_new_is_inserted_and_calls_nobody(client: FlaskClient, headers: Headers, anna: str) -> None:
    """In a chat where each message of a person calls the AI."""
    chat_id = an_ai_chat(anna)
    say(chat_id, anna, "Hello")
    say(chat_id, AI_ID, "Hi")

    answer = saved(client, headers, chat_id, ["Hello", "Hi", "And then?", "Never said", "@AI more"])

    assert (answer["inserted"], answer["ignored"], answer["chat_title"]) == (2, 1, "And then?")
    assert contents(shown(client, headers, chat_id)) == ["Hello", "Hi", "And then?", "@AI more"]
    assert rows("SELECT id FROM jobs") == []


def test_many_who_save_one_conversation_at_once_store_it_once(
    app: Flask, client: FlaskClient, headers: Headers
) -> None:
    """Of a chat that only its client has a name for, too: the same name is the same chat."""
    lines = [f"Line {number}" if number % 2 == 0 else f"Never said {number}" for number in range(6)]

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: saved(app.test_client(), headers, "chat-x", lines), range(8)))

    (chat_id,) = {answer["chat_id"] for answer in answers}
    assert sum(answer["inserted"] for answer in answers) == 3
    assert contents(shown(client, headers, chat_id)) == contents(shown(client, headers, "chat-x")) == lines[::2]


def test_a_chat_that_another_save_makes_meanwhile_is_not_anothers(
    client: FlaskClient, headers: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is committed between the look for it and the question whose it is."""
    why = members.not_in
    made: list[Any] = []

    def once_another_has_saved(*given: Any, **named: Any) -> ChatNotFound:
        if not made:
            made.append(None)
            made.append(saved(client, headers, "chat-x", ["Hello"]))
        return why(*given, **named)

    monkeypatch.setattr(members, "not_in", once_another_has_saved)
    second = saved(client, headers, "chat-x", ["Hello"])

    assert (made[1]["inserted"], second["inserted"]) == (1, 0)
    assert second["chat_id"] == made[1]["chat_id"]


@pytest.mark.parametrize("name", [None, -1, "-1", "", "chat-x", 17, "5f0c5f0c-0000-4000-8000-000000000017", "A" * 26])
def test_an_unknown_name_makes_a_chat(client: FlaskClient, headers: Headers, name: Any) -> None:
    """Two, if it says nothing of which."""
    first, second = (saved(client, headers, name, ["Hello"]) for _ in range(2))

    assert (first["chat_id"] == second["chat_id"]) == (name not in (None, -1, "-1", ""))
    assert (first["inserted"], second["inserted"]) == (1, 1 if name in (None, -1, "-1", "") else 0)


@pytest.mark.parametrize("named_by", ["id", "room_hash"])
def test_a_chat_of_others_is_not_there(client: FlaskClient, headers: Headers, named_by: str) -> None:
    """Neither to be shown nor to be saved, nor for whoever has left it."""
    chat_id = an_ai_chat(a_user())
    name = chat_id if named_by == "id" else rows("SELECT room_hash FROM chats")[0][0]

    answers = [
        client.get(f"/chats/{name}", headers=headers),
        client.post("/chat/data", json={"chat_id": name, "messages": ["Mine now"]}, headers=headers),
    ]

    assert [(answer.status_code, answer.get_json()["code"]) for answer in answers] == [(404, "chat_not_found")] * 2
    assert rows("SELECT chat_id FROM messages") == []
    assert client.get("/chats/nowhere", headers=headers).status_code == 404


def test_a_page_at_a_time_back_to_the_first(client: FlaskClient, headers: Headers, anna: str) -> None:
    """By number or by `before`; what is said meanwhile moves neither."""
    chat_id = an_ai_chat(anna)
    say(chat_id, anna, *map(str, range(1, 11)))
    newest = shown(client, headers, chat_id)
    say(chat_id, anna, "11")

    numbered = [shown(client, headers, chat_id, page=number) for number in (2, 3, 4)]
    followed = [shown(client, headers, chat_id, before=newest["before"])]
    followed.append(shown(client, headers, chat_id, before=followed[0]["before"]))

    assert contents(newest) == ["7", "8", "9", "10"]
    assert [contents(page) for page in numbered] == [["3", "4", "5", "6"], ["1", "2"], []]
    assert [page["before"] for page in numbered] == [3, None, None]
    assert followed == numbered[:2]


def test_what_is_deleted_is_not_shown_nor_comes_back(client: FlaskClient, headers: Headers, anna: str) -> None:
    """By a client that has not heard of it."""
    chat_id = saved(client, headers, -1, ["One", "x", "Two"])["chat_id"]
    with Session.begin() as session:
        edits.delete(session, chat_id, seq=2, user_id=anna)

    assert saved(client, headers, chat_id, ["One", "x", "Two"])["inserted"] == 0
    assert contents(shown(client, headers, chat_id)) == ["One"]


def test_titles_are_of_ones_own_chats_the_latest_first(client: FlaskClient, headers: Headers, anna: str) -> None:
    """A pair has the other's name. A title that is sent is taken; none leaves it as it is."""
    ben = a_user(display_name="Ben")
    with Session.begin() as session:
        pair, _ = chats.create_pair(session, user_id=anna, other_id=ben, key=TOKEN_KEY)
    group, own = a_chat(ben, anna, title="Trip"), an_ai_chat(anna)
    an_ai_chat(ben, title="Not hers")
    for chat_id in (pair, group, own):
        saved(client, headers, chat_id, ["Hello"], title="A title")
    saved(client, headers, own, [], title=" ")

    titles = client.get("/chat/titles/", headers=headers).get_json()["titles"]

    assert [(each["chat_id"], each["chat_title"]) for each in titles] == [
        (own, "A title"),
        (group, "Trip"),  # it is not hers to name
        (pair, "Ben"),
    ]
    assert shown(client, headers, pair)["chat_title"] == "Ben"
    assert rows("SELECT DISTINCT title_source FROM chats WHERE title = 'A title'") == [("user",)]


def test_the_active_chat_is_the_one_opened_last_until_redis_forgets(
    client: FlaskClient, headers: Headers, anna: str, servers: Servers
) -> None:
    """Or until somebody is not in it any more."""
    first, second = an_ai_chat(anna), an_ai_chat(anna)

    def active() -> Any:
        return client.get("/chat/titles", headers=headers).get_json()["active_chat_id"]

    assert active() == -1
    for chat_id in (second, first):
        shown(client, headers, chat_id)
        assert active() == chat_id
    with Session.begin() as session:
        session.execute(text("DELETE FROM chat_members WHERE chat_id = :id"), {"id": first})
    assert active() == -1
    shown(client, headers, second)
    servers.erase_redis()
    assert active() == -1


def test_statements_of_each_route_cold_and_warm(client: FlaskClient, headers: Headers, anna: str) -> None:
    """Who reads a chat of theirs and the AI's again asks PostgreSQL nothing."""
    chat_id, group = an_ai_chat(anna, title="Mine"), a_chat(anna)
    say(chat_id, anna, "Hello")
    client.get("/chat/titles", headers=headers)  # who calls is remembered from now on

    def save() -> Any:
        return saved(client, headers, chat_id, ["Hello"], title="Mine")

    assert [number_of(lambda: shown(client, headers, chat_id)) for _ in range(2)] == [2, 0]
    assert [number_of(lambda: shown(client, headers, group)) for _ in range(2)] == [2, 2]
    assert number_of(lambda: client.get("/chat/titles", headers=headers)) == 1
    assert number_of(save) <= 3
    say(chat_id, AI_ID, "Hi")
    assert number_of(lambda: shown(client, headers, chat_id)) == 0
    saved(client, headers, chat_id, [], title="Another title")
    assert shown(client, headers, chat_id)["chat_title"] == "Another title"


LINE = {"role": "user", "content": "Hello"}


@pytest.mark.parametrize(
    ("body", "pointer", "code"),
    [
        ({}, "/messages", "required"),
        ({"messages": None}, "/messages", "wrong_type"),
        ({"messages": "Hello"}, "/messages", "wrong_type"),
        ({"messages": [7]}, "/messages/0", "wrong_type"),
        ({"messages": [None]}, "/messages/0", "wrong_type"),
        ({"messages": ["Hello", ""]}, "/messages/1", "blank"),
        ({"messages": [" \n"]}, "/messages/0", "blank"),
        ({"messages": ["a\x00b"]}, "/messages/0", "invalid_characters"),
        ({"messages": ["x" * 32_001]}, "/messages/0", "too_long"),
        ({"messages": ["x"] * 1_001}, "/messages", "too_many_items"),
        ({"messages": [{}]}, "/messages/0/content", "required"),
        ({"messages": [LINE | {"role": "system"}]}, "/messages/0/role", "unknown_role"),
        ({"messages": [LINE | {"clientMsgId": ""}]}, "/messages/0/clientMsgId", "wrong_length"),
        ({"messages": [LINE | {"colour": 1}]}, "/messages/0/colour", "unknown_field"),
        ({"messages": [], "chat_id": True}, "/chat_id", "wrong_type"),
        ({"messages": [], "chat_id": 1.5}, "/chat_id", "wrong_type"),
        ({"messages": [], "chat_id": "x" * 201}, "/chat_id", "too_long"),
        ({"messages": [], "chat_id": "a\x00"}, "/chat_id", "invalid_characters"),
        ({"messages": [], "chat_title": "x" * 121}, "/chat_title", "too_long"),
        ({"messages": [], "chatTitle": "x"}, "/chatTitle", "unknown_field"),
    ],
)
def test_a_bad_conversation_is_refused_and_stores_nothing(
    client: FlaskClient, headers: Headers, body: dict[str, Any], pointer: str, code: str
) -> None:
    """With a pointer at what is wrong."""
    response = client.post("/chat/data/", data=json.dumps(body), content_type="application/json", headers=headers)

    assert response.status_code == 422, response.get_json()
    assert (pointer, code) in [(error["pointer"], error["code"]) for error in response.get_json()["errors"]]
    assert rows("SELECT id FROM chats") == []


@pytest.mark.parametrize(
    "query", ["page=0", "page=x", "page=1000001", "before=0", "before=-3", "page=2&before=3", "x=1"]
)
def test_a_bad_page_is_refused(client: FlaskClient, headers: Headers, anna: str, query: str) -> None:
    """Of a chat that is there."""
    response = client.get(f"/chats/{an_ai_chat(anna)}?{query}", headers=headers)

    assert (response.status_code, response.get_json()["code"]) == (422, "validation_failed")
