"""Messages over HTTP: sent once, read, changed, caught up with and found, in a bounded number of statements."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event, text
from sqlalchemy.engine import Engine

from api.message_schemas import FoundSchema, MessageChangesSchema, MessagesPageSchema, SentSchema
from models import prepared, searches
from models.base import Session
from models.users import AI_ID
from tests.api.test_chats import Someone, anna, ben, code
from tests.factories import a_chat, a_user, an_ai_chat, say

__all__ = ["anna", "ben"]


@pytest.fixture
def chat_id(anna: Someone, ben: Someone) -> str:
    """Of both."""
    return a_chat(anna.id, ben.id)


def send(someone: Someone, chat_id: str, content: str = "Hello", client_msg_id: str = "1", **more: Any) -> Any:
    said = {"content": content, "clientMsgId": client_msg_id, **more}
    return someone.ask("POST", f"/{chat_id}/messages", said)


def test_a_message_sent_again_is_answered_with_the_first(anna: Someone, ben: Someone, chat_id: str) -> None:
    """With another text it is told so; another's id is another's."""
    first, again, other = (send(anna, chat_id, content) for content in ("Hello", "Hello", "Goodbye"))
    reply = send(ben, chat_id, "Hi", replyTo=1)

    assert SentSchema().validate(first.get_json()) == {}
    message = first.get_json()["message"]
    assert (message["seq"], message["senderId"], message["content"], message["isAi"]) == (1, anna.id, "Hello", False)
    assert (first.status_code, first.get_json()["differs"], "Idempotency-Replayed" in first.headers) == (
        201,
        False,
        False,
    )
    for response, differs in ((again, False), (other, True)):
        assert (response.status_code, response.get_json()) == (200, {"message": message, "differs": differs})
        assert response.headers["Idempotency-Replayed"] == "true"
    assert (reply.status_code, reply.get_json()["message"]["seq"], reply.get_json()["message"]["replyTo"]) == (
        201,
        2,
        1,
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"content": ""}, (422, "blank", "/content")),
        ({"content": " \n"}, (422, "blank", "/content")),
        ({"content": "x" * 40_000}, (422, "too_long", "/content")),
        ({"content": "a\x00"}, (422, "invalid_characters", "/content")),
        ({"content": "\ud800"}, (422, "invalid_characters", "/content")),
        ({"content": 7}, (422, "wrong_type", "/content")),
        ({"clientMsgId": ""}, (422, "wrong_length", "/clientMsgId")),
        ({"clientMsgId": "x" * 65}, (422, "wrong_length", "/clientMsgId")),
        ({"clientMsgId": "\x00"}, (422, "invalid_characters", "/clientMsgId")),
        ({"clientMsgId": None}, (422, "wrong_type", "/clientMsgId")),
        ({"replyTo": 0}, (422, "out_of_range", "/replyTo")),
        ({"replyTo": 1}, (422, "unknown_reply_to", "/replyTo")),
        ({"replyTo": 2**63}, (422, "out_of_range", "/replyTo")),
        ({"replyTo": 1e300}, (422, "out_of_range", "/replyTo")),
        ({"senderId": AI_ID}, (422, "unknown_field", "/senderId")),
    ],
)
def test_a_message_that_cannot_be_is_refused(
    anna: Someone, chat_id: str, changes: dict[str, Any], expected: tuple[int, str, str]
) -> None:
    """By name, and nothing is stored: it can be sent again as it should be."""
    refused = anna.ask("POST", f"/{chat_id}/messages", {"content": "Hello", "clientMsgId": "1", **changes})

    assert code(refused) == expected
    assert (anna.get(f"/{chat_id}")["lastSeq"], send(anna, chat_id).status_code) == (0, 201)
    assert send(anna, chat_id, "x" * 32_000, "2").status_code == 201


def test_pages_are_fifty_and_go_on_both_ways(anna: Someone, chat_id: str) -> None:
    """A place of another chat, beyond the newest message here, is the end."""
    say(chat_id, anna.id, *map(str, range(1, 61)))

    newest = anna.get(f"/{chat_id}/messages")
    older = anna.get(f"/{chat_id}/messages", before=newest["before"])
    newer = anna.get(f"/{chat_id}/messages", after=0, limit=2)

    assert MessagesPageSchema().validate(newest) == {}
    assert [m["content"] for m in newest["items"]] == [str(number) for number in range(11, 61)]
    assert (newest["before"], newest["after"], newest["lastChangeSeq"]) == (11, None, 60)
    assert ([m["seq"] for m in older["items"]], older["before"], older["after"]) == (list(range(1, 11)), None, 10)
    assert ([m["seq"] for m in newer["items"]], newer["before"], newer["after"]) == ([1, 2], None, 2)
    assert anna.get(f"/{chat_id}/messages", before=4_000_000_000) == newest


def test_a_page_can_end_before_a_time(anna: Someone, ben: Someone) -> None:
    """Of those with the same time all or none are in it, and it goes on by number; hidden history stays hidden."""
    chat_id = a_chat(anna.id, hides_history=True)
    say(chat_id, anna.id, *map(str, range(1, 41)))
    with Session.begin() as session:  # three at each full minute
        session.execute(
            text("UPDATE messages SET created_at = timestamptz '2026-01-01Z' + (seq - 1) / 3 * interval '1m'")
        )
    assert anna.ask("POST", f"/{chat_id}/members", {"members": [ben.id]}).status_code in (200, 201)

    for at, newest in (
        ("2026-01-01T00:05:00Z", 15),
        ("2026-01-01T00:05:00.000001Z", 18),
        ("2026-01-01T02:05:00+02:00", 15),
        ("2025-12-31T23:59:59Z", 0),
        ("2026-01-01T00:00:00Z", 0),
        ("2999-01-01T00:00:00Z", 40),
    ):
        page = anna.get(f"/{chat_id}/messages", before=at, limit=4)
        assert [m["seq"] for m in page["items"]] == list(range(max(1, newest - 3), newest + 1)), at
    page = anna.get(f"/{chat_id}/messages", before="2026-01-01T00:05:00Z", limit=4)
    assert [m["seq"] for m in anna.get(f"/{chat_id}/messages", before=page["before"], limit=4)["items"]] == [
        8,
        9,
        10,
        11,
    ]
    assert ben.get(f"/{chat_id}/messages", before="2999-01-01T00:00:00Z")["items"] == []
    say(chat_id, anna.id, "41")
    assert [m["seq"] for m in ben.get(f"/{chat_id}/messages", before="2999-01-01T00:00:00Z")["items"]] == [41]
    assert code(ben.ask("GET", f"/{a_chat(anna.id)}/messages?before=2026-01-01T00:00:00Z"))[0] == 404


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/messages?before=0", (422, "out_of_range", "/before")),
        ("/messages?before=-1", (422, "out_of_range", "/before")),
        (f"/messages?before={2**63}", (422, "out_of_range", "/before")),
        ("/messages?before=x", (422, "invalid_time", "/before")),
        ("/messages?before=2030-01-31", (422, "time_zone_missing", "/before")),
        ("/messages?before=2030-01-31T09:00:00", (422, "time_zone_missing", "/before")),
        ("/messages?before=0001-01-01T00:00:00%2B05:00", (422, "invalid_time", "/before")),
        ("/messages?before=2&after=1", (422, "contradiction", "/after")),
        ("/messages?after=-1", (422, "out_of_range", "/after")),
        ("/messages?limit=-1", (422, "out_of_range", "/limit")),
        ("/messages?limit=101", (422, "out_of_range", "/limit")),
        ("/messages?offset=1", (422, "unknown_field", "/offset")),
        ("/changes", (422, "required", "/since")),
        ("/changes?since=-1", (422, "out_of_range", "/since")),
    ],
)
def test_a_bad_query_is_refused(anna: Someone, chat_id: str, path: str, expected: tuple[int, str, str]) -> None:
    """With a pointer at the parameter."""
    assert code(anna.ask("GET", f"/{chat_id}{path}")) == expected


def test_changes_beyond_five_hundred_are_limited(anna: Someone, chat_id: str) -> None:
    """And go on where they stopped."""
    with Session.begin() as session:
        fill = """
            INSERT INTO messages (chat_id, seq, sender_id, client_msg_id, content, change_seq)
            SELECT :chat, number, :anna, number, number, number FROM generate_series(1, 501) AS number
        """
        session.execute(text(fill), {"chat": chat_id, "anna": anna.id})
        session.execute(text("UPDATE chats SET last_seq = 501, last_change_seq = 501"))

    first = anna.get(f"/{chat_id}/changes", since=0)
    second = anna.get(f"/{chat_id}/changes", since=first["since"])

    assert MessageChangesSchema().validate(first) == {}
    assert (len(first["items"]), first["limited"], first["since"], first["lastChangeSeq"]) == (500, True, 500, 501)
    assert ([m["seq"] for m in second["items"]], second["limited"], second["since"]) == ([501], False, 501)


def test_editing_and_deleting_over_http(anna: Someone, ben: Someone, chat_id: str) -> None:
    """Somebody else's message, one that is deleted, and one that never was: each is refused by its own name."""
    say(chat_id, ben.id, "1", "2")

    edited = ben.ask("PATCH", f"/{chat_id}/messages/1", {"content": "one"}).get_json()
    deleted = anna.ask("DELETE", f"/{chat_id}/messages/2").get_json()

    assert (edited["content"], edited["changeSeq"], edited["editedAt"] is None) == ("one", 3, False)
    assert (deleted["content"], deleted["changeSeq"], deleted["deletedAt"] is None) == ("", 4, False)
    for someone, method, seq, content, expected in (
        (anna, "PATCH", 1, "x", (403, "not_your_message", None)),
        (anna, "PATCH", 1, " ", (422, "blank", "/content")),
        (ben, "PATCH", 2, "x", (410, "message_deleted", None)),
        (ben, "PATCH", 3, "x", (404, "message_not_found", None)),
        (ben, "PATCH", 2**64, "x", (404, "message_not_found", None)),
        (ben, "DELETE", 3, None, (404, "message_not_found", None)),
    ):
        body = {"content": content} if content else None
        assert code(someone.ask(method, f"/{chat_id}/messages/{seq}", body)) == expected


def test_a_search_finds_words_in_ones_own_chats_the_newest_first(anna: Someone, ben: Someone, chat_id: str) -> None:
    """Each once, whatever the pages; not what was deleted or said differently since, nor what others say elsewhere."""
    other, foreign = an_ai_chat(anna.id), a_chat(ben.id)
    say(foreign, ben.id, "the sky is blue")
    say(chat_id, ben.id, "The SKY is blue", "no heaven", "sky, deleted", "sky before", "grün: Himmel sky")
    say(other, anna.id, "blue sky again")
    ben.ask("DELETE", f"/{chat_id}/messages/3")
    ben.ask("PATCH", f"/{chat_id}/messages/4", {"content": "clouds"})

    found = []
    cursor: dict[str, str] | None = {}
    while cursor is not None:
        page = anna.get("/search", q="sky", limit=1, **cursor)
        assert FoundSchema().validate(page) == {}
        found += [message["content"] for message in page["items"]]
        cursor = {"cursor": page["nextCursor"]} if page["nextCursor"] else None

    assert found == ["blue sky again", "grün: Himmel sky", "The SKY is blue"]
    for words, number in (('"sky is"', 1), ("sky -blue", 1), ("heaven or clouds", 2), ("'); --", 0), ("himmel", 1)):
        assert len(anna.get("/search", q=words)["items"]) == number, words
    assert len(anna.get("/search", q="sky", chatId=chat_id)["items"]) == 2


def test_a_search_that_takes_too_long_is_given_up(anna: Someone, chat_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By name: more words would help."""
    monkeypatch.setattr(searches, "SEARCH_SECONDS", 0.1)

    with Session.begin() as session:
        session.execute(text("LOCK TABLE messages"))
        refused = anna.ask("GET", "/search", q="sky")

    assert code(refused) == (422, "search_too_broad", None)


@pytest.fixture
def statements() -> Iterator[list[str]]:
    """What is asked of the database, whichever way."""
    asked: list[str] = []
    run = prepared.run

    def noted(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        asked.append(statement)

    def counted(cursor: Any, statement: Any, *args: Any, **options: Any) -> Any:
        asked.append(statement.plain)
        return run(cursor, statement, *args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prepared, "run", counted)
        event.listen(Engine, "before_cursor_execute", noted)
        yield asked
        event.remove(Engine, "before_cursor_execute", noted)


BUDGETS: dict[tuple[str, str], int] = {
    ("GET", ""): 1,
    ("GET", "/recent"): 1,
    ("GET", "/unread"): 1,
    ("GET", "/search?q=hello"): 3,
    ("GET", "/{chat}"): 1,
    ("GET", "/{chat}/members"): 1,
    ("GET", "/{chat}/messages"): 1,
    ("GET", "/{chat}/messages?before=3"): 1,
    ("GET", "/{chat}/messages?before=2999-01-01T00:00:00Z"): 2,
    ("GET", "/{chat}/changes?since=0"): 1,
    ("POST", "/{chat}/messages"): 2,
    ("POST", "/{chat}/seen"): 2,
    ("PATCH", "/{chat}/messages/1"): 4,
    ("DELETE", "/{chat}/messages/2"): 4,
}
BODIES = {
    ("POST", "/{chat}/messages"): {"content": "Hi", "clientMsgId": "1"},
    ("POST", "/{chat}/seen"): {"seq": 3},
    ("PATCH", "/{chat}/messages/1"): {"content": "Hi"},
}


@pytest.mark.parametrize(("method", "path"), BUDGETS)
def test_a_hot_route_asks_the_database_no_more_than_it_needs(
    anna: Someone, statements: list[str], method: str, path: str
) -> None:
    """However many chats, members and messages there are."""
    people = [a_user() for _ in range(5)]
    for _ in range(5):
        chat_id = a_chat(anna.id, *people)
        say(chat_id, anna.id, *["hello"] * 2)
        say(chat_id, people[0], *["hello"] * 5)
    anna.get("/unread")  # who this is, is remembered from now on
    statements.clear()

    response = anna.ask(method, path.replace("{chat}", chat_id), BODIES.get((method, path)))

    assert response.status_code in (200, 201), response.get_json()
    # How much waits is asked once a second, for all requests together.
    asked = [statement for statement in statements if "FROM snapshots" not in statement]
    assert len(asked) <= BUDGETS[method, path], asked


def test_a_message_that_calls_the_ai_is_one_transaction_of_few_statements(anna: Someone, statements: list[str]) -> None:
    """The message, the chat's first title, the job, and whether its summary has fallen behind."""
    chat_id = an_ai_chat(anna.id)
    anna.get("/unread")
    statements.clear()
    commits: list[list[str]] = []

    def noted(_: object) -> None:
        commits.append([statement for statement in statements if "FROM snapshots" not in statement])

    event.listen(Engine, "commit", noted)
    response = send(anna, chat_id)
    event.remove(Engine, "commit", noted)

    assert response.get_json()["message"]["jobId"] is not None
    assert [len(asked) for asked in commits] == [6], commits


def test_sending_and_searching_are_limited(make_app: Any) -> None:
    """For each user, in all chats together; a refused message is not stored."""
    app: Flask = make_app(send_limit="2/1 minute", search_limit="1/1 minute")
    eve, mia = (Someone(app.test_client(), name) for name in ("eve", "mia"))
    chat_id = a_chat(eve.id, mia.id)

    sent = [send(eve, chat_id, client_msg_id=str(number)) for number in range(3)]
    searched = [eve.ask("GET", "/search", q="x").status_code for _ in range(2)]

    assert [response.status_code for response in sent] == [201, 201, 429]
    assert sent[0].headers["RateLimit-Policy"] == '"send";q=2;w=60'
    assert code(sent[2])[:2] == (429, "rate_limited")
    assert searched == [200, 429]
    assert send(mia, chat_id).get_json()["message"]["seq"] == 3
