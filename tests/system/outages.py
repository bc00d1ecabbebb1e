"""Outages: servers that can be killed and frozen, and what callers see meanwhile."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import statistics
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Self

import psutil

from local import programs
from local.embedded import RunningServer
from tests.fault_proxy import FaultProxy, Mode
from tests.system.stack import Stack, eventually

FULL = os.environ.get("PARLEY_CHAOS") == "full"
"""The long form: outages of a minute, with the product's own times."""
OUTAGE_SECONDS = 60.0 if FULL else 3.0
OWN_TIMES = {"LEASE_SECONDS": "15", "ANNOUNCE_SECONDS": "5", "RETRY_BASE_SECONDS": "2"} if FULL else {}
# The short form runs beside other tests; its bounds still tell the product's limits from the servers' own.
BOUND_SECONDS = 2.5 if FULL else 5.0
"""A caller has his answer, good or bad."""
TOLERATED_SECONDS = 0.5 if FULL else 1.5
"""An outage of Redis may make an answer so much slower."""
RECOVERED_SECONDS = 1.0 if FULL else 3.0
"""After PostgreSQL has come back, callers are served again."""
RESUMED_SECONDS = 15.0
"""After Redis has come back, work is done again."""


class Fragile:
    """A server of one's own, to be mistreated."""

    def __init__(self, server: RunningServer) -> None:
        self.url, self.port = server.url, int(server.url.rsplit(":", 1)[1].split("/")[0])
        self._program, self._process = server.program, server.process

    def freeze(self) -> None:
        """SIGSTOP to all its processes: connections stay open, nothing answers."""
        for process in self._family():
            process.suspend()

    def thaw(self) -> None:
        """SIGCONT."""
        for process in self._family():
            process.resume()

    def kill(self) -> None:
        """``kill -9``, with every child."""
        family = self._family()
        for process in family:
            process.kill()
        self._process.wait(10)
        psutil.wait_procs(family, timeout=10)

    def revive(self, stack: Stack) -> None:
        """Start it again, on the same port; does not wait until it answers."""
        self._process = programs.spawn(self._program, log=stack.folder / f"{self._program.name}-again.log")

    def stop(self) -> None:
        """For good."""
        if self._process.poll() is None:
            self.kill()

    def _family(self) -> list[psutil.Process]:
        leader = psutil.Process(self._process.pid)
        return [leader, *leader.children(recursive=True)]


@contextlib.contextmanager
def dead(server: Fragile, stack: Stack) -> Iterator[None]:
    """Nobody is there, until the block ends."""
    server.kill()
    yield
    server.revive(stack)


@contextlib.contextmanager
def frozen(server: Fragile) -> Iterator[None]:
    """Nothing answers, until the block ends."""
    server.freeze()
    yield
    server.thaw()


@contextlib.contextmanager
def in_mode(proxy: FaultProxy, mode: Mode) -> Iterator[None]:
    """The way to the server behaves so, until the block ends."""
    proxy.switch(mode)
    yield
    proxy.switch("pass")


@dataclass(frozen=True)
class Answer:
    """What a caller got, and how long he waited."""

    status: int
    seconds: float
    retry_after: str | None
    body: dict[str, Any]


def ask(
    stack: Stack,
    method: str,
    path: str,
    body: object = None,
    *,
    port: int | None = None,
    caller: str = "127.0.0.1",
    **headers: str,
) -> Answer:
    """One request on a connection of its own; status 0: no answer at all.

    Args:
        port: of another api than the first.
        caller: the address from which it comes.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port or stack.port, timeout=10, source_address=(caller, 0))
    named = {"Content-Type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    begun = time.monotonic()
    try:
        content = None if body is None else json.dumps(body)
        connection.request(method, path, content, named)
        response = connection.getresponse()
        said = response.read()
        # A proxy's own refusal is a page for people.
        told = json.loads(said) if "json" in response.getheader("Content-Type", "") else {}
        return Answer(response.status, time.monotonic() - begun, response.getheader("Retry-After"), told)
    except (OSError, http.client.HTTPException):
        return Answer(0, time.monotonic() - begun, None, {})
    finally:
        connection.close()


@dataclass
class Traffic:
    """``with Traffic(stack) as traffic``: a POST, and a GET of an older job, every 50 ms until the block ends."""

    stack: Stack
    message: str = "Traffic"
    posts: list[Answer] = field(default_factory=list)
    gets: list[Answer] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._known = self.stack.create(self.message)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(30)

    def _run(self) -> None:
        with ThreadPoolExecutor(16) as threads:
            while not self._ended.wait(0.05):
                threads.submit(self._post)
                threads.submit(self._get)

    def _post(self) -> None:
        self.posts.append(ask(self.stack, "POST", "/api/jobs", {"message": self.message}))

    def _get(self) -> None:
        self.gets.append(ask(self.stack, "GET", f"/api/jobs/{self._known}"))

    @property
    def ids(self) -> list[str]:
        """Of the accepted jobs."""
        return [answer.body["jobId"] for answer in self.posts if answer.status == 201]


def p95(answers: list[Answer]) -> float:
    """Seconds that 95 of 100 callers did not wait."""
    return statistics.quantiles([answer.seconds for answer in answers], n=20)[-1]


def all_completed(stack: Stack, ids: list[str], *, seconds: float = 45) -> float:
    """Wait until all have; how long that took. What died meanwhile is started again."""
    begun = time.monotonic()

    def done() -> bool:
        stack.revive()
        rows = stack.sql("SELECT count(*) AS n FROM jobs WHERE id::text = ANY(%s) AND status = 'completed'", ids)
        return bool(rows[0]["n"] == len(ids))

    eventually(done, seconds=seconds)
    return time.monotonic() - begun


def report(what: str, **figures: float | str) -> None:
    """Print the figures of an experiment; ``pytest -s`` shows them."""
    told = ", ".join(
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}" for name, value in figures.items()
    )
    print(f"\n{what}: {told}")  # noqa: T201
