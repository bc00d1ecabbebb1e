"""Every process is replaced, again and again, under load: clients that try again notice nothing."""

from __future__ import annotations

import itertools
import signal
import subprocess
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import Self

import pytest

from local import ports, programs
from tests.system import outages
from tests.system.outages import FULL, all_completed, ask
from tests.system.stack import Stack, eventually

pytestmark = [pytest.mark.xdist_group("restarts"), pytest.mark.timeout(400), pytest.mark.outage]
ROUNDS = 10 if FULL else 2
CLIENTS = 4
PAUSE_SECONDS = 0.05 if FULL else 0.2
"""Between two jobs of a client. In short, what is at stake is each request and not how many there are."""
TRIED_SECONDS = 20.0
"""A client that has not got through by then has failed."""
TOO_SHORT_SECONDS = 0.1
"""Of grace, before a stopping process is killed."""
REPLACED = ("worker", "dispatcher")


@dataclass
class Clients:
    """``with Clients(stack, ports) as clients``: they create jobs until the block ends, and try again elsewhere."""

    stack: Stack
    ports: tuple[int, ...]
    accepted: list[str] = field(default_factory=list)
    failed: list[int] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(CLIENTS)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(30)

    def _run(self) -> None:
        while not self._ended.wait(PAUSE_SECONDS):
            self._create()

    def _create(self) -> None:
        key, begun = str(uuid.uuid4()), time.monotonic()
        for port in itertools.cycle(self.ports):
            body = {"message": f"[[latency-ms=100]] {key}"}
            answer = ask(self.stack, "POST", "/api/jobs", body, port=port, Idempotency_Key=key)
            if answer.status in (200, 201):
                self.waits.append(time.monotonic() - begun)
                return self.accepted.append(answer.body["jobId"])
            if time.monotonic() - begun > TRIED_SECONDS:
                return self.failed.append(answer.status)
            time.sleep(0.05)
        return None


@pytest.fixture
def two_apis(stack: Stack) -> tuple[int, int]:
    """Their ports: two cannot share one, so a proxy, or here the client, chooses."""
    second = ports.free_port()
    stack.start("api", PORT=str(second))
    eventually(lambda: answers(stack, second))
    return stack.port, second


def answers(stack: Stack, port: int) -> bool:
    return ask(stack, "GET", "/health/live", port=port).status == 200


def replace_all(stack: Stack, api_ports: tuple[int, int], *, patient: bool) -> None:
    """As docs/how-to/deploy.md has it: workers, dispatcher, then one api after the other."""
    for name in REPLACED:
        end(stack.of(name), patient=patient)
        stack.start(name)
    for port, process in zip(api_ports, stack.of("api"), strict=True):
        end([process], patient=patient)
        stack.start("api", PORT=str(port))
        eventually(lambda port=port: answers(stack, port))  # type: ignore[misc]


def end(processes: list[subprocess.Popen[bytes]], *, patient: bool) -> None:
    for process in processes:
        process.send_signal(signal.SIGTERM)
        if not patient:
            time.sleep(TOO_SHORT_SECONDS)
            programs.kill_group(process.pid)
        process.wait(15)


def test_a_rolling_restart_fails_no_request_and_loses_no_job(stack: Stack, two_apis: tuple[int, int]) -> None:
    """The second round gives them too little time to stop."""
    with Clients(stack, two_apis) as clients:
        for number in range(ROUNDS):
            replace_all(stack, two_apis, patient=number % 3 != 1)
    all_completed(stack, clients.accepted)

    stored = {row["id"] for row in stack.sql("SELECT id::text FROM jobs")}
    outages.report(
        "Rolling restart",
        rounds=float(ROUNDS),
        accepted=float(len(clients.accepted)),
        failed=float(len(clients.failed)),
        slowest=max(clients.waits),
    )
    assert clients.failed == []
    assert stored == set(clients.accepted)
    assert len(clients.accepted) == len(set(clients.accepted)) > ROUNDS * CLIENTS / PAUSE_SECONDS / 2
