"""From POST to completed, and every way the model can spoil it, on real processes."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.conftest import ROOT
from tests.fake_llm import FakeLLM
from tests.system.stack import FINISHED, OPERATOR, Stack, eventually

pytestmark = pytest.mark.xdist_group("system")


def test_a_poller_sees_created_then_analyzing_then_completed(stack: Stack) -> None:
    """The way of a job, in order, and the time of each step on record."""
    job_id = stack.create("[[latency-ms=300]] Hello")
    seen: list[str] = []
    while not seen or seen[-1] not in FINISHED:
        job = stack.job(job_id)
        seen += [job["status"]] if job["status"] not in seen[-1:] else []
        time.sleep(0.02)

    assert [status for status in seen if status != "processing"] == ["created", "analyzing", "completed"]
    assert job["result"].startswith("Echo:")
    assert (job["attempt"], job["failures"], job["model"]) == (1, 0, "fake-model")
    assert job["usage"]["totalTokens"] == job["usage"]["promptTokens"] + job["usage"]["completionTokens"] > 0
    attempt = job["attempts"][0]
    assert attempt["startedAt"] <= attempt["askedAt"] < attempt["finishedAt"]


def test_three_failures_then_success_is_completed_with_three_failures(stack: Stack, llm: FakeLLM) -> None:
    """Retried with back-off; every call is on record and none is made beyond need."""
    message = "[[fail=3]] Three times"
    job = stack.finished(stack.create(message))

    assert (job["status"], job["failures"], job["attempt"], job["error"]) == ("completed", 3, 4, None)
    assert [attempt["outcome"] for attempt in job["attempts"]] == ["retried"] * 3 + ["completed"]
    assert {attempt["errorCode"] for attempt in job["attempts"][:3]} == {"provider_unavailable"}
    assert llm.stats()["per_message"][message] == 4


@pytest.mark.parametrize(
    ("misbehaviour", "code"),
    [
        ("[[hang=before]]", "provider_timeout"),
        ("[[hang=after]]", "provider_timeout"),
        ("[[drip=200]]", "provider_timeout"),
        ("[[drip=200]] [[hang=before]]", "provider_timeout"),
        ("[[cut=rst]]", "provider_cut"),
        ("[[cut=fin]]", "provider_cut"),
        ("[[finish=none]]", "provider_cut"),
        ("[[text=]]", "empty_response"),
    ],
)
def test_a_call_that_never_ends_well_ends_within_the_total_deadline_and_is_tried_again(
    stack: Stack, misbehaviour: str, code: str
) -> None:
    """LLM_TOTAL_SECONDS is 2 here: each attempt has ended a second later at the latest."""
    job_id = stack.create(f"{misbehaviour} Well?")

    first = eventually(
        lambda: (tried := stack.job(job_id)["attempts"]) and tried[0]["finishedAt"] and tried[0], seconds=8
    )

    assert first
    assert (first["outcome"], first["errorCode"]) == ("retried", code)
    row = stack.sql(
        "SELECT extract(epoch FROM finished_at - started_at) AS s FROM attempts WHERE job_id = %s AND attempt = 1",
        job_id,
    )
    assert row[0]["s"] < 3
    stack.sql("UPDATE jobs SET deadline_at = now() WHERE id = %s", job_id)


@pytest.mark.parametrize(
    ("misbehaviour", "code"),
    [
        ("[[status=400]]", "provider_rejected"),
        ("[[status=401]]", "provider_auth"),
        ("[[finish=content_filter]]", "content_filtered"),
    ],
)
def test_a_permanent_error_fails_at_once(stack: Stack, llm: FakeLLM, misbehaviour: str, code: str) -> None:
    """Asking again would cost money and change nothing."""
    message = f"{misbehaviour} No"
    job = stack.finished(stack.create(message))

    assert (job["status"], job["error"]["code"], job["attempt"], job["failures"]) == ("failed", code, 1, 1)
    assert llm.stats()["per_message"][message] == 1


def test_throttling_is_waited_out_and_counts_no_failure(stack: Stack) -> None:
    """The next call comes no earlier than Retry-After."""
    job = stack.finished(stack.create("[[fail=1]] [[status=429]] [[retry-after=2]] Slowly"))

    assert (job["status"], job["failures"], job["attempts"][0]["outcome"]) == ("completed", 0, "snoozed")
    row = stack.sql(
        """SELECT extract(epoch FROM second.asked_at - first.finished_at) AS s FROM attempts first JOIN attempts second
           USING (job_id) WHERE job_id = %s AND first.attempt = 1 AND second.attempt = 2""",
        job["jobId"],
    )
    assert row[0]["s"] >= 2


def test_a_cut_reply_is_completed_and_marked(stack: Stack) -> None:
    """finish_reason length: a reply, but not the whole of it."""
    job = stack.finished(stack.create("[[finish=length]] Long"))

    assert (job["status"], job["truncated"]) == ("completed", True)


def test_what_failed_for_good_stands_in_the_dead_letters_and_redrive_completes_it(stack: Stack) -> None:
    """Five failures, then an operator, then the sixth call succeeds."""
    operator = {"Authorization": f"Bearer {OPERATOR}"}
    job = stack.finished(stack.create("[[fail=5]] Stubborn"))
    assert (job["status"], job["failures"], job["error"]["code"]) == ("failed", 5, "provider_unavailable")
    letters = stack.request("GET", "/api/dead-letters", **operator)[1]["items"]
    assert job["jobId"] in [letter["jobId"] for letter in letters]

    status, driven = stack.request("POST", f"/api/dead-letters/{job['jobId']}/redrive", **operator)
    again = stack.finished(job["jobId"])

    assert (status, driven["status"], driven["failures"]) == (200, "created", 0)
    assert (again["status"], again["attempt"], again["failures"], again["error"]) == ("completed", 6, 0, None)
    assert stack.request("GET", f"/api/dead-letters/{job['jobId']}", **operator)[0] == 404


def test_a_deadline_ends_a_job_whose_call_is_under_way(stack: Stack) -> None:
    """The worker breaks the call; the job fails with the deadline's code, not the provider's."""
    job_id = stack.create("[[fail=50]] [[status=429]] [[retry-after=1]] For ever")
    eventually(lambda: stack.job(job_id)["attempts"])
    stack.sql("UPDATE jobs SET deadline_at = now() + interval '1 second' WHERE id = %s", job_id)

    job = stack.finished(job_id, seconds=8)

    assert (job["status"], job["error"]["code"]) == ("failed", "deadline_exceeded")


def test_a_cancelled_job_has_its_call_broken_within_two_seconds(stack: Stack, llm: FakeLLM) -> None:
    """The watch finds that it is no longer ours and shuts the socket."""
    llm.reset()
    job_id = stack.create("[[latency-ms=1500]] [[chunks=50]] [[chunk-ms=1000]] Talk")
    eventually(lambda: stack.job(job_id)["status"] == "analyzing")
    status, cancelled = stack.request("DELETE", f"/api/jobs/{job_id}")

    eventually(lambda: llm.stats()["active"] == 0, seconds=2.5)

    assert (status, cancelled["status"], stack.job(job_id)["status"]) == (200, "cancelled", "cancelled")
    assert [attempt["outcome"] for attempt in stack.job(job_id)["attempts"]] == ["cancelled"]


def test_fifty_posts_at_once_with_one_key_are_one_job_and_one_call(stack: Stack, llm: FakeLLM) -> None:
    """Through real sockets and greenlets."""
    message = "Once only"

    def send(_: int) -> int:
        return stack.request("POST", "/api/jobs", {"message": message}, Idempotency_Key="the-one")[0]

    with ThreadPoolExecutor(50) as threads:
        answers = sorted(threads.map(send, range(50)))

    assert answers == [200] * 49 + [201]
    rows = stack.sql("SELECT id::text FROM jobs WHERE message = %s", message)
    assert len(rows) == 1
    stack.finished(rows[0]["id"])
    assert llm.stats()["per_message"][message] == 1


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b'15\r\n{"message": "chunks"}\r\n0\r\n\r\n', 201, None),
        (b'15\r\n{"message": "chunks"}\r\n61a80\r\n' + b" " * 400_000 + b"\r\n0\r\n\r\n", 413, "body_too_large"),
        (b"zz\r\n", 400, "malformed_body"),
        (b"-5\r\nhello\r\n0\r\n\r\n", 400, "malformed_body"),
    ],
)
def test_a_body_in_chunks_is_read_by_the_same_rules(stack: Stack, sent: bytes, status: int, code: str | None) -> None:
    """Its length is known only at its end; the limit holds all the same, and broken framing is no crash."""
    head = b"POST /api/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    with socket.create_connection(("127.0.0.1", stack.port), timeout=10) as connection:
        connection.sendall(head + sent)
        response = http.client.HTTPResponse(connection)
        response.begin()
        body = json.loads(response.read())

    assert (response.status, body.get("code")) == (status, code)


def test_a_body_of_twenty_megabytes_is_answered_and_not_reset(stack: Stack) -> None:
    """It is refused by its length, but read before the connection closes, so that the client can hear the answer."""
    status, problem = stack.request("POST", "/api/jobs", {"message": "x" * 20_000_000})

    assert (status, problem["code"]) == (413, "body_too_large")
    assert stack.is_ready()


def verify(**environment: str) -> tuple[int, dict[str, tuple[str, str]], str]:
    """Exit code, verdict and words of each look, and standard error. The standard library must be enough for it."""
    command = [sys.executable, "-I", "-S", str(ROOT / "scripts/verify.py")]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    lines = [line.split(maxsplit=4) for line in ran.stdout.splitlines() if not line.startswith("-")]
    return ran.returncode, {name: (verdict, " ".join(said)) for verdict, name, _, _, *said in lines}, ran.stderr


def test_a_product_that_works_is_told_so_and_one_that_does_not_too(stack: Stack, llm: FakeLLM) -> None:
    """With a key a message is tried, too, and its chat is gone afterwards."""
    url = f"http://127.0.0.1:{stack.port}"
    key, _ = stack.key("jobs:read", "jobs:write", "chats:read", "chats:write")

    code, looks, _ = verify(PARLEY_URL=url, PARLEY_API_KEY=key)

    assert (code, {name: verdict for name, (verdict, _) in looks.items()}) == (
        0,
        dict.fromkeys(("alive", "ready", "services", "job", "message"), "ok"),
    )
    assert looks["services"][1].startswith("database ok, redis ok, ai ok")
    assert looks["job"][1] == "answered by fake-model"
    assert stack.sql("SELECT 1 FROM chats") == []

    llm.script({"status": 400})
    code, looks, _ = verify(PARLEY_URL=url)
    llm.reset()

    assert (code, looks["alive"][0], looks["job"][0]) == (1, "ok", "WRONG")
    assert "failed" in looks["job"][1]
    assert "message" not in looks


@pytest.mark.parametrize(
    "scopes", [(), ("chats:write",), ("chats:read",)], ids=lambda scopes: "+".join(scopes) or "none"
)
def test_a_key_that_is_not_for_chats_finds_nothing_wrong(stack: Stack, scopes: tuple[str, ...]) -> None:
    """No message is tried with it, not even half."""
    url = f"http://127.0.0.1:{stack.port}"
    key, _ = stack.key("jobs:read", "jobs:write", *scopes)

    code, looks, _ = verify(PARLEY_URL=url, PARLEY_API_KEY=key)

    assert (code, list(looks)) == (0, ["alive", "ready", "services", "job"])
    assert stack.sql("SELECT 1 FROM chats") == []


def test_a_key_that_is_not_for_jobs_does_not_find_that_they_hold(stack: Stack) -> None:
    """They are what Parley is for: who cannot try one has not found out whether it works."""
    key, _ = stack.key("chats:read", "chats:write")

    code, looks, _ = verify(PARLEY_URL=f"http://127.0.0.1:{stack.port}", PARLEY_API_KEY=key)

    assert (code, looks["job"], looks["message"][0]) == (
        1,
        ("WRONG", "POST /api/jobs: This credential is not good for jobs:write."),
        "ok",
    )


def test_a_server_that_is_not_there_and_an_address_that_is_none() -> None:
    """One is found wrong, the other is wrong use."""
    code, looks, _ = verify(PARLEY_URL="http://127.0.0.1:1")
    wrong, _, said = verify(PARLEY_URL="127.0.0.1:8000")

    assert (code, {verdict for verdict, _ in looks.values()}) == (1, {"WRONG"})
    assert (wrong, "PARLEY_URL" in said, "Traceback" in said) == (2, True, False)
