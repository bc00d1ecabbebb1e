"""A POST whose answer never comes is sent again with its key, and makes one job.

The api is killed, or the connection reset, at each point of a POST. ``make
chaos-full`` runs these with more jobs.
"""

from __future__ import annotations

import functools
import http.client
import json
import os
import pathlib
import random
import signal
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import psycopg2
import pytest

from tests.chaos.clients import Clients, orders
from tests.chaos.history import History
from tests.fault_proxy import FaultProxy
from tests.system.stack import Stack, eventually

pytestmark = [pytest.mark.xdist_group("system"), pytest.mark.timeout(600), pytest.mark.outage]
# A statement that waits for a lock must outlive the kill of the api that sent it, however slow this machine is.
SETTINGS = {"LLM_TOTAL_SECONDS": "20", "WORKER_SLOTS": "100", "DB_ANSWER_SECONDS": "10"}
IS_LONG = os.environ.get("PARLEY_CHAOS") == "full"
POSTS = 1000 if IS_LONG else 60
RESETS = 100 if IS_LONG else 5
POSTS_BETWEEN_KILLS = 20
KILLED_WITHIN_SECONDS = 0.05
"""After so many answers, at any moment of the POSTs that follow."""
Answer = tuple[int, dict[str, str]]


def post(port: int, key: str) -> Answer:
    """Status and body; 0 if none came."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    headers = {"Content-Type": "application/json", "Idempotency-Key": key}
    try:
        connection.request("POST", "/api/jobs", json.dumps({"message": key}), headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    except (OSError, http.client.HTTPException):
        return 0, {}
    finally:
        connection.close()


def stored(stack: Stack, key: str) -> list[str]:
    return [row["id"] for row in stack.sql("SELECT id::text FROM jobs WHERE message = %s", key)]


def again(stack: Stack, key: str) -> Answer:
    """As the documentation says: until somebody answers."""
    return eventually(lambda: [answer for answer in [post(stack.port, key)] if answer[0] in (200, 201)])[0]


def restart_api(stack: Stack) -> None:
    stack.start("api")
    eventually(stack.is_ready)


def test_a_reset_after_the_commit_and_a_retry_make_one_job(stack: Stack) -> None:
    """The server had answered; nobody heard it. (Experiment E11.)"""
    with FaultProxy(stack.port) as proxy, ThreadPoolExecutor(1) as threads:
        for number in range(RESETS):
            key = f"reset {number}"
            proxy.switch("delay", delay_ms=5000)
            unheard = threads.submit(post, proxy.port, key)
            [job_id] = eventually(functools.partial(stored, stack, key))
            proxy.switch("reset")
            proxy.switch("pass")

            status, body = post(proxy.port, key)

            assert unheard.result()[0] == 0
            assert (status, body["jobId"]) == (200, job_id)
            assert stored(stack, key) == [job_id]
    print(f"\nE11: {RESETS} POSTs reset after their commit and sent again: {RESETS} rows")  # noqa: T201


API_WAITS = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'parley api' AND wait_event_type = 'Lock'"


def frozen_before_it_reads(stack: Stack, send: Callable[[], Future[Answer]]) -> Future[Answer]:
    """The request lies in a socket."""
    [api] = stack.of("api")
    os.killpg(api.pid, signal.SIGSTOP)
    return send()


def waiting_for_a_lock(stack: Stack, send: Callable[[], Future[Answer]]) -> Future[Answer]:
    """The statement has been sent and is not done: it will be, although nobody waits for it any more."""
    post(stack.port, "first")  # its connection has the statement prepared now; preparing it would wait as well
    with psycopg2.connect(stack.servers.environment["DATABASE_URL"]) as blocker:
        blocker.cursor().execute("LOCK TABLE jobs IN EXCLUSIVE MODE")
        sent = send()
        eventually(lambda: stack.sql(API_WAITS))  # the dispatcher waits for that table, too
        stack.kill("api")
    blocker.close()
    return sent


def committed_and_not_told(stack: Stack, send: Callable[[], Future[Answer]]) -> Future[Answer]:
    """PostgreSQL has it; the api has not heard so."""
    sent = send()
    eventually(lambda: stack.sql("SELECT 1 FROM jobs WHERE message LIKE 'killed %%'"))
    return sent


@pytest.mark.parametrize("point", [frozen_before_it_reads, waiting_for_a_lock, committed_and_not_told])
def test_a_post_whose_api_is_killed_and_its_retry_make_one_job(
    stack: Stack, point: Callable[[Stack, Callable[[], Future[Answer]]], Future[Answer]]
) -> None:
    """Before, while and after it is stored. (Experiment D1.)"""
    key = f"killed {point.__name__}"
    stack.sql("DELETE FROM jobs")
    url = stack.servers.environment["DATABASE_URL"]
    with FaultProxy(psycopg2.extensions.parse_dsn(url)["port"]) as proxy, ThreadPoolExecutor(1) as threads:
        slow_api(stack, proxy.behind(url)) if point is committed_and_not_told else None
        proxy.switch("delay", delay_ms=1500)
        unanswered = point(stack, lambda: threads.submit(post, stack.port, key))
        stack.kill("api")
        before = unanswered.result()
    restart_api(stack)

    status, body = again(stack, key)

    print(f"\nD1: {point.__name__}: the retry was answered {status}, rows {len(stored(stack, key))}")  # noqa: T201
    assert before[0] == 0
    assert stored(stack, key) == [body["jobId"]]
    assert status == {"frozen_before_it_reads": 201}.get(point.__name__, 200)


def slow_api(stack: Stack, database_url: str) -> None:
    """One that hears PostgreSQL through a proxy."""
    stack.kill("api")
    stack.start("api", DATABASE_URL=database_url)
    eventually(stack.is_ready)


def test_an_answered_post_outlives_the_api_that_answered(stack: Stack) -> None:
    """201 is said after the commit."""
    status, body = post(stack.port, "answered")
    stack.kill("api")
    restart_api(stack)

    assert status == 201
    assert stack.finished(body["jobId"])["status"] == "completed"


def test_all_that_was_accepted_under_a_rain_of_kills_is_stored_once(stack: Stack, tmp_path: pathlib.Path) -> None:
    """Whatever point each kill hit. (Experiment D1.)"""
    stack.sql("DELETE FROM jobs")
    chance = random.Random(1)
    work = orders(chance, seed=1, jobs=POSTS, seconds=0)
    history = History(tmp_path / "history.jsonl")
    clients = Clients(stack, history, work)
    kills = answered = 0
    clients.start()
    try:
        while not clients.have_posted():
            # Only one that has answered somebody: where a start takes seconds, the kills would leave no time for POSTs.
            if len(history.of("post", "ok")) >= answered:
                time.sleep(chance.uniform(0, KILLED_WITHIN_SECONDS))
                stack.kill("api")
                stack.start("api")
                kills, answered = kills + 1, len(history.of("post", "ok")) + POSTS_BETWEEN_KILLS
            time.sleep(0.01)
    finally:
        clients.stop()
        history.close()

    told = {event.facts["job"]: event.facts["key"] for event in history.of("post", "ok")}
    rows = {row["id"]: row["message"] for row in stack.sql("SELECT id::text, message FROM jobs")}
    message_of = {order.key: order.message for order in work}
    assert rows == {job_id: message_of[key] for job_id, key in told.items()}
    assert sorted(rows.values()) == sorted(message_of.values())
    assert kills >= 2
    found = sum(event.facts["status"] == 200 for event in history.of("post", "ok"))
    print(  # noqa: T201
        f"\nD1: {POSTS} POSTs, api killed {kills} times, unanswered {len(history.of('post', 'info'))}, "
        f"of which stored {found}; rows {len(rows)}"
    )
