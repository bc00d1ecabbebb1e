"""Bad input: each kind gets a clear problem+json, stores nothing, and is never a 500."""

from __future__ import annotations

import json

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from models.base import Session
from tests.factories import count_jobs

JSON = "application/json"
NESTED = "[" * 10_000 + "]" * 10_000


def fields(*rows: tuple[str, str]) -> list[tuple[str, str]]:
    return list(rows)


@pytest.mark.parametrize(
    ("body", "status", "code", "where"),
    [
        (b"", 400, "malformed_json", []),
        (b"{", 400, "malformed_json", []),
        (b'{"message": NaN}', 400, "malformed_json", []),
        (b'{"message": ' + b"9" * 5000 + b"}", 400, "malformed_json", []),
        (b'{"message": "\xff"}', 400, "invalid_utf8", []),
        (NESTED.encode(), 400, "json_too_deep", []),
        (b'{"message": ' + NESTED.encode() + b"}", 400, "json_too_deep", []),
        (b"{}", 422, "validation_failed", fields(("/message", "required"))),
        (b"null", 422, "validation_failed", fields(("", "wrong_type"))),
        (b"[]", 422, "validation_failed", fields(("", "wrong_type"))),
        (b'"x"', 422, "validation_failed", fields(("", "wrong_type"))),
        (b'{"message": null}', 422, "validation_failed", fields(("/message", "wrong_type"))),
        (b'{"message": 7}', 422, "validation_failed", fields(("/message", "wrong_type"))),
        (b'{"message": ["x"]}', 422, "validation_failed", fields(("/message", "wrong_type"))),
        (b'{"message": ""}', 422, "validation_failed", fields(("/message", "blank"))),
        (b'{"message": " \\n\\t\\u2003"}', 422, "validation_failed", fields(("/message", "blank"))),
        (b'{"message": "a\\u0000b"}', 422, "validation_failed", fields(("/message", "invalid_characters"))),
        (b'{"message": "a\\ud800b"}', 422, "validation_failed", fields(("/message", "invalid_characters"))),
        (b'{"message": "a\\udc00"}', 422, "validation_failed", fields(("/message", "invalid_characters"))),
        (json.dumps({"message": "x" * 32_001}).encode(), 422, "validation_failed", fields(("/message", "too_long"))),
        (b'{"message": "x", "colour": 1}', 422, "validation_failed", fields(("/colour", "unknown_field"))),
        (b'{"message": "x", "type": "poem"}', 422, "validation_failed", fields(("/type", "unknown_job_type"))),
        (b'{"message": "x", "type": null}', 422, "validation_failed", fields(("/type", "wrong_type"))),
        (b'{"message": "x", "type": {}}', 422, "validation_failed", fields(("/type", "unknown_job_type"))),
        (b'{"message": "x", "priority": 10}', 422, "validation_failed", fields(("/priority", "out_of_range"))),
        (b'{"message": "x", "priority": 5.5}', 422, "validation_failed", fields(("/priority", "wrong_type"))),
        (b'{"message": "x", "priority": "5"}', 422, "validation_failed", fields(("/priority", "wrong_type"))),
        (b'{"message": "x", "priority": true}', 422, "validation_failed", fields(("/priority", "wrong_type"))),
        (
            b'{"message": "x", "deadlineSeconds": -1}',
            422,
            "validation_failed",
            fields(("/deadlineSeconds", "out_of_range")),
        ),
        (
            b'{"message": "x", "deadlineSeconds": "60"}',
            422,
            "validation_failed",
            fields(("/deadlineSeconds", "wrong_type")),
        ),
        (
            b'{"message": "x", "deadlineSeconds": 1e999}',
            422,
            "validation_failed",
            fields(("/deadlineSeconds", "wrong_type")),
        ),
        (b'{"message": "x", "ttlSeconds": 0}', 422, "validation_failed", fields(("/ttlSeconds", "out_of_range"))),
        (
            b'{"message": "x", "runAt": "2999-01-01T00:00:00Z"}',
            422,
            "validation_failed",
            fields(("/runAt", "too_far_ahead")),
        ),
        (
            b'{"message": "x", "runAt": "2026-01-01T00:00:00"}',
            422,
            "validation_failed",
            fields(("/runAt", "time_zone_missing")),
        ),
        (b'{"message": "x", "runAt": "tomorrow"}', 422, "validation_failed", fields(("/runAt", "invalid_time"))),
        (b'{"message": "x", "runAt": 7}', 422, "validation_failed", fields(("/runAt", "invalid_time"))),
        (b"x" * (256 * 1024 + 1), 413, "body_too_large", []),
    ],
)
def test_a_bad_body_is_refused_and_stores_nothing(
    client: FlaskClient, body: bytes, status: int, code: str, where: list[tuple[str, str]]
) -> None:
    """The status says what kind of wrong, the code which, the errors where."""
    response = client.post("/api/jobs", data=body, content_type=JSON)

    problem = response.get_json()
    assert (response.status_code, problem["code"]) == (status, code)
    assert [(error["pointer"], error["code"]) for error in problem.get("errors", [])] == where
    assert is_problem(response, status)
    with Session() as session:
        assert count_jobs(session) == {}


@pytest.mark.parametrize(
    "deep", [NESTED, '{"message": ' + NESTED + "}", '{"message": "x", "y": ' + '{"a":' * 5000 + "1" + "}" * 5001]
)
def test_a_line_that_is_nested_too_deeply_is_named_and_nothing_is_stored(client: FlaskClient, deep: str) -> None:
    """Among good ones, however the others are."""
    body = f'{{"message": "good"}}\n{deep}\n"also good"\n'
    response = client.post("/api/batches", data=body, content_type="application/x-ndjson")

    assert response.status_code == 422
    assert [(error["line"], error["code"]) for error in response.get_json()["errors"]] == [(2, "json_too_deep")]
    with Session() as session:
        assert count_jobs(session) == {}


@pytest.mark.parametrize(
    "content_type", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]
)
def test_a_body_of_another_type_is_refused(client: FlaskClient, content_type: str | None) -> None:
    """Also the types a foreign page's form can send without asking."""
    response = client.post("/api/jobs", data=b'{"message": "x"}', content_type=content_type)

    assert (response.status_code, response.get_json()["code"]) == (415, "unsupported_media_type")


def test_the_charset_of_json_may_be_named(client: FlaskClient) -> None:
    """Many clients do."""
    response = client.post("/api/jobs", data=b'{"message": "x"}', content_type="application/json; charset=utf-8")

    assert response.status_code == 201


def test_the_longest_message_is_stored_whole(client: FlaskClient) -> None:
    """32,000 characters, four bytes each, fit the body limit."""
    message = "\N{OWL}" * 32_000

    assert (
        client.post(
            "/api/jobs", data=json.dumps({"message": message}, ensure_ascii=False), content_type=JSON
        ).status_code
        == 201
    )


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/api/jobs", {"GET", "HEAD", "POST", "OPTIONS"}),
        ("PUT", "/api/jobs/46bedf00-6eee-4cd8-a948-ccd3065cdc9a", {"GET", "HEAD", "OPTIONS"}),
        ("POST", "/health", {"GET", "HEAD", "OPTIONS"}),
    ],
)
def test_a_wrong_method_learns_the_right_ones(client: FlaskClient, method: str, path: str, allowed: set[str]) -> None:
    """405 without Allow says only half."""
    response = client.open(path, method=method)

    assert (response.status_code, response.get_json()["code"]) == (405, "method_not_allowed")
    assert allowed <= set(response.headers["Allow"].split(", "))


@pytest.mark.parametrize(
    "path", ["/nope", "/api/nope", "/static/nope.js", "/static/../wsgi.py", "/static/%2e%2e/wsgi.py"]
)
def test_an_unknown_address_is_a_problem_too(client: FlaskClient, path: str) -> None:
    """Also below /static, and no file outside it is served."""
    response = client.get(path)

    assert is_problem(response, 404)


def test_every_problem_carries_the_request_id_of_its_header(client: FlaskClient) -> None:
    """So that a person can quote it and a log be searched for it."""
    own = client.get("/nope", headers={"X-Request-Id": "my-id.1"})
    forged = client.get("/nope", headers={"X-Request-Id": "x" * 65})

    assert own.get_json()["requestId"] == own.headers["X-Request-Id"] == "my-id.1"
    assert forged.get_json()["requestId"] == forged.headers["X-Request-Id"]
    assert len(forged.headers["X-Request-Id"]) == 16


@pytest.mark.parametrize("path", ["/api/openapi.json", "/nope", "/docs", "/health/live", "/static/nothing.js"])
def test_every_answer_carries_each_header_once(client: FlaskClient, path: str) -> None:
    """A policy sent twice is another policy."""
    names = [name.lower() for name, _ in client.get(path).headers]

    assert sorted(names) == sorted(set(names))
    assert {"content-security-policy", "x-content-type-options", "referrer-policy", "x-request-id"} <= set(names)


def is_problem(response: TestResponse, status: int) -> bool:
    """RFC 9457, with our extensions."""
    problem = response.get_json()
    assert response.mimetype == "application/problem+json"
    assert problem["type"] == f"urn:parley:problem:{problem['code']}"
    assert problem["title"]
    assert problem["requestId"]
    return bool(problem["status"] == status)
