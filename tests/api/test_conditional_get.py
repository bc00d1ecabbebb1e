"""ETags of jobs, and a GET that waits."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask.testing import FlaskClient

from api.app import create_app
from models import dead_letters, jobs, silences
from models.base import Session
from models.owners import ANYONE
from models.settings import Settings
from models.states import JobStatus
from tests.factories import WORKER, a_job, ask, claim, create


def etag(client: FlaskClient, job_id: str) -> str:
    return client.get(f"/api/jobs/{job_id}").headers["ETag"]


def claim_again(job_id: str) -> None:
    assert claim(job_id, expected=1) is not None


def begin(job_id: str) -> None:
    claimed = claim(job_id)
    assert claimed is not None
    assert ask(claimed)


def cancel(job_id: str) -> None:
    with Session.begin() as session:
        jobs.cancel(session, job_id, reader=ANYONE)


def redrive(job_id: str) -> None:
    with Session.begin() as session:
        dead_letters.redrive(session, job_id)


def note(job_id: str) -> None:
    with Session.begin() as session:
        silences.note(session, {(job_id, 1): silences.STILL_WORKING}, worker=WORKER)


@pytest.mark.parametrize(
    ("status", "changes"),
    [
        (JobStatus.CREATED, begin),
        (JobStatus.CREATED, cancel),
        (JobStatus.RETRYING, claim_again),
        (JobStatus.ANALYZING, note),
        (JobStatus.FAILED, redrive),
    ],
)
def test_an_etag_holds_until_something_changes(
    client: FlaskClient, status: JobStatus, changes: Callable[[str], None]
) -> None:
    """Two GETs have the same; after any change it is another."""
    job_id = a_job(status=status) if status is not JobStatus.CREATED else create()
    before = etag(client, job_id)
    again = etag(client, job_id)

    changes(job_id)

    assert before == again
    assert etag(client, job_id) != before


def test_who_knows_the_job_as_it_stands_gets_304(client: FlaskClient) -> None:
    """No body, and still told when to come back; with another tag, or none that can be read, the job."""
    job_id = create()
    tag = etag(client, job_id)

    same = [client.get(f"/api/jobs/{job_id}", headers={"If-None-Match": each}) for each in (tag, f'"x", {tag}', "*")]
    other = [client.get(f"/api/jobs/{job_id}", headers={"If-None-Match": each}) for each in ('W/"x"', "nonsense", "")]

    assert [answer.status_code for answer in same] == [304] * 3
    assert {(answer.data, answer.headers["ETag"], answer.headers["Retry-After"]) for answer in same} == {
        (b"", tag, "1")
    }
    assert [answer.status_code for answer in other] == [200] * 3


def test_a_wait_ends_with_the_job_as_it_stands(client: FlaskClient) -> None:
    """Nobody works here, so the second passes."""
    answer = client.get(f"/api/jobs/{create()}", headers={"Prefer": "wait=1"})

    assert (answer.status_code, answer.get_json()["status"]) == (200, "created")
    assert answer.headers["Preference-Applied"] == "wait=1"


def test_more_than_a_minute_counts_as_a_minute(client: FlaskClient) -> None:
    """And the answer says so."""
    answer = client.get(f"/api/jobs/{a_job(status=JobStatus.COMPLETED)}", headers={"Prefer": "wait=3600"})

    assert answer.headers["Preference-Applied"] == "wait=60"


@pytest.mark.parametrize("prefer", ["wait=0", "wait=soon", "respond-async"])
def test_without_a_wait_nothing_is_said_of_one(client: FlaskClient, prefer: str) -> None:
    """What was ignored was not applied."""
    answer = client.get(f"/api/jobs/{create()}", headers={"Prefer": prefer})

    assert (answer.status_code, "Preference-Applied" in answer.headers) == (200, False)


def test_a_wait_for_a_change_that_has_happened_is_over_at_once(client: FlaskClient) -> None:
    """Also if the job is far from finished."""
    job_id = create()
    tag = etag(client, job_id)
    begin(job_id)

    answer = client.get(f"/api/jobs/{job_id}", headers={"Prefer": "wait=60", "If-None-Match": tag})

    assert (answer.status_code, answer.get_json()["status"]) == (200, "analyzing")


@pytest.mark.parametrize("job_id", ["00000000-0000-4000-8000-000000000000", "nonsense"])
def test_nobody_waits_for_what_is_not_there(client: FlaskClient, job_id: str) -> None:
    """404 at once."""
    answer = client.get(f"/api/jobs/{job_id}", headers={"Prefer": "wait=60"})

    assert (answer.status_code, answer.get_json()["code"]) == (404, "job_not_found")


def test_a_process_that_stops_lets_nobody_wait(db: Settings) -> None:
    """It would only have to be woken again."""
    client = create_app(db, stopping=lambda: True).test_client()

    answer = client.get(f"/api/jobs/{create()}", headers={"Prefer": "wait=60"})

    assert (answer.status_code, "Preference-Applied" in answer.headers) == (200, False)
