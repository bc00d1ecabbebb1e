"""The invariants, for the operator."""

from __future__ import annotations

import datetime as dt

import pytest
from flask.testing import FlaskClient

from models import invariants
from models.states import JobStatus
from tests.factories import a_job, create, now

Headers = dict[str, str]


def test_a_store_in_order_is_ok_and_every_law_is_named(client: FlaskClient, operator: Headers) -> None:
    """The answer says what was asked, not only that nothing was found."""
    create()

    response = client.get("/api/invariants", headers=operator)

    body = response.get_json()
    assert (response.status_code, body["ok"]) == (200, True)
    assert [each["name"] for each in body["checked"]] == list(invariants.NAMES)
    assert {(each["count"], tuple(each["violations"])) for each in body["checked"]} == {(0, ())}


def test_a_violation_is_not_ok_and_names_the_job(client: FlaskClient, operator: Headers) -> None:
    """Still 200: the question was answered."""
    job_id = a_job(status=JobStatus.ANALYZING, lease_until=now() - dt.timedelta(minutes=1))

    response = client.get("/api/invariants", headers=operator)

    body = response.get_json()
    assert (response.status_code, body["ok"]) == (200, False)
    assert [each for each in body["checked"] if each["count"]] == [
        {"name": "lease_ran_out", "count": 1, "violations": [job_id]}
    ]


def test_what_was_not_finished_in_time_is_not_ok(
    client: FlaskClient, operator: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unknown is not well."""
    monkeypatch.setattr("models.invariants.SECONDS_EACH", 0)

    body = client.get("/api/invariants", headers=operator).get_json()

    assert (body["ok"], {each["count"] for each in body["checked"]}) == (False, {None})


@pytest.mark.parametrize(("header", "status"), [(None, 401), ("Bearer wrong", 401)])
def test_only_the_operator_may_ask(client: FlaskClient, header: str | None, status: int) -> None:
    """It costs the database seconds."""
    headers = {} if header is None else {"Authorization": header}

    assert client.get("/api/invariants", headers=headers).status_code == status
