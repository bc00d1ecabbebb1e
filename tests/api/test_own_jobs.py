"""The list of one's own jobs."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text

from api.callers import GUEST_COOKIE
from api.own_job_schemas import OwnJobsPageSchema
from models import own_jobs, owners
from models.base import Session
from models.jobs import JobType
from models.own_jobs import Filter
from models.states import JobStatus
from tests.factories import a_batch, a_guest, a_job, a_user, now, signed_in

Headers = dict[str, str]


@pytest.fixture
def user(app: Flask) -> tuple[str, Headers]:
    """An owner word, and headers."""
    user_id = a_user()
    return owners.of_user(user_id), signed_in(user_id)


def listed(client: FlaskClient, headers: Headers, **query: Any) -> list[str]:
    """Ids of one page."""
    page = client.get("/api/jobs", query_string=query, headers=headers).get_json()
    return [item["jobId"] for item in page["items"]]


def walked(client: FlaskClient, headers: Headers, **query: Any) -> list[list[str]]:
    """Ids of every page."""
    pages = []
    cursor: dict[str, str] | None = {}
    while cursor is not None:
        page = client.get("/api/jobs", query_string={**query, **cursor}, headers=headers).get_json()
        pages.append([item["jobId"] for item in page["items"]])
        cursor = {"cursor": page["nextCursor"]} if page["nextCursor"] else None
    return pages


def test_the_list_has_ones_own_jobs_only_the_latest_first(client: FlaskClient, user: tuple[str, Headers]) -> None:
    """Neither another user's nor a guest's, although their ids would open the latter."""
    owner, headers = user
    old, new = (a_job(owner=owner, created_at=now() - dt.timedelta(minutes=age)) for age in (2, 1))
    for other in (owners.of_user(a_user()), "guest:a", "address:127.0.0.1", "operator", owner + "0"):
        a_job(owner=other)

    assert listed(client, headers) == [new, old]


def test_a_job_is_listed_in_brief(client: FlaskClient, user: tuple[str, Headers]) -> None:
    """Without what was written; by the documented schema, to the letter."""
    owner, headers = user
    a_batch(owner)
    a_job(owner=owner, status=JobStatus.FAILED, model="some-model")

    page = client.get("/api/jobs", headers=headers).get_json()

    assert OwnJobsPageSchema().validate(page) == {}
    failed, waiting = page["items"]
    assert failed == {
        "jobId": failed["jobId"],
        "status": "failed",
        "type": "chat",
        **{name: failed[name] for name in ("createdAt", "updatedAt", "finishedAt")},
        "batchId": None,
        "error": {"code": "provider_rejected", "message": "The model refused."},
        "model": "some-model",
    }
    assert (waiting["status"], waiting["finishedAt"], waiting["error"]) == ("created", None, None)
    assert waiting["batchId"] is not None


def test_pages_have_every_job_once_even_where_times_are_equal(client: FlaskClient, user: tuple[str, Headers]) -> None:
    """The prompts of a batch all come at one time."""
    owner, headers = user
    moment = now()
    ids = [a_job(owner=owner, created_at=moment - dt.timedelta(minutes=number // 3)) for number in range(7)]

    pages = walked(client, headers, limit=2)

    assert [len(page) for page in pages] == [2, 2, 2, 1]
    assert {job_id for page in pages for job_id in page} == set(ids)


def test_a_list_can_be_filtered(client: FlaskClient, user: tuple[str, Headers]) -> None:
    """Every filter, by its name on the wire; from a time on, and before another."""
    owner, headers = user
    moment = now().replace(microsecond=0)
    fits = {"owner": owner, "status": JobStatus.FAILED, "type": JobType.SUMMARIZE}
    wanted = [a_job(**fits, created_at=moment - dt.timedelta(minutes=age)) for age in (2, 3, 4)]
    for other in ({"status": JobStatus.COMPLETED}, {"type": JobType.CHAT}):
        a_job(**{**fits, **other}, created_at=moment - dt.timedelta(minutes=3))
    for age in (1, 5):
        a_job(**fits, created_at=moment - dt.timedelta(minutes=age))
    times = {"createdAfter": moment - dt.timedelta(minutes=4), "createdBefore": moment - dt.timedelta(minutes=1)}
    query = {name: at.isoformat() for name, at in times.items()} | {"status": "failed", "type": "summarize"}

    assert walked(client, headers, **query, limit=2) == [wanted[:2], wanted[2:]]


def test_a_filter_that_hardly_any_job_passes_makes_short_pages(
    client: FlaskClient, user: tuple[str, Headers], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page looks at so many jobs and no more; whoever goes on finds the few that there are."""
    monkeypatch.setattr(own_jobs, "LOOKED_AT", 3)
    owner, headers = user
    moment = now()
    ages = {age: JobStatus.FAILED if age in (4, 8) else JobStatus.COMPLETED for age in range(9)}
    ids = [a_job(owner=owner, status=s, created_at=moment - dt.timedelta(minutes=a)) for a, s in ages.items()]

    pages = walked(client, headers, status="failed", limit=2)

    assert pages == [[], [ids[4]], [ids[8]], []]


def test_a_guest_with_a_cookie_has_a_list_and_an_address_has_none(app: Flask) -> None:
    """Many may call from one address, and what one of them asked is no other's to list."""
    guest, nobody = app.test_client(), app.test_client()
    guest.set_cookie(GUEST_COOKIE, a_guest()[0], path="/api")
    made = guest.post("/api/jobs", json={"message": "Mine"}).get_json()["jobId"]
    nobody.post("/api/jobs", json={"message": "Ours"})

    refused = nobody.get("/api/jobs")

    assert listed(guest, {}) == [made]
    assert (refused.status_code, refused.get_json()["code"]) == (401, "no_token")
    assert refused.get_json()["error"] == "No token"


@pytest.mark.parametrize(
    "query",
    [
        *("limit=0", "limit=101", "limit=x", "cursor=nonsense", "cursor=%00", "colour=1", "owner=user:1"),
        *("status=", "status=done", "type=poem", "createdAfter=yesterday", "createdBefore=2030-01-31T08:00:00"),
    ],
)
def test_a_bad_query_is_refused(client: FlaskClient, user: tuple[str, Headers], query: str) -> None:
    """With a pointer at the parameter."""
    response = client.get(f"/api/jobs?{query}", headers=user[1])

    assert (response.status_code, response.get_json()["code"]) == (422, "validation_failed")
    assert response.get_json()["errors"][0]["pointer"] == "/" + query.split("=", maxsplit=1)[0]


@pytest.mark.parametrize("position", [{}, {"at": now(), "id": str(uuid.uuid4())}])
@pytest.mark.parametrize(
    "which",
    [Filter(), Filter(status=JobStatus.FAILED), Filter(type=JobType.CHAT, created_after=now(), created_before=now())],
)
def test_the_list_reads_the_index_of_owners(db: object, which: Filter, position: dict[str, Any]) -> None:
    """In its order, from where the page begins: with others' jobs it has nothing to do."""
    for number in range(60):
        a_job(owner=f"user:{number % 6}")
    given = {**vars(which), "at": None, "id": None, **position, "owner": "user:1", "most": 51, "limit": 51}
    with Session() as session:
        session.execute(text("ANALYZE jobs; SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off"))
        plan = list(session.scalars(text(f"EXPLAIN {own_jobs._PAGE.text}"), given))

    scan = next(place for place, line in enumerate(plan) if "Index Scan Backward using ix_jobs_owner on jobs" in line)
    assert "owner = 'user:1'::text" in plan[scan + 1]
    assert ("ROW(created_at, id) < ROW(" in plan[scan + 1]) == bool(position)
    assert "Sort" not in "".join(plan[scan - 1 : scan + 1])
