"""What was revoked is of no use soon after, whatever it has begun."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from api.callers import Callers
from api.waiters import Waiters
from models import jobs, owners, prepared, principals
from models.api_keys import Scope
from models.base import Session
from models.owners import ANYONE
from models.prepared import Statement, run
from models.states import JobStatus
from models.users import Role
from tests.factories import a_batch, a_job, a_key, a_user, bearer, change, signed_in
from tests.system.stack import eventually

BOUND = 20.0
Headers = dict[str, str]


class Signed:
    """A user who is signed in, and what ends that."""

    def __init__(self, app: Flask, **columns: object) -> None:
        self.user_id, self.session_id = a_user(**columns), str(uuid.uuid4())
        self.owner, self.headers = owners.of_user(self.user_id), signed_in(self.user_id, id=self.session_id)
        self._callers: Callers = app.extensions["parley"]["callers"]

    def revoke(self) -> None:
        """Sign out, in another process."""
        sql("UPDATE sessions SET revoked_at = clock_timestamp() WHERE id = CAST(:id AS uuid)", id=self.session_id)

    def pass_time(self) -> None:
        """Have what this process remembers become too old."""
        remembered = self._callers._remembered
        remembered.update({credential: (0.0, caller) for credential, (_, caller) in remembered.items()})


@pytest.fixture
def me(app: Flask) -> Signed:
    """Somebody."""
    return Signed(app)


def sql(statement: str, **parameters: object) -> None:
    with Session.begin() as session:
        session.execute(text(statement), parameters)


def test_half_a_minute_after_it_was_revoked_a_token_is_refused(client: FlaskClient, me: Signed) -> None:
    """A process may not know of it for ten seconds; then it asks."""
    job_id = a_job(owner=me.owner)
    answers = [client.get(f"/api/jobs/{job_id}", headers=me.headers).status_code]
    me.revoke()
    answers.append(client.get(f"/api/jobs/{job_id}", headers=me.headers).status_code)
    me.pass_time()
    answers.append(client.get(f"/api/jobs/{job_id}", headers=me.headers).status_code)

    assert answers == [200, 200, 401]
    assert principals.KEPT_SECONDS <= 30 - 15  # and a stream that is silent asks every 15 s


def test_a_poll_asks_once_for_its_job_and_not_again_who_sends_it(
    client: FlaskClient, me: Signed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The route that is polled costs one statement, with a token too."""
    job_id = a_job(owner=me.owner, status=JobStatus.COMPLETED)
    client.get(f"/api/jobs/{job_id}", headers=me.headers)
    statements: list[str] = []

    def spy(cursor: Any, statement: Statement, parameters: Any, **rest: Any) -> None:
        statements.append(statement.plain)
        run(cursor, statement, parameters, **rest)

    monkeypatch.setattr(prepared, "run", spy)

    client.get(f"/api/jobs/{job_id}", headers=me.headers)

    assert len(statements) == 1


@pytest.mark.parametrize(
    "end",
    [
        "UPDATE api_keys SET revoked_at = clock_timestamp()",
        "UPDATE api_keys SET expires_at = clock_timestamp()",
        "UPDATE users SET deleted_at = clock_timestamp(), username = NULL WHERE NOT is_ai",
    ],
)
def test_a_key_that_was_revoked_or_expired_or_lost_its_user_is_refused(
    client: FlaskClient, me: Signed, end: str
) -> None:
    """Whichever of its columns says so."""
    headers = bearer(a_key(me.user_id, Scope.JOBS_READ))
    first = client.get("/api/jobs", headers=headers).status_code
    sql(end)
    me.pass_time()

    assert [first, client.get("/api/jobs", headers=headers).status_code] == [200, 401]


def test_an_operator_who_is_none_any_more_sees_only_his_own(app: Flask, client: FlaskClient) -> None:
    """A role is looked up with the rest."""
    operator = Signed(app, role=Role.OPERATOR)
    job_id = a_job(owner=owners.of_user(a_user()))
    first = client.get(f"/api/jobs/{job_id}", headers=operator.headers).status_code
    sql("UPDATE users SET role = 'user' WHERE NOT is_ai")
    operator.pass_time()

    assert [first, client.get(f"/api/jobs/{job_id}", headers=operator.headers).status_code] == [200, 404]


def waits_for_more(app: Flask, job_id: str) -> bool:
    """Whether a request has seen this job and waits. What it sees first it may answer: it has only just been let in."""
    waiters: Waiters = app.extensions["parley"]["waiters"]
    return any(waiter.seen for waiter in list(waiters._parked.get(job_id, ())))


def finish(job_id: str) -> None:
    """Have something to say about the job."""
    with Session.begin() as session:
        jobs.cancel(session, job_id, reader=ANYONE)


def test_who_waits_for_an_answer_does_not_get_it_if_meanwhile_signed_out(app: Flask, me: Signed) -> None:
    """A long poll may wait for a minute; it ends with the 401 that a new request would get."""
    job_id = a_job(owner=me.owner)
    headers = {**me.headers, "Prefer": "wait=50"}

    with ThreadPoolExecutor(1) as threads:
        answer = threads.submit(app.test_client().get, f"/api/jobs/{job_id}", headers=headers)
        eventually(lambda: waits_for_more(app, job_id))
        me.revoke()
        me.pass_time()
        finish(job_id)
        response = answer.result(BOUND)

    assert (response.status_code, response.get_json()["code"]) == (401, "invalid_token")


def test_a_stream_ends_where_its_caller_is_signed_out(app: Flask, me: Signed) -> None:
    """Before the next event, and without it. Whoever comes back is told why."""
    job_id = a_job(owner=me.owner)

    assert events_after(app, me, job_id, [me.revoke, me.pass_time]) == ""
    assert app.test_client().get(f"/api/jobs/{job_id}/events", headers=me.headers).status_code == 401


def test_a_stream_ends_where_its_job_becomes_anothers(app: Flask, me: Signed) -> None:
    """As a guest's does when the guest registers."""
    job_id = a_job(owner="guest:a")

    assert events_after(app, me, job_id, [lambda: change(job_id, owner="user:another")]) == ""
    assert app.test_client().get(f"/api/jobs/{job_id}/events", headers=me.headers).status_code == 404


def test_a_stream_goes_on_for_whoever_may_see_it(app: Flask, me: Signed) -> None:
    """The same without an end of anything."""
    assert '"cancelled"' in events_after(app, me, a_job(owner=me.owner), [me.pass_time])


def events_after(app: Flask, me: Signed, job_id: str, happenings: list[Callable[[], None]]) -> str:
    """What is sent after these, and after the job has moved."""
    response = app.test_client().get(f"/api/jobs/{job_id}/events", headers=me.headers)
    stream: Iterator[bytes] = iter(response.response)  # type: ignore[arg-type]
    first = b""
    while b"event: status" not in first:
        first += next(stream)
    for happen in happenings:
        happen()
    finish(job_id)
    rest = b"".join(stream).decode()
    response.close()
    return rest


def test_results_end_where_their_reader_is_signed_out(app: Flask, client: FlaskClient, me: Signed) -> None:
    """An answer that stays open for lines to come asks before each page."""
    batch_id = a_batch(me.owner, "One", "Two")
    with Session() as session:
        first, second = session.scalars(text("SELECT id::text FROM jobs ORDER BY batch_position"))
    finish(first)
    response = client.get(f"/api/batches/{batch_id}/results?wait=50", headers=me.headers)
    lines: Iterator[bytes] = iter(response.response)  # type: ignore[arg-type]

    assert json.loads(next(lines))["jobId"] == first
    me.revoke()
    me.pass_time()
    finish(second)

    assert b"".join(lines) == b""
    response.close()
