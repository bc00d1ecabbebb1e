"""A chat's summary over HTTP."""

from __future__ import annotations

import json
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from api.summary_schemas import HistorySchema, SummaryAskedSchema, SummarySchema
from models import moderation, owners, summary_steps
from models.base import Session
from models.summary_answers import Summary
from models.summary_steps import Answered
from tests.factories import a_chat, a_user, an_ai_chat, fill, signed_in, the_job

Headers = dict[str, str]


@pytest.fixture
def user(app: Flask) -> str:
    """Somebody."""
    return a_user()


@pytest.fixture
def chat(user: str) -> str:
    """Their chat with the AI, of 150 messages."""
    chat_id = an_ai_chat(user)
    fill(chat_id, user, up_to=150)
    return chat_id


def step_on(chat_id: str, **said: Any) -> None:
    with Session.begin() as session:
        step = summary_steps.read(session, chat_id)
        assert step is not None
        summary = Summary(**{"text": f"Up to {step.covered[-1]}", **said})
        assert summary_steps.store(session, Answered(step=step, summary=summary, model="some-model"))


def shown(client: FlaskClient, chat_id: str, user_id: str) -> dict[str, Any]:
    answer: dict[str, Any] = client.get(f"/api/chats/{chat_id}/summary", headers=signed_in(user_id)).get_json()
    return answer


def test_a_chat_without_a_summary_shows_an_empty_one(client: FlaskClient, chat: str, user: str) -> None:
    """By the documented schema; there is nothing to distinguish from not there."""
    answer = shown(client, chat, user)

    assert SummarySchema().validate(answer) == {}
    assert answer == {
        "chatId": chat,
        "summary": "",
        "details": {"decisions": [], "openQuestions": [], "factsByUser": {}},
        "fromSeq": None,
        "toSeq": None,
        "lastSeq": 150,
        "version": 0,
        "stale": False,
        "resting": False,
        "withheld": False,
        "model": None,
        "updatedAt": None,
    }


def test_a_summary_is_shown_with_what_it_covers(client: FlaskClient, chat: str, user: str) -> None:
    """Its range, its version, its details, and who wrote it."""
    step_on(chat, decisions=("Tea",), open_questions=("When?",), facts_by_user={user: ("likes tea",)})

    answer = shown(client, chat, user)

    assert SummarySchema().validate(answer) == {}
    assert answer["summary"] == "Up to 100"
    assert answer["details"] == {"decisions": ["Tea"], "openQuestions": ["When?"], "factsByUser": {user: ["likes tea"]}}
    assert (answer["fromSeq"], answer["toSeq"], answer["version"], answer["model"]) == (1, 100, 1, "some-model")


def test_an_edit_below_makes_it_stale_and_shows_what_is_still_true(client: FlaskClient, chat: str, user: str) -> None:
    """At once, for whoever looks next."""
    step_on(chat)
    step_on(chat)
    client.patch(f"/api/chats/{chat}/messages/120", json={"content": "Other"}, headers=signed_in(user))

    answer = shown(client, chat, user)

    assert (answer["summary"], answer["toSeq"], answer["version"], answer["stale"]) == ("Up to 100", 100, 3, True)


def test_whoever_wants_it_has_it_moved_on(client: FlaskClient, chat: str, user: str) -> None:
    """By a job of their own that they can poll; asked twice, there is one; with nothing left, there is none."""
    ask = f"/api/chats/{chat}/summarize"

    first, again = (client.post(ask, headers=signed_in(user)) for _ in range(2))
    short = client.post(f"/api/chats/{an_ai_chat(user)}/summarize", headers=signed_in(user))

    assert SummaryAskedSchema().validate(first.get_json()) == {}
    assert (first.status_code, first.get_json()["unsummarized"]) == (202, 150)
    assert first.headers["Location"] == f"/api/jobs/{first.get_json()['jobId']}"
    assert again.get_json() == first.get_json()
    assert the_job(first.get_json()["jobId"]).owner == owners.of_user(user)
    assert client.get(first.headers["Location"], headers=signed_in(user)).status_code == 200
    assert (short.status_code, short.get_json()) == (200, {"jobId": None, "unsummarized": 0})


@pytest.mark.parametrize(
    ("options", "code"), [({"ai_mode": "off"}, "ai_off"), ({"ai_callers": "admins"}, "ai_not_for_you")]
)
def test_who_may_not_call_the_ai_may_not_have_it_summarise(
    client: FlaskClient, user: str, options: dict[str, Any], code: str
) -> None:
    """A chat without the AI is shown to no model."""
    chat_id = a_chat(a_user(), user, **options)
    fill(chat_id, user, up_to=60)

    refused = client.post(f"/api/chats/{chat_id}/summarize", headers=signed_in(user))

    assert refused.get_json()["code"] == code
    with Session() as session:
        assert session.scalar(text("SELECT count(*) FROM jobs")) == 0


def test_the_past_is_paged_the_newest_first(client: FlaskClient, chat: str, user: str) -> None:
    """Every version that was replaced, once."""
    fill(chat, user, up_to=520)
    for _ in range(5):
        step_on(chat)
    pages, cursor = [], ""
    for _ in range(3):
        response = client.get(f"/api/chats/{chat}/summary/history?limit=2{cursor}", headers=signed_in(user))
        page = response.get_json()
        assert HistorySchema().validate(page) == {}
        pages.append([(item["version"], item["summary"], item["toSeq"]) for item in page["items"]])
        cursor = f"&cursor={page['nextCursor']}"
        if page["nextCursor"] is None:
            break

    assert pages == [[(4, "Up to 400", 400), (3, "Up to 300", 300)], [(2, "Up to 200", 200), (1, "Up to 100", 100)]]


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "cursor=0", "cursor=x", f"cursor={10**18}", "since=1"])
def test_a_bad_query_is_refused(client: FlaskClient, chat: str, user: str, query: str) -> None:
    """With a pointer at the parameter."""
    response = client.get(f"/api/chats/{chat}/summary/history?{query}", headers=signed_in(user))

    assert response.status_code == 422
    assert response.get_json()["errors"][0]["pointer"] == "/" + query.split("=", maxsplit=1)[0]


def test_a_reset_is_for_admins_of_a_group_and_for_both_of_a_pair(client: FlaskClient, chat: str, user: str) -> None:
    """On record, for it takes something from the others."""
    admin, other = a_user(), a_user()
    group = a_chat(admin, user)
    made = client.post("/api/chats", json={"type": "1_to_1", "members": [other]}, headers=signed_in(user)).get_json()
    expected = {(chat, user): 200, (made["chatId"], other): 200, (group, user): 403, (group, admin): 200}
    for chat_id in (group, made["chatId"]):
        fill(chat_id, user, up_to=150)
    for chat_id in (chat, made["chatId"], group):
        step_on(chat_id)

    answers = {
        (chat_id, user_id): client.post(f"/api/chats/{chat_id}/summary/reset", headers=signed_in(user_id))
        for chat_id, user_id in expected
    }

    assert {key: answer.status_code for key, answer in answers.items()} == expected
    assert answers[group, user].get_json()["code"] == "not_chat_admin"
    body = answers[group, admin].get_json()
    assert (body["summary"], body["toSeq"], body["version"]) == ("", None, 2)
    with Session() as session:
        noted = session.scalars(text("SELECT subject FROM audit_log WHERE action = 'summary_reset'")).all()
    assert sorted(str(subject) for subject in noted) == sorted(f"chat:{one}" for one in (chat, made["chatId"], group))


def test_who_joined_later_where_history_is_hidden_is_shown_nothing_made_of_it(client: FlaskClient, user: str) -> None:
    """Neither the summary nor those before; that there is one, and up to where, tells nothing."""
    chat_id, late = a_chat(user, a_user(), hides_history=True), a_user()
    fill(chat_id, user, up_to=150)
    step_on(chat_id, decisions=("Secret",))
    step_on(chat_id, decisions=("Secret",))
    with Session.begin() as session:
        moderation.add(session, chat_id, user_id=user, member_ids=[late])

    answer = shown(client, chat_id, late)
    history = client.get(f"/api/chats/{chat_id}/summary/history", headers=signed_in(late)).get_json()

    assert (answer["withheld"], answer["summary"], answer["toSeq"]) == (True, "", 130)
    assert "Secret" not in json.dumps([answer, history])
    assert history == {"items": [], "nextCursor": None}
