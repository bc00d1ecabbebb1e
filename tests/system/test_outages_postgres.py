"""PostgreSQL killed, frozen, slow, locked or full up: callers are told so in time, and nothing is lost."""

from __future__ import annotations

import contextlib
import datetime as dt
import http.client
import itertools
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg2
import pytest

import local.postgres
from tests.conftest import CALLERS, ROOT, Servers, redis_url_of
from tests.factories import now
from tests.fake_llm import FakeLLM
from tests.fault_proxy import FaultProxy
from tests.system import outages
from tests.system.outages import Answer, Fragile, Traffic, all_completed, ask, frozen, in_mode
from tests.system.stack import Stack, eventually

pytestmark = [pytest.mark.xdist_group("outages"), pytest.mark.timeout(400), pytest.mark.outage]
AT_ONCE = 40
"""Callers; more than the api has connections."""
SLOW_MS = 500
PARKED, WAIT_SECONDS = 600, 4
TOLD_SECONDS = outages.BOUND_SECONDS if outages.FULL else 20.0
"""After their wait. One after the other, 2 s each on 15 connections, they would take 80 s; less is the machine's."""
KILLS = 5 if outages.FULL else 2
# Longer than the outages of the short form, so that leases are not what is tried here.
SETTINGS = {"LEASE_SECONDS": "8", "LLM_TOTAL_SECONDS": "20"}


class OwnDatabase(Servers):
    """As `Servers`, with a PostgreSQL that no other test uses."""

    def __init__(self, postgres: Fragile, worker: str) -> None:
        redis = redis_url_of(worker, purpose="_system")
        self.environment = {"DATABASE_URL": postgres.url, "REDIS_URL": redis, **CALLERS}


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fragile]:
    """With the tables in it."""
    folder = tmp_path_factory.mktemp("postgres")
    running = local.postgres.start(folder, durable=False)
    migrate(running.url)
    server = Fragile(running)
    yield server
    server.stop()
    running.stop()


def migrate(url: str) -> None:
    """Tables, and a server that has written what it says it has: the tests' own may lose the last moment."""
    environment = {**os.environ, "DATABASE_URL": url, "REDIS_URL": "redis://127.0.0.1:1/0"}
    subprocess.run([sys.executable, "-m", "alembic", "upgrade", "head"], cwd=ROOT, env=environment, check=True)
    connection = psycopg2.connect(url)
    with contextlib.closing(connection), connection, connection.cursor() as cursor:
        cursor.execute("ALTER DATABASE parley SET synchronous_commit = 'on'")


@pytest.fixture(scope="module")
def proxy(postgres: Fragile) -> Iterator[FaultProxy]:
    """The only way from the product to it."""
    with FaultProxy(postgres.port) as mine:
        yield mine


@pytest.fixture(scope="module")
def stack(
    tmp_path_factory: pytest.TempPathFactory, worker_id: str, llm: FakeLLM, postgres: Fragile, proxy: FaultProxy
) -> Iterator[Stack]:
    """The product on that PostgreSQL."""
    servers = OwnDatabase(postgres, worker_id)
    servers.erase_redis()
    settings = {
        **SETTINGS,
        **outages.OWN_TIMES,
        "LLM_BASE_URL": llm.base_url,
        "DATABASE_URL": proxy.behind(postgres.url),
    }
    with Stack(tmp_path_factory.mktemp("stack"), servers, settings).running() as mine:
        yield mine


@contextlib.contextmanager
def killed(postgres: Fragile, stack: Stack) -> Iterator[None]:
    postgres.kill()
    yield
    postgres.revive(stack)
    eventually(lambda: can_connect(postgres))


def can_connect(postgres: Fragile) -> bool:
    with contextlib.suppress(psycopg2.OperationalError):
        psycopg2.connect(postgres.url).close()
        return True
    return False


@contextlib.contextmanager
def locked(postgres: Fragile) -> Iterator[None]:
    """As by a migration that waits for somebody."""
    connection = psycopg2.connect(postgres.url)
    with contextlib.closing(connection), connection.cursor() as cursor:
        cursor.execute("LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE")
        yield


@contextlib.contextmanager
def full_up(postgres: Fragile, proxy: FaultProxy, *, left: int = 0) -> Iterator[None]:
    """Somebody else has taken every connection but ``left``, and ours break: no more of them can be replaced."""
    taken = []
    proxy.switch("reset")
    proxy.switch("pass")
    with contextlib.suppress(psycopg2.OperationalError):
        while True:
            taken.append(psycopg2.connect(postgres.url))
    for connection in taken[:left]:
        connection.close()
    yield
    for connection in taken:
        connection.close()


OUTAGES: dict[str, Callable[[Stack, Fragile, FaultProxy], contextlib.AbstractContextManager[None]]] = {
    "killed": lambda stack, postgres, _: killed(postgres, stack),
    "frozen": lambda _, postgres, __: frozen(postgres),
    "locked": lambda _, postgres, __: locked(postgres),
    "full up": lambda _, postgres, proxy: full_up(postgres, proxy),
}
LONG_OUTAGES: dict[str, Callable[[Stack, Fragile, FaultProxy], contextlib.AbstractContextManager[None]]] = {
    "frozen on the way": lambda _, __, proxy: in_mode(proxy, "freeze"),
    "refused": lambda _, __, proxy: in_mode(proxy, "refuse"),
}
if outages.FULL:
    OUTAGES |= LONG_OUTAGES


def callers(stack: Stack, job_id: str) -> list[Answer]:
    """Many at once, of both kinds."""
    requests = itertools.cycle([("GET", f"/api/jobs/{job_id}", None), ("POST", "/api/jobs", {"message": "Outage"})])
    with ThreadPoolExecutor(AT_ONCE) as threads:
        return list(threads.map(lambda each: ask(stack, *each), itertools.islice(requests, AT_ONCE)))


@pytest.mark.parametrize("kind", OUTAGES)
def test_without_postgresql_callers_are_told_in_time_and_nothing_is_lost(
    stack: Stack, postgres: Fragile, proxy: FaultProxy, llm: FakeLLM, kind: str
) -> None:
    """503 with Retry-After; live, not ready; the answer that came meanwhile is kept, and stored afterwards."""
    llm.reset()
    message = f"[[latency-ms=1500]] Paid for ({kind})"
    job_id = stack.create(message)
    eventually(lambda: stack.job(job_id)["status"] == "analyzing")
    callers(stack, job_id)  # their connections are the ones that break

    with OUTAGES[kind](stack, postgres, proxy):
        until = time.monotonic() + outages.OUTAGE_SECONDS
        answers = callers(stack, job_id)
        ready, live = ask(stack, "GET", "/health/ready"), ask(stack, "GET", "/health/live")
        while time.monotonic() < until:
            answers.append(ask(stack, "GET", f"/api/jobs/{job_id}"))
    begun = time.monotonic()
    after = ask(stack, "GET", f"/api/jobs/{job_id}")
    eventually(lambda: ask(stack, "GET", f"/api/jobs/{job_id}").status == 200)
    recovered = time.monotonic() - begun
    job = stack.finished(job_id)

    slowest = max(answer.seconds for answer in [*answers, ready])
    outages.report(
        f"PostgreSQL {kind}",
        answers=len(answers),
        slowest=slowest,
        ready=ready.seconds,
        live=live.seconds,
        recovered=recovered,
        first=after.status,
    )
    assert {(answer.status, answer.retry_after) for answer in answers} == {(503, "2")}
    assert {answer.body["code"] for answer in answers} == {"database_unavailable"}
    assert slowest < outages.BOUND_SECONDS
    assert (live.status, live.seconds < 1) == (200, True)
    assert kind == "locked" or ready.status == 503  # a lock on jobs is nothing readiness asks about
    assert recovered < outages.RECOVERED_SECONDS
    assert (job["status"], job["attempt"], llm.stats()["per_message"][message]) == ("completed", 1, 1)
    assert not stack.revive()


def test_whoever_is_parked_when_postgresql_freezes_is_told_in_time(
    stack: Stack, postgres: Fragile, llm: FakeLLM
) -> None:
    """Hundreds, each with a job of its own: more than one query can look up. They do not queue for the answer."""
    later = {"message": "Parked", "runAt": (now() + dt.timedelta(hours=1)).isoformat()}
    with ThreadPoolExecutor(AT_ONCE) as threads:
        ids = [
            answer.body["jobId"]
            for answer in threads.map(lambda _: ask(stack, "POST", "/api/jobs", later), range(PARKED))
        ]
    connections = [socket.create_connection(("127.0.0.1", stack.port), timeout=20) for _ in ids]
    for connection, job_id in zip(connections, ids, strict=True):
        request = f"GET /api/jobs/{job_id} HTTP/1.1\r\nHost: x\r\nPrefer: wait={WAIT_SECONDS}\r\n\r\n"
        connection.sendall(request.encode())
    begun = time.monotonic()
    last_in_line = ask(stack, "GET", f"/api/jobs/{ids[0]}", Prefer="wait=1")  # so the others have read theirs, and wait

    with frozen(postgres):
        answers = [http_answer(connection) for connection in connections]
        took = time.monotonic() - begun
    stack.sql("DELETE FROM jobs WHERE id::text = ANY(%s)", ids)

    outages.report("Parked while PostgreSQL froze", parked=len(answers), after_their_wait=took - WAIT_SECONDS)
    assert last_in_line.status == 200
    assert {(status, body["code"]) for status, body in answers} == {(503, "database_unavailable")}
    assert took < WAIT_SECONDS + TOLD_SECONDS


def http_answer(connection: socket.socket) -> tuple[int, dict[str, Any]]:
    """Status and body of the answer on this connection, which is closed."""
    with connection:
        response = http.client.HTTPResponse(connection)
        response.begin()
        return response.status, json.loads(response.read())


def test_connections_that_died_unnoticed_cost_one_wait_and_no_job(stack: Stack, proxy: FaultProxy) -> None:
    """Half-open: neither end was told. New ones work, so whoever comes again is served."""
    running = stack.create("[[latency-ms=1500]] Half-open")
    eventually(lambda: stack.job(running)["status"] == "analyzing")
    callers(stack, running)

    proxy.switch("half_open")
    begun = time.monotonic()
    answers = callers(stack, running)
    eventually(lambda: {answer.status for answer in callers(stack, running)} == {200, 201})
    recovered, slowest = time.monotonic() - begun, max(answer.seconds for answer in answers)
    proxy.switch("pass")
    took = all_completed(stack, [running, *(each.body["jobId"] for each in answers if each.status == 201)])

    refused = sum(answer.status == 503 for answer in answers)
    outages.report("PostgreSQL half-open", refused=refused, slowest=slowest, recovered=recovered, completed=took)
    assert {answer.status for answer in answers} <= {200, 201, 503}
    assert slowest < outages.BOUND_SECONDS
    assert recovered < outages.BOUND_SECONDS + outages.RECOVERED_SECONDS
    assert not stack.revive()


def test_a_slow_postgresql_only_slows(stack: Stack, proxy: FaultProxy) -> None:
    """Half a second more for each statement: everything still works."""
    proxy.switch("delay", delay_ms=SLOW_MS)
    try:
        posted = ask(stack, "POST", "/api/jobs", {"message": "Slowly"})
        shown = ask(stack, "GET", f"/api/jobs/{posted.body.get('jobId')}")
    finally:
        proxy.switch("pass")

    outages.report("PostgreSQL half a second slower", post=posted.seconds, get=shown.seconds)
    assert (posted.status, shown.status) == (201, 200)
    assert max(posted.seconds, shown.seconds) < outages.BOUND_SECONDS
    all_completed(stack, [posted.body["jobId"]])


def test_killed_again_and_again_it_loses_nothing_that_was_accepted(stack: Stack, postgres: Fragile) -> None:
    """What a caller was told is stored; what he was not told may be."""
    with Traffic(stack, message="Under fire") as traffic:
        for _ in range(KILLS):
            with killed(postgres, stack):
                time.sleep(0.3)
            time.sleep(0.7)
    all_completed(stack, traffic.ids)

    statuses = {status: float(sum(each.status == status for each in traffic.posts)) for status in (201, 503)}
    outages.report("PostgreSQL killed under load", accepted=statuses[201], refused=statuses[503])
    assert sum(statuses.values()) == len(traffic.posts)
    assert statuses[503] > 0
    stored = {row["id"] for row in stack.sql("SELECT id::text FROM jobs")}
    assert stored >= set(traffic.ids)


def test_with_two_connections_left_callers_are_served_or_told_in_time(
    stack: Stack, postgres: Fragile, proxy: FaultProxy
) -> None:
    """Somebody has taken the others; ours broke and cannot all be replaced."""
    job_id = stack.create("Scarce")
    with full_up(postgres, proxy, left=2):
        answers = callers(stack, job_id)
    begun = time.monotonic()
    eventually(lambda: {answer.status for answer in callers(stack, job_id)} == {200, 201})

    recovered, slowest = time.monotonic() - begun, max(answer.seconds for answer in answers)
    outages.report("Two connections left", slowest=slowest, recovered=recovered)
    assert {answer.status for answer in answers} <= {200, 201, 503}
    assert slowest < outages.BOUND_SECONDS
    assert recovered < outages.RECOVERED_SECONDS
