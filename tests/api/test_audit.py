"""The audit log as the operator reads it, and what the trail writes into it."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from api import trail
from models.base import Session


def notes() -> list[dict[str, Any]]:
    with Session() as session:
        rows = session.execute(text("SELECT actor, action, subject, request_id, facts FROM audit_log ORDER BY id"))
        return [dict(row) for row in rows.mappings()]


def listed(client: FlaskClient, operator: dict[str, str], query: str = "") -> dict[str, Any]:
    response = client.get(f"/api/audit{query}", headers=operator)
    assert response.status_code == 200, response.get_json()
    body: dict[str, Any] = response.get_json()
    return body


def written(app: Flask, *actions: str, path: str = "/", **facts: Any) -> None:
    for action in actions:
        with app.test_request_context(path, headers={"X-Request-Id": "r-1"}, environ_base={"REMOTE_ADDR": "192.0.2.7"}):
            app.preprocess_request()
            trail.note(action, **facts)


def test_only_the_operator_may_read_it(client: FlaskClient) -> None:
    """It says who did what."""
    assert client.get("/api/audit").status_code == 401
    assert client.get("/api/audit", headers={"Authorization": "Bearer nonsense"}).status_code == 401


def test_a_note_carries_the_caller_and_the_request(app: Flask, client: FlaskClient, operator: dict[str, str]) -> None:
    """A view says only what was done."""
    written(app, "job_read", subject="job:1", code="x")

    (item,) = listed(client, operator)["items"]

    assert item.pop("at").endswith("Z")
    assert item == {
        "actor": "address:192.0.2.7",
        "action": "job_read",
        "subject": "job:1",
        "requestId": "r-1",
        "facts": {"code": "x"},
    }


def test_looking_is_on_record(client: FlaskClient, operator: dict[str, str]) -> None:
    """Who watches the watchman: the next who looks."""
    listed(client, operator)
    (seen,) = listed(client, operator)["items"]

    assert (seen["actor"], seen["action"], seen["facts"]) == ("operator", "audit_read", {"notes": 0})


def test_it_is_read_by_pages_and_by_filters(app: Flask, client: FlaskClient, operator: dict[str, str]) -> None:
    """The newest first; the last page says so."""
    written(app, "a", "b", "c", subject="job:1")
    first = listed(client, operator, "?subject=job:1&limit=2")
    second = listed(client, operator, f"?subject=job:1&limit=2&cursor={first['nextCursor']}")

    assert [item["action"] for item in first["items"] + second["items"]] == ["c", "b", "a"]
    assert second["nextCursor"] is None
    assert [item["action"] for item in listed(client, operator, "?action=b")["items"]] == ["b"]
    assert listed(client, operator, "?actor=user:1")["items"] == []
    assert listed(client, operator, "?before=2020-01-01T00:00:00Z")["items"] == []


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("?cursor=x", "invalid_cursor"),
        ("?cursor=-1", "invalid_cursor"),
        ("?cursor=9999999999999999999", "invalid_cursor"),
        ("?limit=1000", "out_of_range"),
        ("?after=yesterday", "invalid_time"),
        ("?after=2026-01-01T00:00:00", "time_zone_missing"),
        ("?actor=" + "x" * 201, "wrong_length"),
        ("?actor=a%00b", "invalid_characters"),
        ("?color=red", "unknown_field"),
    ],
)
def test_a_query_that_cannot_be_right_is_refused(
    client: FlaskClient, operator: dict[str, str], query: str, code: str
) -> None:
    """And not guessed at; nor is it on record, for nothing was read."""
    response = client.get(f"/api/audit{query}", headers=operator)

    assert response.status_code == 422
    assert [error["code"] for error in response.get_json()["errors"]] == [code]
    assert notes() == []


def test_a_note_in_a_transaction_shares_its_fate(app: Flask) -> None:
    """Done and on record, or neither."""
    with app.test_request_context("/"):
        app.preprocess_request()
        with Session() as session:
            trail.note("job_read", session=session)
            session.rollback()
        with Session.begin() as session:
            trail.note("job_cancelled", session=session)

    assert [note["action"] for note in notes()] == ["job_cancelled"]


def test_a_flood_of_refusals_is_counted_not_stored(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log cannot be emptied, so nobody may fill it; the next minute says how many there were."""
    monkeypatch.setattr(trail, "MOST_A_MINUTE", 3)
    book: trail.Trail = app.extensions["parley"]["trail"]
    with app.test_request_context("/"):
        app.preprocess_request()
        for _ in range(10):
            trail.refusal("access_refused", subject="job:1")
        trail.refusal("login_failed")  # of another kind
        book._minutes["access_refused"] = 0.0  # a minute goes by
        trail.refusal("access_refused", subject="job:2")
        trail.refusal("access_refused", subject="job:3")

    facts = [(note["action"], note["facts"]) for note in notes()]
    assert facts[:4] == [("access_refused", {})] * 3 + [("login_failed", {})]
    assert facts[4:] == [("access_refused", {"unwritten": 7}), ("access_refused", {})]
