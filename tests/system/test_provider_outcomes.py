"""Every way the model can answer: how often it is asked, how the job ends, and that no call outlives its time.

The jobs run all at once, because most of them wait.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import pytest

from tests.factories import now
from tests.fake_llm import FakeLLM
from tests.system.outages import report
from tests.system.stack import Stack

pytestmark = pytest.mark.xdist_group("restarts")
CALL_SECONDS = 2
SLOTS = 60
SETTINGS = {
    "MAX_ATTEMPTS": "3",
    "LLM_TOTAL_SECONDS": str(CALL_SECONDS),
    "LLM_MAX_RESPONSE_BYTES": "65536",
    "WORKER_SLOTS": str(SLOTS),
    "LEASE_SECONDS": "15",
    "BREAKER_CALLS": "0",
}


@dataclass(frozen=True)
class Ends:
    """How a job ends: its attempts in a row, and why it failed."""

    attempts: tuple[str, ...]
    code: str | None = None
    truncated: bool = False

    @property
    def status(self) -> str:
        """Of the job."""
        return "completed" if self.attempts[-1] == "completed" else "failed"


ANSWERED = Ends(("completed",))
TRUNCATED = Ends(("completed",), truncated=True)


def tried_in_vain(code: str) -> Ends:
    return Ends(("retried", "retried", "failed"), code)


def failed_at_once(code: str) -> Ends:
    return Ends(("failed",), code)


OUTCOMES = {
    "": ANSWERED,
    "[[stream=0]]": ANSWERED,
    "[[usage=0]]": ANSWERED,
    "[[done=0]]": ANSWERED,
    "[[finish=length]]": TRUNCATED,
    "[[endless=text]]": TRUNCATED,
    "[[fail=1]]": Ends(("retried", "completed")),
    "[[fail=2]] [[status=503]]": Ends(("retried", "retried", "completed")),
    "[[fail=2]] [[status=429]]": Ends(("snoozed", "snoozed", "completed")),
    "[[fail=4]] [[status=429]] [[retry-after-ms=10]]": Ends(("snoozed",) * 4 + ("completed",)),
    "[[status=500]]": tried_in_vain("provider_unavailable"),
    "[[status=502]]": tried_in_vain("provider_unavailable"),
    "[[status=504]] [[body=html]]": tried_in_vain("provider_unavailable"),
    "[[status=529]]": tried_in_vain("provider_unavailable"),
    "[[status=408]]": tried_in_vain("provider_unavailable"),
    "[[status=409]]": tried_in_vain("provider_unavailable"),
    "[[status=425]]": tried_in_vain("provider_unavailable"),
    "[[error-event=server_error]]": tried_in_vain("provider_unavailable"),
    "[[status=302]]": tried_in_vain("provider_garbage"),
    "[[cut=rst]]": tried_in_vain("provider_cut"),
    "[[cut=fin]]": tried_in_vain("provider_cut"),
    "[[finish=none]]": tried_in_vain("provider_cut"),
    "[[text=]]": tried_in_vain("empty_response"),
    "[[hang=before]]": tried_in_vain("provider_timeout"),
    "[[hang=after]]": tried_in_vain("provider_timeout"),
    "[[drip=200]]": tried_in_vain("provider_timeout"),
    "[[drip=200]] [[hang=before]]": tried_in_vain("provider_timeout"),
    "[[endless=empty]]": tried_in_vain("provider_garbage"),
    "[[endless=noise]]": tried_in_vain("provider_garbage"),
    "[[status=400]]": failed_at_once("provider_rejected"),
    "[[status=404]]": failed_at_once("provider_rejected"),
    "[[status=413]]": failed_at_once("provider_rejected"),
    "[[status=422]]": failed_at_once("provider_rejected"),
    "[[status=401]]": failed_at_once("provider_auth"),
    "[[status=403]]": failed_at_once("provider_auth"),
    "[[status=402]]": failed_at_once("provider_quota"),
    "[[status=429]] [[code=insufficient_quota]]": failed_at_once("provider_quota"),
    "[[error-event=insufficient_quota]]": failed_at_once("provider_quota"),
    "[[status=400]] [[code=content_filter]]": failed_at_once("content_filtered"),
    "[[finish=content_filter]]": failed_at_once("content_filtered"),
    "[[error-event=content_filter]]": failed_at_once("content_filtered"),
}


@pytest.fixture(scope="module")
def jobs(stack: Stack) -> dict[str, str]:
    """A job's id for each way of answering."""
    return {way: stack.create(f"{way} Well?") for way in OUTCOMES}


@pytest.mark.parametrize("way", OUTCOMES)
def test_each_way_of_answering_has_its_number_of_calls_and_its_end(
    stack: Stack, llm: FakeLLM, jobs: dict[str, str], way: str
) -> None:
    """Not one call more than the attempts on record; each attempt over a second after its time at the latest."""
    job, expected = stack.finished(jobs[way]), OUTCOMES[way]

    lasted = "SELECT max(extract(epoch FROM finished_at - started_at))::float8 AS s FROM attempts WHERE job_id = %s"
    longest = stack.sql(lasted, jobs[way])[0]["s"]
    report(f"R15: {way or 'a good answer'}", status=job["status"], calls=len(job["attempts"]), longest=longest)
    assert (job["status"], job["truncated"] or False) == (expected.status, expected.truncated)
    assert tuple(attempt["outcome"] for attempt in job["attempts"]) == expected.attempts
    assert (job["error"] or {}).get("code") == expected.code
    assert job["failures"] == len([each for each in expected.attempts if each in ("retried", "failed")])
    assert llm.stats()["per_message"][f"{way} Well?"] == len(expected.attempts)
    assert longest < CALL_SECONDS + 1


def test_a_deadline_ends_a_call_that_hangs(stack: Stack) -> None:
    """The second call is broken by the job's deadline, before its own time is up."""
    status, body = stack.request("POST", "/api/jobs", {"message": "[[hang=before]] Late", "deadlineSeconds": 3})
    assert status == 201
    job = stack.finished(body["jobId"])

    assert [attempt["outcome"] for attempt in job["attempts"]] == ["retried", "failed"]
    assert job["error"]["code"] == "deadline_exceeded"
    late = "SELECT extract(epoch FROM finished_at - deadline_at) AS s FROM jobs WHERE id = %s"
    assert stack.sql(late, body["jobId"])[0]["s"] < 1


def test_all_slots_are_free_afterwards(stack: Stack, llm: FakeLLM, jobs: dict[str, str]) -> None:
    """As many calls run at once as there are slots; one that leaked would be missing."""
    for job_id in jobs.values():
        stack.finished(job_id)
    llm.reset()
    # All at one moment, however long it takes to create them.
    order = {"message": "[[latency-ms=1500]] Fill", "runAt": (now() + dt.timedelta(seconds=5)).isoformat()}
    ids = [stack.request("POST", "/api/jobs", order)[1]["jobId"] for _ in range(2 * SLOTS)]

    for job_id in ids:
        assert stack.finished(job_id)["status"] == "completed"

    assert llm.stats()["peak"] == SLOTS
