"""The AI in chats over HTTP: called, joined, stopped, asked anew; and who may see the job that answers."""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from api.job_schemas import JobSchema
from models.attempts import Outcome
from models.chats import AiCallers, AiMode
from models.messages import MessageStatus
from models.states import JobStatus
from tests.api.test_chats import Someone, anna, ben
from tests.factories import a_chat, an_ai_chat, answer, ask, call, claim, record, said_in, the_job
from tests.models.test_contexts import leave

__all__ = ["anna", "ben"]
Jobs = Callable[..., TestResponse]


@pytest.fixture
def chat_id(anna: Someone, ben: Someone) -> str:
    """Of both."""
    return a_chat(anna.id, ben.id)


@pytest.fixture
def jobs(client: FlaskClient) -> Jobs:
    """Asks the routes of jobs as somebody, or with these headers."""

    def ask_jobs(who: Any, method: str, path: str = "", body: Any = None, **more: str) -> TestResponse:
        headers = {**getattr(who, "headers", who), **more}
        return client.open(f"/api/jobs{path}", method=method, json=body, headers=headers)

    return ask_jobs


def code(response: TestResponse) -> tuple[int, str]:
    """Of a refusal."""
    return response.status_code, response.get_json()["code"]


def test_a_message_that_calls_the_ai_says_which_job_answers_it(anna: Someone, chat_id: str) -> None:
    """Sent again it says the same, and calls nobody."""
    said = {"content": "@AI why is the sky blue?", "clientMsgId": "1"}
    sent = [anna.ask("POST", f"/{chat_id}/messages", said) for _ in range(2)]

    job_id = sent[0].get_json()["message"]["jobId"]
    answer(job_id)
    shown = anna.get(f"/{chat_id}/messages")["items"]

    assert [response.status_code for response in sent] == [201, 200]
    assert sent[1].get_json()["message"]["jobId"] == job_id
    assert [(one["isAi"], one["replyTo"], one["jobId"]) for one in shown] == [(False, None, job_id), (True, 1, job_id)]


def test_who_is_in_the_chat_sees_its_job_and_nobody_else(
    app: Flask, jobs: Jobs, operator: dict[str, str], anna: Someone, ben: Someone, chat_id: str
) -> None:
    """Not the operator, once there is an answer; nor who asked, from the moment they have left."""
    carl = Someone(app.test_client(), "carl")
    job_id = str(call(chat_id, ben.id))
    before = [jobs(one, "GET", f"/{job_id}").status_code for one in (anna, ben, operator, carl)]
    answer(job_id)

    seen = jobs(anna, "GET", f"/{job_id}").get_json()
    leave(chat_id, ben.id)

    assert before == [200, 200, 200, 404]
    assert JobSchema().validate(seen) == {}
    assert (seen["chatId"], seen["purpose"], seen["result"]) == (chat_id, "reply", "Because of Rayleigh.")
    for one in (ben, carl, operator):
        assert code(jobs(one, "GET", f"/{job_id}")) == (404, "job_not_found")
        assert code(jobs(one, "GET", f"/{job_id}/events")) == (404, "job_not_found")
        assert code(jobs(one, "DELETE", f"/{job_id}")) == (404, "job_not_found")


def test_a_message_for_the_ai_can_be_handed_in_as_a_job(jobs: Jobs, anna: Someone, chat_id: str) -> None:
    """It is said in the chat, whatever it says; the key names it there."""
    body = {"message": "Why is the sky blue?", "chatId": chat_id, "priority": 7}
    made = [jobs(anna, "POST", body=body, **{"Idempotency-Key": "k"}) for _ in range(2)]
    other = jobs(anna, "POST", body={**body, "message": "And at night?"}, **{"Idempotency-Key": "k"})

    job_id = made[0].get_json()["jobId"]

    assert [response.status_code for response in made] == [201, 200]
    assert made[1].get_json()["jobId"] == job_id
    assert code(other) == (422, "idempotency_key_reused")
    [message] = said_in(chat_id)
    assert (message.content, message.sender_id, message.job_id) == (body["message"], anna.id, job_id)
    assert message.client_msg_id == hashlib.sha256(b"k").hexdigest()
    assert the_job(job_id).priority == 7


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"chatId": "0197a2f0-0000-7000-8000-000000000001"}, (404, "chat_not_found")),
        ({"chatId": "nonsense"}, (404, "chat_not_found")),
        ({"chatId": 7}, (422, "wrong_type")),
        ({"chatId": None}, (422, "wrong_type")),
        ({"runAt": "2020-01-01T00:00:00Z"}, (422, "not_in_a_chat")),
        ({"type": "summarize"}, (422, "not_in_a_chat")),
    ],
)
def test_a_job_that_cannot_be_for_a_chat_is_refused(
    jobs: Jobs, anna: Someone, chat_id: str, changes: dict[str, Any], expected: tuple[int, str]
) -> None:
    """And nothing is said."""
    response = jobs(anna, "POST", body={"message": "Hello", "chatId": chat_id, **changes})

    problem = response.get_json()
    assert (response.status_code, problem["errors"][0]["code"] if "errors" in problem else problem["code"]) == expected
    assert said_in(chat_id) == []


def test_a_batch_takes_no_chat(client: FlaskClient, anna: Someone, chat_id: str) -> None:
    """Its prompts are for nobody in particular."""
    body = {"prompts": [{"message": "Hello", "chatId": chat_id}]}
    response = client.post("/api/batches", json=body, headers=anna.headers)

    assert [error["code"] for error in response.get_json()["errors"]] == ["unknown_field"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"ai_mode": AiMode.OFF}, (409, "ai_off")),
        ({"ai_callers": AiCallers.ADMINS}, (403, "ai_not_for_you")),
    ],
)
def test_where_the_ai_may_not_be_called_a_job_is_refused(
    jobs: Jobs, anna: Someone, ben: Someone, options: dict[str, Any], expected: tuple[int, str]
) -> None:
    """Ben is no admin. What he only says is said."""
    chat_id = a_chat(anna.id, ben.id, **options)

    assert code(jobs(ben, "POST", body={"message": "Hello", "chatId": chat_id})) == expected
    sent = ben.ask("POST", f"/{chat_id}/messages", {"content": "@AI hello", "clientMsgId": "1"})
    assert sent.get_json()["message"]["jobId"] is None


def test_if_too_much_waits_a_message_that_calls_the_ai_is_not_said(make_app: Callable[..., Flask]) -> None:
    """It can be sent again later; one that calls nobody is said."""
    dora = Someone(make_app(most_waiting_per_owner=1).test_client(), "dora")
    chats = [an_ai_chat(dora.id) for _ in range(2)]
    sent = [dora.ask("POST", f"/{chat}/messages", {"content": "Hi", "clientMsgId": "1"}) for chat in chats]

    assert sent[0].status_code == 201
    assert code(sent[1]) == (429, "owner_backlog_full")
    assert said_in(chats[1]) == []


@pytest.fixture
def speaking(app: Flask, anna: Someone, chat_id: str) -> Iterator[str]:
    """A reply of which the model has said something that somebody has seen."""
    job_id = str(call(chat_id, anna.id))
    claimed = claim(job_id)
    assert claimed is not None
    ask(claimed)
    partial = app.extensions["parley"]["waiters"].partial
    partial.put({(job_id, 1): b"Because of Ray"})
    yield job_id
    assert not record(claimed, text="Because of Rayleigh.")  # too late, and posted no second time


@pytest.mark.parametrize("way", ["DELETE", "cancel", "stop"])
def test_a_stopped_reply_keeps_what_was_seen_of_it(
    jobs: Jobs, ben: Someone, chat_id: str, speaking: str, way: str
) -> None:
    """Whoever is in the chat may stop it. A second time changes nothing."""
    ways: dict[str, Callable[[], Any]] = {
        "DELETE": lambda: jobs(ben, "DELETE", f"/{speaking}"),
        "cancel": lambda: jobs(ben, "POST", f"/{speaking}/cancel"),
        "stop": lambda: ben.ask("POST", f"/{chat_id}/stop"),
    }

    responses = [ways[way]() for _ in range(2)]

    assert [response.status_code for response in responses] == [200, 200]
    assert responses[0].get_json()["jobId"] == speaking
    assert responses[1].get_json()["jobId"] == (None if way == "stop" else speaking)
    assert the_job(speaking).status is JobStatus.CANCELLED
    [kept] = [one for one in said_in(chat_id) if one.is_ai]
    assert (kept.content, kept.status, kept.job_id) == ("Because of Ray", MessageStatus.STOPPED, speaking)


def test_who_is_in_the_chat_no_more_stops_nothing(ben: Someone, chat_id: str) -> None:
    """As for a chat that is not there."""
    call(chat_id, ben.id)
    leave(chat_id, ben.id)

    assert code(ben.ask("POST", f"/{chat_id}/stop")) == (404, "chat_not_found")
    assert code(ben.ask("POST", f"/{chat_id}/messages/1/regenerate")) == (404, "chat_not_found")


def test_an_answer_is_given_anew_in_its_place(anna: Someone, ben: Someone, chat_id: str) -> None:
    """By whoever is in the chat; twice at once it is one job."""
    answer(call(chat_id, anna.id), "First.")

    asked = [ben.ask("POST", f"/{chat_id}/messages/2/regenerate") for _ in range(2)]
    job_id = asked[0].get_json()["jobId"]
    answer(job_id, "Second.")
    changes = anna.get(f"/{chat_id}/changes", since=2)["items"]

    assert [response.status_code for response in asked] == [201, 200]
    assert asked[1].get_json()["jobId"] == job_id
    assert [(one["seq"], one["content"], one["jobId"]) for one in changes] == [(2, "Second.", job_id)]


@pytest.mark.parametrize(
    ("seq", "expected"),
    [(1, (409, "nothing_to_answer")), (3, (404, "message_not_found")), (10**30, (404, "message_not_found"))],
)
def test_what_is_no_answer_is_not_given_anew(anna: Someone, chat_id: str, seq: int, expected: tuple[int, str]) -> None:
    """Nor what is not there."""
    answer(call(chat_id, anna.id), "First.")

    assert code(anna.ask("POST", f"/{chat_id}/messages/{seq}/regenerate")) == expected


def test_a_dead_reply_is_redriven_unless_its_chat_waits_for_a_later_one(
    client: FlaskClient, operator: dict[str, str], anna: Someone, chat_id: str
) -> None:
    """One by one, or all at once: then one a chat."""
    dead = []
    for _ in range(2):
        claimed = claim(str(call(chat_id, anna.id, "@AI my secret")))
        assert claimed is not None
        record(claimed, outcome=Outcome.FAILED, error_code="x", error_message="x")
        dead.append(claimed.id)

    letter = client.get(f"/api/dead-letters/{dead[0]}", headers=operator)
    at_once = client.post("/api/dead-letters/redrive", json={}, headers=operator)
    [left] = [job_id for job_id in dead if the_job(job_id).status is JobStatus.FAILED]
    one = client.post(f"/api/dead-letters/{left}/redrive", headers=operator)

    assert "my secret" not in letter.get_data(as_text=True)
    assert at_once.get_json()["redriven"] == 1
    assert code(one) == (409, "overtaken")


def test_who_is_taken_out_of_a_chat_hears_no_more_of_what_is_being_said(
    app: Flask, client: FlaskClient, ben: Someone, chat_id: str
) -> None:
    """A stream that goes on for minutes ends with the next word."""
    job_id = str(call(chat_id, ben.id))
    claimed = claim(job_id)
    assert claimed is not None
    ask(claimed)
    partial, over = app.extensions["parley"]["waiters"].partial, threading.Event()
    words = ["Known."]

    def speak() -> None:
        while not over.wait(0.05):
            partial.put({(job_id, 1): "".join(words).encode()})

    with ThreadPoolExecutor(1) as threads:
        threads.submit(speak)
        try:
            stream = client.get(f"/api/jobs/{job_id}/events", headers=ben.headers).iter_encoded()
            heard = next(chunk for chunk in stream if b"Known." in chunk)
            leave(chat_id, ben.id)
            words.append(" Secret.")
            overheard = [chunk for chunk in itertools.islice(stream, 5) if b"Secret" in chunk]
        finally:
            over.set()

    assert b"event: text" in heard
    assert overheard == []


def title(someone: Someone, chat_id: str) -> tuple[str | None, str]:
    """And whose it is."""
    shown = someone.get(f"/{chat_id}")
    return shown["title"], shown["titleSource"]


def test_another_title_is_found_for_whoever_may_ask(anna: Someone, ben: Someone, chat_id: str) -> None:
    """A person's is replaced, but not one that somebody gives after asking. One job at a time, of little urgency."""
    call(chat_id, ben.id, "@AI why is the sky blue?")
    route = f"/{chat_id}/title:regenerate"
    first, again = anna.ask("POST", route), anna.ask("POST", route)
    job_id = first.get_json()["jobId"]
    assert (first.status_code, again.status_code, again.get_json()["jobId"]) == (201, 200, job_id)
    assert (the_job(job_id).priority, title(anna, chat_id)) == (0, ("Trip", "auto"))

    answer(job_id, '{"title": "The blue sky"}')
    assert title(anna, chat_id) == ("The blue sky", "model")

    second = anna.ask("POST", route).get_json()["jobId"]
    anna.ask("PATCH", f"/{chat_id}", {"title": "Ours"})
    answer(second, '{"title": "The sky again"}')
    assert title(anna, chat_id) == ("Ours", "user")


def test_another_title_is_refused_by_name(anna: Someone, ben: Someone, chat_id: str) -> None:
    """To a member who has no say, where nothing was said, in a chat of two, and where the AI is not."""
    pair = anna.made(type="1_to_1", members=[ben.id])["chatId"]
    off = a_chat(anna.id, ai_mode=AiMode.OFF)
    for who, chat, expected in (
        (ben, chat_id, (403, "not_chat_admin")),
        (anna, chat_id, (409, "nothing_to_name")),
        (anna, pair, (409, "not_a_group")),
        (anna, off, (409, "ai_off")),
        (ben, off, (404, "chat_not_found")),
    ):
        assert code(who.ask("POST", f"/{chat}/title:regenerate")) == expected
    assert title(anna, chat_id) == ("Trip", "user")
