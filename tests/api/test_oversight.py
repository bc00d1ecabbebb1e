"""What goes on record of operators who look at others' things, and of callers who are refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from structlog.testing import capture_logs

from api import oversight, trail
from api.oversight import Lately
from models import owners
from models.api_keys import Scope
from models.audit import AuditEntry
from models.base import Session
from models.states import JobStatus
from models.users import Role
from tests.factories import a_batch, a_job, a_key, a_user, bearer, signed_in, the_job

Headers = dict[str, str]
BROKEN = "postgresql+psycopg2://nobody@127.0.0.1:1/nothing"


def notes(*actions: str) -> list[tuple[str, str, str | None, dict[str, Any]]]:
    """Actor, action, subject and facts of what is on record, in order."""
    with Session() as session:
        entries = session.scalars(select(AuditEntry).order_by(AuditEntry.id)).all()
    return [(each.actor, each.action, each.subject, each.facts) for each in entries if each.action in actions]


@pytest.fixture
def user(app: Flask) -> str:
    """The owner word of somebody whose things are looked at."""
    return owners.of_user(a_user())


@pytest.fixture
def someone(app: Flask) -> tuple[str, Headers]:
    """An operator with an account: owner word, and headers."""
    user_id = a_user(role=Role.OPERATOR)
    return owners.of_user(user_id), signed_in(user_id)


def test_an_operators_look_at_anothers_job_is_on_record(
    client: FlaskClient, user: str, someone: tuple[str, Headers]
) -> None:
    """By whom, at what, in which request; a page that polls is one look."""
    actor, headers = someone
    job_id = a_job(owner=user)

    for _ in range(3):
        assert client.get(f"/api/jobs/{job_id}", headers={**headers, "X-Request-Id": "r-1"}).status_code == 200

    assert notes("read_other") == [(actor, "read_other", f"job:{job_id}", {"owner": user})]
    with Session() as session:
        assert session.scalars(select(AuditEntry.request_id)).all() == ["r-1"]


def test_a_look_through_the_dead_letters_is_on_record(client: FlaskClient, someone: tuple[str, Headers]) -> None:
    """They are many people's; a page that polls is one look."""
    actor, headers = someone

    for _ in range(2):
        assert client.get("/api/dead-letters", headers=headers).status_code == 200

    assert notes("dead_letters_listed") == [(actor, "dead_letters_listed", None, {})]


@pytest.mark.parametrize(
    "path",
    [
        *("/api/jobs/{job}", "/api/jobs/{job}/events", "/api/dead-letters/{job}"),
        *("/api/batches/{batch}", "/api/batches/{batch}/results"),
    ],
)
@pytest.mark.parametrize("whose", ["user", "guest"])
def test_every_way_to_look_is_on_record(
    client: FlaskClient, user: str, operator: Headers, path: str, whose: str
) -> None:
    """Whatever shows something of somebody else's, a guest included; also to whoever has ADMIN_TOKEN."""
    owner = user if whose == "user" else "guest:a"
    job_id, batch_id = a_job(owner=owner, status=JobStatus.FAILED), a_batch(owner)

    client.get(path.format(job=job_id, batch=batch_id), headers=operator).close()

    subject = f"job:{job_id}" if "{job}" in path else f"batch:{batch_id}"
    assert notes("read_other") == [("operator", "read_other", subject, {"owner": owner})]


def test_after_a_minute_a_look_is_a_new_one(client: FlaskClient, app: Flask, user: str, operator: Headers) -> None:
    """Moved in time, not waited for."""
    job_id = a_job(owner=user)
    client.get(f"/api/jobs/{job_id}", headers=operator)
    app.extensions["parley"]["lately"]._until = 0.0

    client.get(f"/api/jobs/{job_id}", headers=operator)

    assert len(notes("read_other")) == 2


def test_what_is_ones_own_or_open_to_all_is_not_on_record(
    client: FlaskClient, user: str, someone: tuple[str, Headers]
) -> None:
    """An operator's own job, with an ordinary key too; a user's own; a guest's, read by whoever knows the id."""
    actor, headers = someone
    key = bearer(a_key(actor.removeprefix("user:"), Scope.JOBS_READ))
    own, users, guests = a_job(owner=actor), a_job(owner=user), a_job(owner="guest:a")

    for job_id, sent in ((own, headers), (own, key), (guests, key), (guests, {}), (users, signed_in(user[5:]))):
        assert client.get(f"/api/jobs/{job_id}", headers=sent).status_code == 200

    assert notes("read_other", "access_refused") == []


def test_what_an_operator_does_to_anothers_is_on_record_each_time(
    client: FlaskClient, user: str, someone: tuple[str, Headers]
) -> None:
    """Cancelling, and trying again what failed."""
    actor, headers = someone
    job_id, own, batch_id = a_job(owner=user), a_job(owner=actor), a_batch(user)

    client.delete(f"/api/jobs/{job_id}", headers=headers)
    client.delete(f"/api/jobs/{own}", headers=headers)
    client.post(f"/api/batches/{batch_id}/retry-failed", headers=headers)
    client.delete(f"/api/batches/{batch_id}", headers=headers)

    assert notes("cancel_other", "retry_other") == [
        (actor, "cancel_other", f"job:{job_id}", {"owner": user}),
        (actor, "retry_other", f"batch:{batch_id}", {"owner": user}),
        (actor, "cancel_other", f"batch:{batch_id}", {"owner": user}),
    ]
    assert the_job(job_id).status is JobStatus.CANCELLED


def test_what_cannot_be_put_on_record_is_not_done(
    client: FlaskClient, user: str, operator: Headers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One transaction: the cancel goes with its note."""
    job_id = a_job(owner=user)

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError

    monkeypatch.setattr("models.audit.note", fail)

    looked, cancelled = (client.open(f"/api/jobs/{job_id}", method=m, headers=operator) for m in ("GET", "DELETE"))

    assert [looked.status_code, cancelled.status_code] == [500, 500]
    assert the_job(job_id).status is JobStatus.CREATED
    monkeypatch.undo()
    client.get(f"/api/jobs/{job_id}", headers=operator)
    assert len(notes("read_other")) == 1  # the look that failed was not taken for one that is noted


def test_what_operators_do_to_dead_letters_is_on_record(client: FlaskClient, user: str, operator: Headers) -> None:
    """One by one by name, many at once by number."""
    first, second, *_ = [a_job(owner=user, status=JobStatus.FAILED) for _ in range(5)]

    client.post(f"/api/dead-letters/{first}/redrive", headers=operator)
    client.post(f"/api/dead-letters/{second}/discard", headers=operator)
    client.post("/api/dead-letters/redrive", json={"most": 2}, headers=operator)
    client.post("/api/dead-letters/discard", json={}, headers=operator)

    assert [
        (action, subject, facts)
        for _, action, subject, facts in notes(
            "dead_letter_redriven", "dead_letter_discarded", "dead_letters_redriven", "dead_letters_discarded"
        )
    ] == [
        ("dead_letter_redriven", f"job:{first}", {}),
        ("dead_letter_discarded", f"job:{second}", {}),
        ("dead_letters_redriven", None, {"jobs": 2}),
        ("dead_letters_discarded", None, {"jobs": 1}),
    ]


def test_refused_access_is_on_record_once_and_in_the_log_each_time(client: FlaskClient, user: str) -> None:
    """A bad credential by its address, a role or scope by its user; a scanner fills no disk."""
    headers = signed_in(user.removeprefix("user:"))

    with capture_logs() as lines:
        for _ in range(3):
            client.get("/api/jobs", headers=bearer("no-token-of-ours"))
            client.get("/api/dead-letters", headers=headers)
        client.get("/api/invariants", headers=headers)

    assert notes("access_refused") == [
        ("address:127.0.0.1", "access_refused", None, {"code": "invalid_token", "route": "own-jobs.list_jobs"}),
        (user, "access_refused", None, {"code": "forbidden", "route": "dead-letters.list_dead_letters"}),
        (user, "access_refused", None, {"code": "forbidden", "route": "invariants.check_invariants"}),
    ]
    assert [line["route"] for line in lines if line["event"] == "access_refused"] == [
        *["own-jobs.list_jobs", "dead-letters.list_dead_letters"] * 3,
        "invariants.check_invariants",
    ]
    assert "no-token-of-ours" not in str(lines)


def test_a_try_at_anothers_thing_is_on_record_and_a_typing_error_is_not(client: FlaskClient, user: str) -> None:
    """The answer does not tell them apart; the log does. Whoever says nothing of himself has tried nothing."""
    job_id, batch_id = a_job(owner=user), a_batch(user)

    for path in (f"jobs/{job_id}", f"jobs/{job_id}/events", f"batches/{batch_id}", "jobs/" + "0" * 8, "dead-letters"):
        assert client.get(f"/api/{path}").status_code in (401, 404)

    assert [(subject, facts) for _, _, subject, facts in notes("access_refused")] == [
        (f"job:{job_id}", {"code": "job_not_found", "route": "jobs.show_job"}),
        (f"job:{job_id}", {"code": "job_not_found", "route": "events.watch_job"}),
        (f"batch:{batch_id}", {"code": "batch_not_found", "route": "batches.show_batch"}),
    ]


def test_many_callers_who_are_refused_fill_no_disk(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each address is one actor, and whoever attacks has many of them; in all there are so many rows a minute."""
    monkeypatch.setattr(trail, "MOST_A_MINUTE", 5)

    for number in range(20):
        client.get("/api/jobs", headers=bearer("x"), environ_overrides={"REMOTE_ADDR": f"192.0.2.{number}"})

    assert len(notes("access_refused")) == 5


def test_what_is_remembered_of_notes_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forgetting makes a row too many, never one too few."""
    monkeypatch.setattr(oversight, "MOST_REMEMBERED", 3)
    lately = Lately()

    for number in range(10):
        assert not lately.knows("a", str(number))
        lately.keep("a", str(number))
        assert lately.knows("a", str(number)) or len(lately._noted) == 0

    assert len(lately._noted) <= 3


def test_a_refusal_stands_where_it_cannot_be_written_down(make_app: Callable[..., Flask]) -> None:
    """No database: who is refused without it is refused with 401, not 503."""
    client = make_app(database_url=BROKEN).test_client()

    with capture_logs() as lines:
        response = client.get("/api/jobs", headers=bearer("x"))

    assert (response.status_code, response.get_json()["code"]) == (401, "invalid_token")
    assert [line["event"] for line in lines] == ["access_refused", "database_unavailable"]


def test_the_owner_of_a_dead_letter_is_shown(client: FlaskClient, user: str, operator: Headers) -> None:
    """In the list and alone: whoever sees to it has to know whom it concerns."""
    job_id = a_job(owner=user, status=JobStatus.FAILED)

    listed = client.get("/api/dead-letters", headers=operator).get_json()["items"]

    assert [item["owner"] for item in listed] == [user]
    assert client.get(f"/api/dead-letters/{job_id}", headers=operator).get_json()["owner"] == user
