"""Batches over HTTP."""

from __future__ import annotations

import dataclasses
import io
import json
import tracemalloc
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, text
from werkzeug.test import TestResponse

from api import queue, results, uploads
from api.app import create_app
from models import snapshots
from models.attempts import Ending, Outcome, record
from models.base import Session
from models.jobs import Job
from models.settings import Settings
from models.states import JobStatus
from tests.factories import ask, change, claim, count_jobs

NDJSON = "application/x-ndjson"
UNKNOWN = "9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d"


def post(client: FlaskClient, *prompts: Any, **rest: Any) -> TestResponse:
    headers = {"Idempotency-Key": rest.pop("key")} if "key" in rest else {}
    return client.post("/api/batches", json={"prompts": list(prompts), **rest}, headers=headers)


def send(client: FlaskClient, body: bytes) -> TestResponse:
    return client.post("/api/batches", data=body, content_type=NDJSON)


def stored() -> list[Job]:
    with Session() as session:
        return list(session.scalars(select(Job).order_by(Job.batch_position)))


def faults(response: TestResponse) -> list[tuple[int | None, str, str]]:
    assert response.mimetype == "application/problem+json"
    return [(row.get("line"), row["pointer"], row["code"]) for row in response.get_json()["errors"]]


def finish(batch_id: str, *positions: int, outcome: Outcome = Outcome.COMPLETED) -> None:
    """Have a worker answer these, in this order."""
    for position in positions:
        with Session() as session:
            query = select(Job).where(Job.batch_id == batch_id, Job.batch_position == position)
            job = session.scalars(query).one()
        claimed = claim(job.id)
        assert claimed is not None
        assert ask(claimed)
        failed = {"error_code": "provider_rejected", "error_message": "The model refused."}
        answered = {"text": f"Answer {position}", "prompt_tokens": 3, "completion_tokens": 4}
        facts: dict[str, Any] = answered if outcome is Outcome.COMPLETED else failed
        with Session.begin() as session:
            record(session, [Ending(job_id=job.id, attempt=1, outcome=outcome, **facts)])


def lines(response: TestResponse) -> list[dict[str, Any]]:
    assert (response.status_code, response.mimetype) == (200, NDJSON)
    return [json.loads(line) for line in response.data.splitlines()]


def test_a_batch_of_json_is_stored_with_what_each_prompt_says(client: FlaskClient) -> None:
    """A prompt is a message or an object; what it leaves out, the batch says."""
    response = post(
        client,
        "Just text",
        {"message": "An object", "customId": "two", "priority": 9, "type": "chat"},
        type="summarize",
        priority=1,
        deadlineSeconds=60,
    )

    body, made = response.get_json(), stored()
    assert (response.status_code, body["total"]) == (201, 2)
    assert response.headers["Location"] == f"/api/batches/{body['batchId']}"
    assert response.headers["Retry-After"] == "1"
    assert [(job.message, job.custom_id, job.priority, job.type, job.deadline_seconds) for job in made] == [
        ("Just text", None, 1, "summarize", 60.0),
        ("An object", "two", 9, "chat", 60.0),
    ]


def test_a_batch_of_lines_is_stored_in_their_order(client: FlaskClient) -> None:
    """Empty lines count but say nothing; the last line's end may be missing."""
    response = send(client, b'"First"\r\n\n{"message": "Second", "customId": "2"}\n   \n"Third"')

    assert response.status_code == 201
    assert [(job.message, job.custom_id) for job in stored()] == [("First", None), ("Second", "2"), ("Third", None)]


def test_jobs_of_a_batch_have_a_day_unless_they_say_otherwise(client: FlaskClient) -> None:
    """Nobody waits for one in particular, and ten thousand take their time."""
    post(client, "One", {"message": "Two", "deadlineSeconds": 5})

    assert [job.deadline_seconds for job in stored()] == [86_400.0, 5.0]


def test_a_job_of_a_batch_knows_its_batch(client: FlaskClient) -> None:
    """It can be polled like any other."""
    batch_id = post(client, {"message": "One", "customId": "mine"}).get_json()["batchId"]

    job = client.get(f"/api/jobs/{stored()[0].id}").get_json()

    assert (job["batchId"], job["customId"]) == (batch_id, "mine")


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"prompts": []}, [(None, "/prompts", "empty_batch")]),
        ({}, [(None, "/prompts", "required")]),
        ({"prompts": None}, [(None, "/prompts", "wrong_type")]),
        ({"prompts": "x"}, [(None, "/prompts", "wrong_type")]),
        ([], [(None, "", "wrong_type")]),
        ({"prompts": ["x"], "colour": 1}, [(None, "/colour", "unknown_field")]),
        ({"prompts": ["x"], "message": "x"}, [(None, "/message", "unknown_field")]),
        ({"prompts": ["x"], "priority": 10}, [(None, "/priority", "out_of_range")]),
        ({"prompts": ["x"], "type": "poem"}, [(None, "/type", "unknown_job_type")]),
        ({"prompts": ["x"], "runAt": "2999-01-01T00:00:00Z"}, [(None, "/runAt", "too_far_ahead")]),
        (
            {"prompts": ["ok", 7, None, " ", ["x"], {"priority": 10}]},
            [
                (None, "/prompts/1", "wrong_type"),
                (None, "/prompts/2", "wrong_type"),
                (None, "/prompts/3/message", "blank"),
                (None, "/prompts/4", "wrong_type"),
                (None, "/prompts/5/message", "required"),
                (None, "/prompts/5/priority", "out_of_range"),
            ],
        ),
        (
            {"prompts": [{"message": "x", "customId": "a"}, "y", {"message": "z", "customId": "a"}]},
            [(None, "/prompts/2/customId", "duplicate_custom_id")],
        ),
        (
            {"prompts": [{"message": "x", "customId": ""}, {"message": "x", "customId": "y" * 201}]},
            [(None, "/prompts/0/customId", "wrong_length"), (None, "/prompts/1/customId", "wrong_length")],
        ),
        ({"prompts": [{"message": "x", "customId": 7}]}, [(None, "/prompts/0/customId", "wrong_type")]),
        ({"prompts": [{"message": "x", "customId": "\x00"}]}, [(None, "/prompts/0/customId", "invalid_characters")]),
        ({"prompts": ["x"] * 10_001}, [(None, "/prompts", "too_many_prompts")]),
    ],
    ids=lambda value: json.dumps(value)[:60],
)
def test_bad_json_is_refused_with_the_place_of_each_fault(
    client: FlaskClient, body: object, where: list[tuple[int | None, str, str]]
) -> None:
    """And nothing is stored, not even what is right."""
    response = client.post("/api/batches", json=body)

    assert (response.status_code, response.get_json()["code"]) == (422, "validation_failed")
    assert faults(response) == where
    assert stored() == []


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b"", [(None, "", "empty_batch")]),
        (b"\n\n", [(None, "", "empty_batch")]),
        (b'"ok"\n{"message": "x"\n"ok"\n', [(2, "", "malformed_json")]),
        (b'"ok"\nplain text\n', [(2, "", "malformed_json")]),
        (b'"ok"\n{"message": "hal', [(2, "", "incomplete_line")]),
        (b'"ok"\n"\xff"\n', [(2, "", "invalid_utf8")]),
        (b'{"message": NaN}\n', [(1, "", "malformed_json")]),
        (b'"ok"\n' + b"[" * 20_000 + b"\n", [(2, "", "json_too_deep")]),
        (b"7\n", [(1, "", "wrong_type")]),
        (b'\n{"message": "x", "priority": 10}\n', [(2, "/priority", "out_of_range")]),
        (b'{"message": "x", "customId": "a"}\n' * 2, [(2, "/customId", "duplicate_custom_id")]),
        (b'"x"\n' * 10_001, [(10_001, "", "too_many_prompts")]),
        (b'"ok"\n"' + b"x" * uploads.LINE_BYTES + b'"\n7\n', [(2, "", "line_too_long"), (3, "", "wrong_type")]),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_bad_lines_are_refused_with_their_numbers(
    client: FlaskClient, body: bytes, where: list[tuple[int | None, str, str]]
) -> None:
    """Every one of them, in one answer; and nothing is stored."""
    response = send(client, body)

    assert (response.status_code, response.get_json()["code"]) == (422, "validation_failed")
    assert faults(response) == where
    assert stored() == []


def test_at_most_a_hundred_faults_are_listed_and_all_are_counted(client: FlaskClient) -> None:
    """The answer to a wrong file is not as long as the file."""
    response = send(client, b"7\n" * 5000)

    assert len(faults(response)) == 100
    assert "100 of 5000" in response.get_json()["detail"]


def test_a_line_of_40_megabytes_is_not_held(client: FlaskClient) -> None:
    """It is named by its number; what stands behind it is still checked."""
    long = 40 * 1024 * 1024
    body = Zeros(b'"ok"\n', long, b"\n7\n")

    tracemalloc.start()
    response = stream(client, body, length=5 + long + 3)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert faults(response) == [(2, "", "line_too_long"), (3, "", "wrong_type")]
    assert peak < 8 * 1024 * 1024


def stream(client: FlaskClient, body: io.RawIOBase, *, length: int | None, content_type: str = NDJSON) -> TestResponse:
    """Send it without holding it; chunked, if nobody says how long it is."""
    said = {"wsgi.input_terminated": True} if length is None else {"CONTENT_LENGTH": str(length)}
    return client.post("/api/batches", content_type=content_type, environ_overrides={"wsgi.input": body, **said})


class Zeros(io.RawIOBase):
    """A stream of many zeros between a head and a tail, none of them in memory."""

    def __init__(self, head: bytes, zeros: int, tail: bytes) -> None:
        self._head, self._zeros, self._tail = head, zeros, tail

    def readable(self) -> bool:
        """For `io`."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Some of it."""
        if self._head:
            part, self._head = self._head, b""
        elif self._zeros:
            part = b"0" * min(len(buffer), self._zeros)
            self._zeros -= len(part)
        else:
            part, self._tail = self._tail, b""
        buffer[: len(part)] = part
        return len(part)


@pytest.mark.parametrize("content_type", list(uploads.MOST_BYTES))
def test_a_body_beyond_the_limit_of_its_kind_is_refused_unread(client: FlaskClient, content_type: str) -> None:
    """Larger than anywhere else, but bounded."""
    length = uploads.MOST_BYTES[content_type] + 1

    response = stream(client, Zeros(b"", length, b""), length=length, content_type=content_type)

    assert (response.status_code, response.get_json()["code"]) == (413, "body_too_large")
    assert f"{uploads.MOST_BYTES[content_type] // 1024} KiB" in response.get_json()["detail"]


def test_a_body_without_a_length_is_bounded_too(client: FlaskClient) -> None:
    """Chunked: nobody has said how long it will be."""
    endless = Zeros(b"", 2 * uploads.MOST_BYTES[NDJSON], b"")

    response = stream(client, endless, length=None)

    assert (response.status_code, response.get_json()["code"]) == (413, "body_too_large")


@pytest.mark.parametrize("content_type", [None, "text/plain", "multipart/form-data"])
def test_a_body_of_another_type_is_refused(client: FlaskClient, content_type: str | None) -> None:
    """JSON, or lines of JSON."""
    response = client.post("/api/batches", data=b'{"prompts": ["x"]}', content_type=content_type)

    assert (response.status_code, response.get_json()["code"]) == (415, "unsupported_media_type")


def test_other_routes_keep_their_smaller_limit(client: FlaskClient) -> None:
    """Only where many prompts are expected may much be sent."""
    assert client.post("/api/jobs", data=b"x" * (300 * 1024), content_type=NDJSON).status_code == 413


def test_a_batch_is_made_once_for_each_key(client: FlaskClient) -> None:
    """The same prompts, in whatever spelling; a job's key is not a batch's."""
    first = post(client, "One", {"message": "Two"}, key="k")
    again = client.post(
        "/api/batches", data=b'{"message":"One"}\n"Two"\n', content_type=NDJSON, headers={"Idempotency-Key": "k"}
    )
    other = post(client, "One", "Three", key="k")

    assert (first.status_code, again.status_code) == (201, 200)
    assert again.get_json() == first.get_json()
    assert again.headers["Idempotency-Replayed"] == "true"
    assert (other.status_code, other.get_json()["code"]) == (422, "idempotency_key_reused")
    assert len(stored()) == 2


def test_a_key_that_has_expired_makes_a_new_batch(client: FlaskClient) -> None:
    """Also before it is pruned, and for the same prompts."""
    first = post(client, "One", key="k")
    with Session.begin() as session:
        session.execute(text("UPDATE idempotency_keys SET expires_at = clock_timestamp() - interval '1 second'"))

    second = post(client, "One", key="k")

    assert (first.status_code, second.status_code) == (201, 201)
    assert second.get_json()["batchId"] != first.get_json()["batchId"]


def test_a_batch_counts_as_many_as_its_prompts_against_the_backlog(db: Settings) -> None:
    """All or nothing; but what was accepted once is not refused when it comes again."""
    client = create_app(dataclasses.replace(db, most_waiting_per_owner=3)).test_client()

    first = post(client, "One", "Two", key="k")
    beyond = post(client, "Three", "Four")
    again = post(client, "One", "Two", key="k")

    assert (first.status_code, again.status_code) == (201, 200)
    assert (beyond.status_code, beyond.get_json()["code"]) == (429, "owner_backlog_full")
    assert "Retry-After" in beyond.headers
    assert len(stored()) == 2


def test_a_large_upload_waits_for_room_and_then_gives_up(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their memory is bounded together; small batches need no room."""
    monkeypatch.setattr(uploads, "ROOM_SECONDS", 0.05)
    places = [uploads._large.acquire(timeout=0) for _ in range(uploads.LARGE_AT_ONCE)]
    try:
        large = send(client, b'"x"\n' + b"\n" * uploads.SMALL_BYTES)
        small = send(client, b'"x"\n')
    finally:
        for _ in places:
            uploads._large.release()

    assert all(places)
    assert (large.status_code, large.get_json()["code"]) == (503, "unavailable")
    assert "Retry-After" in large.headers
    assert small.status_code == 201


def test_a_batch_shows_how_far_it_is(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts, progress and an estimate from the measured rate; no more polling once it is over."""
    monkeypatch.setattr(queue, "KEPT_SECONDS", 0.0)
    batch_id = post(client, "One", "Two", "Three", "Four").get_json()["batchId"]
    finish(batch_id, 2)
    finish(batch_id, 3, outcome=Outcome.FAILED)
    with Session.begin() as session:
        snapshots.take(session, "batch", share=100)

    early = client.get(f"/api/batches/{batch_id}")
    finish(batch_id, 0, 1)
    late = client.get(f"/api/batches/{batch_id}")

    shown, over = early.get_json(), late.get_json()
    assert (shown["total"], shown["progress"], shown["etaSeconds"]) == (4, 0.5, 30)  # 2 left at 2 in 30 s
    assert {status: number for status, number in shown["counts"].items() if number} == {
        "created": 2, "completed": 1, "failed": 1,
    }  # fmt: skip
    assert set(shown["counts"]) == set(JobStatus)
    assert 1 <= int(early.headers["Retry-After"]) <= 30
    assert (over["progress"], over["etaSeconds"], over["cancelledAt"]) == (1.0, None, None)
    assert "Retry-After" not in late.headers


def test_results_come_as_they_finish_and_go_on_behind_a_cursor(client: FlaskClient) -> None:
    """One line for each finished prompt, whatever became of it."""
    batch_id = post(client, "A", {"message": "B", "customId": "b"}, "C").get_json()["batchId"]
    finish(batch_id, 1)
    finish(batch_id, 0, outcome=Outcome.FAILED)

    first, second = lines(client.get(f"/api/batches/{batch_id}/results"))
    [again] = lines(client.get(f"/api/batches/{batch_id}/results", query_string={"after": first["cursor"]}))
    nothing = lines(client.get(f"/api/batches/{batch_id}/results", query_string={"after": second["cursor"]}))

    assert (first["position"], first["customId"], first["status"], first["result"]) == (1, "b", "completed", "Answer 1")
    assert first["usage"] == {"promptTokens": 3, "completionTokens": 4, "totalTokens": 7}
    assert first["error"] is None
    assert (second["position"], second["status"], second["result"]) == (0, "failed", None)
    assert second["error"]["code"] == "provider_rejected"
    assert again == second
    assert nothing == []


def test_results_in_the_order_of_the_prompts_stop_before_a_gap(client: FlaskClient) -> None:
    """The cursor is the position."""
    batch_id = post(client, "A", "B", "C", "D").get_json()["batchId"]
    finish(batch_id, 3, 1, 0)
    address = f"/api/batches/{batch_id}/results?order=position"

    shown = lines(client.get(address))
    finish(batch_id, 2)
    rest = lines(client.get(f"{address}&after={shown[-1]['cursor']}"))

    assert [(line["position"], line["cursor"]) for line in shown] == [(0, "0"), (1, "1")]
    assert [line["position"] for line in rest] == [2, 3]


@pytest.mark.timeout(30)  # half of what it says it would wait
@pytest.mark.parametrize("order", ["finished", "position"])
def test_a_reader_who_waits_gets_what_finishes_meanwhile(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    """On the same answer, which ends by itself when all is sent."""
    monkeypatch.setattr(results, "LOOK_SECONDS", 0.01)
    batch_id = post(client, "A", "B", "C").get_json()["batchId"]
    finish(batch_id, 0)

    answer = client.get(f"/api/batches/{batch_id}/results?wait=60&order={order}", buffered=False)
    coming = iter(answer.response)
    first = next(coming)
    finish(batch_id, 1)
    second = next(coming)
    finish(batch_id, 2)
    rest = list(coming)

    assert [json.loads(line)["position"] for line in (first, second, *rest)] == [0, 1, 2]  # type: ignore[arg-type]


def test_a_reader_does_not_wait_longer_than_it_said(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unfinished prompts do not hold the answer open."""
    monkeypatch.setattr(results, "LOOK_SECONDS", 0.01)
    batch_id = post(client, "A").get_json()["batchId"]

    assert lines(client.get(f"/api/batches/{batch_id}/results?wait=1")) == []


@pytest.mark.parametrize("paged", [1, 2])
def test_results_of_many_pages_are_one_answer(client: FlaskClient, monkeypatch: pytest.MonkeyPatch, paged: int) -> None:
    """Never the whole batch in memory; nothing lost or repeated between two pages."""
    batch_id = post(client, *map(str, range(5))).get_json()["batchId"]
    finish(batch_id, 4, 2, 0, 1, 3)
    whole, asked = results.Place.page, 0

    class Paged(results.ByTime):
        def page(self, session: Any, *, reader: str) -> Any:
            nonlocal asked
            asked += 1
            after = self._after
            rows = super().page(session, reader=reader)[:paged]
            self._after = (rows[-1]["finished_at"], rows[-1]["position"]) if rows else after
            return rows

    monkeypatch.setattr(results, "ByTime", Paged)

    positions = [line["position"] for line in lines(client.get(f"/api/batches/{batch_id}/results"))]

    assert positions == [4, 2, 0, 1, 3]
    assert asked > 5 // paged
    assert whole is results.Place.page


@pytest.mark.parametrize(
    ("query", "where"),
    [
        ("after=x", [(None, "/after", "invalid_cursor")]),
        ("after=2026-01-01T00:00:00~1", [(None, "/after", "invalid_cursor")]),
        ("after=1", [(None, "/after", "invalid_cursor")]),
        ("after=x&order=position", [(None, "/after", "invalid_cursor")]),
        ("order=random", [(None, "/order", "unknown_order")]),
        ("wait=61", [(None, "/wait", "out_of_range")]),
        ("wait=-1", [(None, "/wait", "out_of_range")]),
        ("wait=long", [(None, "/wait", "wrong_type")]),
        ("limit=5", [(None, "/limit", "unknown_field")]),
    ],
)
def test_a_bad_query_for_results_is_refused(
    client: FlaskClient, query: str, where: list[tuple[int | None, str, str]]
) -> None:
    """A cursor of one order is none of the other."""
    batch_id = post(client, "A").get_json()["batchId"]

    response = client.get(f"/api/batches/{batch_id}/results?{query}")

    assert response.status_code == 422
    assert faults(response) == where


@pytest.mark.parametrize("way", ["DELETE", "POST"])
def test_cancelling_a_batch_keeps_what_is_finished(client: FlaskClient, way: str) -> None:
    """As often as one likes: the second time changes nothing."""
    batch_id = post(client, "A", "B", "C").get_json()["batchId"]
    finish(batch_id, 1)
    address = f"/api/batches/{batch_id}" + ("/cancel" if way == "POST" else "")

    first = client.open(address, method=way)
    again = client.open(address, method=way)

    body = first.get_json()
    assert (first.status_code, body["counts"]["completed"], body["counts"]["cancelled"]) == (200, 1, 2)
    assert (body["progress"], again.get_json()) == (1.0, body)
    assert body["cancelledAt"] is not None
    positions = {line["position"]: line["status"] for line in lines(client.get(f"/api/batches/{batch_id}/results"))}
    assert positions == {0: "cancelled", 1: "completed", 2: "cancelled"}


def test_what_failed_can_be_tried_again_and_comes_again_in_the_results(client: FlaskClient) -> None:
    """A reader who goes on behind its cursor learns the new answer."""
    batch_id = post(client, "A", "B").get_json()["batchId"]
    finish(batch_id, 0)
    finish(batch_id, 1, outcome=Outcome.FAILED)
    cursor = lines(client.get(f"/api/batches/{batch_id}/results"))[-1]["cursor"]

    response = client.post(f"/api/batches/{batch_id}/retry-failed")
    change(stored()[1].id, attempt=0)
    with Session.begin() as session:
        session.execute(text("DELETE FROM attempts WHERE job_id = :id"), {"id": stored()[1].id})
    finish(batch_id, 1)
    [line] = lines(client.get(f"/api/batches/{batch_id}/results", query_string={"after": cursor}))

    assert (response.status_code, response.get_json()["counts"]["created"]) == (200, 1)
    assert (line["position"], line["status"]) == (1, "completed")


def test_a_cancelled_batch_cannot_be_tried_again(client: FlaskClient) -> None:
    """409, for it is there."""
    batch_id = post(client, "A").get_json()["batchId"]
    client.delete(f"/api/batches/{batch_id}")

    response = client.post(f"/api/batches/{batch_id}/retry-failed")

    assert (response.status_code, response.get_json()["code"]) == (409, "batch_cancelled")


@pytest.mark.parametrize("batch_id", [UNKNOWN, "nope", f"{{{UNKNOWN}}}"])
@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("GET", "/results"), ("DELETE", ""), ("POST", "/cancel"), ("POST", "/retry-failed")],
)
def test_an_unknown_batch_is_not_found(client: FlaskClient, batch_id: str, method: str, path: str) -> None:
    """Whatever one wants of it."""
    response = client.open(f"/api/batches/{batch_id}{path}", method=method)

    assert (response.status_code, response.get_json()["code"]) == (404, "batch_not_found")


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("GET", "/results"), ("DELETE", ""), ("POST", "/cancel"), ("POST", "/retry-failed")],
)
def test_a_batch_whose_jobs_have_been_removed_is_gone(client: FlaskClient, method: str, path: str) -> None:
    """It was there, and is not unknown."""
    batch_id = post(client, "x").get_json()["batchId"]
    with Session.begin() as session:
        session.execute(text("DELETE FROM jobs"))

    response = client.open(f"/api/batches/{batch_id}{path}", method=method)

    assert (response.status_code, response.get_json()["code"]) == (410, "batch_gone")


def test_ten_thousand_prompts_are_one_batch(app: Flask) -> None:
    """The most there may be."""
    response = send(app.test_client(), b"".join(b'"Question %d"\n' % number for number in range(10_000)))

    assert (response.status_code, response.get_json()["total"]) == (201, 10_000)
    with Session() as session:
        assert count_jobs(session) == {JobStatus.CREATED: 10_000}
