"""What operators see of chats: numbers."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import text

from api.analytics_schemas import BotDominatedPageSchema, StaleSummariesPageSchema
from models import analytics, summary_jobs
from models.base import Session
from models.users import AI_ID
from tests.factories import a_chat, a_user, an_ai_chat, fill

Headers = dict[str, str]
BOTS, STALE = "/api/analytics/bot-dominated", "/api/analytics/stale-summaries"


def a_talk(*, people: int, ai: int) -> str:
    """A chat in which so much was said by each."""
    user = a_user()
    chat_id = an_ai_chat(user)
    fill(chat_id, user, up_to=people)
    fill(chat_id, AI_ID, up_to=people + ai)
    with Session.begin() as session:
        session.execute(text("UPDATE messages SET is_ai = true WHERE sender_id = :ai"), {"ai": AI_ID})
    return chat_id


def behind(*, unseen: int, **columns: Any) -> str:
    """A chat in which the AI was called, and whose summary lacks so much."""
    user = a_user()
    chat_id = an_ai_chat(user)
    fill(chat_id, user, up_to=unseen)
    with Session.begin() as session:
        summary_jobs.due(session, chat_id)
        for name, value in columns.items():
            session.execute(text(f"UPDATE ai_cache_contexts SET {name} = '{value}' WHERE chat_id = '{chat_id}'"))
    return chat_id


def test_bot_dominated_chats_are_those_in_which_the_ai_says_more(client: FlaskClient, operator: Headers) -> None:
    """What was deleted does not count; as many is not more; nothing of what was said is shown."""
    first, second = a_talk(people=1, ai=2), a_talk(people=2, ai=2)
    third = a_talk(people=0, ai=1)
    a_talk(people=3, ai=1)
    with Session.begin() as session:
        session.execute(
            text("UPDATE messages SET content = '', deleted_at = now() WHERE chat_id = :id AND seq = 1"), {"id": second}
        )

    page = client.get(BOTS, headers=operator).get_json()

    assert BotDominatedPageSchema().validate(page) == {}
    assert [(item["chatId"], item["aiMessages"], item["humanMessages"]) for item in page["items"]] == [
        (third, 1, 0),
        (second, 2, 1),
        (first, 2, 1),
    ]
    assert set(page["items"][0]) == {"chatId", "chatNo", "type", "lastMessageAt", "aiMessages", "humanMessages"}


def test_stale_summaries_are_those_that_lack_too_much(client: FlaskClient, operator: Headers) -> None:
    """More than a hundred messages, or something that was thrown back; only where the AI was ever called."""
    late, thrown_back = behind(unseen=101), behind(unseen=30, is_stale=True)
    failing = behind(unseen=150, failures=3, failed_at="now")
    behind(unseen=100)
    fill(a_chat(user := a_user(), a_user()), user, up_to=300)

    page = client.get(STALE, headers=operator).get_json()

    assert StaleSummariesPageSchema().validate(page) == {}
    assert [(item["chatId"], item["unsummarized"], item["resting"]) for item in page["items"]] == [
        (failing, 150, True),
        (thrown_back, 30, False),
        (late, 101, False),
    ]


def test_pages_have_every_chat_once_and_are_short_where_much_is_passed_over(
    client: FlaskClient, operator: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page looks at so many chats and no more; whoever goes on finds all that there are."""
    chats = [a_talk(people=number % 2, ai=1) for number in range(8)]
    for looked_at in (500, 3):
        monkeypatch.setattr(analytics, "COUNTED_AT_ONCE", looked_at)
        found: list[str] = []
        cursor: dict[str, str] | None = {}
        while cursor is not None:
            page = client.get(BOTS, query_string={"limit": 2, **cursor}, headers=operator).get_json()
            assert len(page["items"]) <= 2
            found += [item["chatId"] for item in page["items"]]
            cursor = {"cursor": page["nextCursor"]} if page["nextCursor"] else None

        assert found == [chat_id for number, chat_id in enumerate(chats) if number % 2 == 0][::-1]


@pytest.mark.parametrize("path", [BOTS, STALE])
def test_without_chats_there_is_an_empty_page(client: FlaskClient, operator: Headers, path: str) -> None:
    """Not an error."""
    assert client.get(path, headers=operator).get_json() == {"items": [], "nextCursor": None}


@pytest.mark.parametrize("path", [BOTS, STALE])
@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "cursor=nonsense", "cursor=-1", "colour=1"])
def test_a_bad_query_is_refused(client: FlaskClient, operator: Headers, path: str, query: str) -> None:
    """With a pointer at the parameter."""
    response = client.get(f"{path}?{query}", headers=operator)

    assert (response.status_code, response.get_json()["code"]) == (422, "validation_failed")
    assert response.get_json()["errors"][0]["pointer"] == "/" + query.split("=", maxsplit=1)[0]
