"""The client: many keep-alive connections from one process that does next to nothing else.

It runs apart from what it measures (``python -m benchmarks.client``), so its CPU
is not counted. The benchmark hands it a `Load`; it connects, warms up, says
that it is ready, and begins when told to.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import random
import selectors
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from benchmarks.errors import Broken

SILENCE_SECONDS = 15.0
"""A server that sends nothing for this long counts as broken."""
LONGEST_SECONDS = 90.0


@dataclass(frozen=True, kw_only=True)
class Load:
    """What to send."""

    port: int
    requests: int
    path: str = "/api/jobs"
    ids: tuple[str, ...] = ()
    """Appended to the path in turn: the requests are GETs then."""
    message: str = ""
    """Of the jobs to create: the requests are POSTs then. Each gets a number behind it."""
    keys: bool = False
    """Give each POST an Idempotency-Key of its own."""
    connections: int = 16
    warm_up: int = 0
    gap_seconds: tuple[float, float] = (0.0, 0.0)
    """Pause before each request, at random between these."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of it."""

    seconds: float
    statuses: dict[str, int]
    p95_ms: float


class Client:
    """The process with its connections open and warm, from `__enter__` to `__exit__`."""

    def __init__(self, load: Load) -> None:
        self._load = load

    def run(self) -> Outcome:
        """Send the load and wait for the last answer.

        Raises:
            Broken: the server stopped answering, or the load took 90 s.
        """
        self._say("go")
        return Outcome(**json.loads(self._line()))

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "benchmarks.client"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._timer = threading.Timer(LONGEST_SECONDS, self._process.kill)
        self._timer.start()
        try:
            self._say(json.dumps(dataclasses.asdict(self._load)))
            self._line()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._timer.cancel()
        self._process.kill()
        self._process.communicate()

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def _line(self) -> str:
        assert self._process.stdout is not None
        if not (line := self._process.stdout.readline()):
            raise Broken(f"the client ended early: {self._load.requests} requests to {self._load.path}")
        return line


class _Connection:
    """One keep-alive connection: a request, its answer, the next request."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), SILENCE_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, request: bytes) -> None:
        self.received = b""
        self.sent_at = time.perf_counter()
        self.socket.sendall(request)

    def status(self) -> str:
        """Of the answer; empty while it is incomplete."""
        received = self.socket.recv(65536)
        if not received:
            raise ConnectionError("the server hung up")
        self.received += received
        head, found, body = self.received.partition(b"\r\n\r\n")
        if not found or len(body) < _length(head):
            return ""
        return head[9:12].decode()


def _length(head: bytes) -> int:
    return int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])


class _Run:
    """The connections of one client process."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._requests = _requests(load)
        self._selector = selectors.DefaultSelector()
        self._connections = [_Connection(load.port) for _ in range(load.connections)]
        for connection in self._connections:
            self._selector.register(connection.socket, selectors.EVENT_READ, connection)

    def send(self, count: int) -> Outcome:
        """Keep every connection busy until so many requests are answered."""
        left, begun_at = count, time.perf_counter()
        statuses: Counter[str] = Counter()
        times: list[float] = []
        for connection in self._connections[:count]:
            left -= self._next(connection)
        while len(times) < count:
            for connection in self._ready():
                if status := connection.status():
                    statuses[status] += 1
                    times.append(time.perf_counter() - connection.sent_at)
                    if left:
                        left -= self._next(connection)
        p95 = sorted(times)[len(times) * 95 // 100] * 1000 if times else 0.0
        return Outcome(seconds=time.perf_counter() - begun_at, statuses=dict(statuses), p95_ms=p95)

    def _next(self, connection: _Connection) -> int:
        if self._load.gap_seconds[1]:
            time.sleep(random.uniform(*self._load.gap_seconds))
        connection.send(next(self._requests))
        return 1

    def _ready(self) -> list[_Connection]:
        ready = self._selector.select(SILENCE_SECONDS)
        if not ready:
            raise TimeoutError(f"no answer within {SILENCE_SECONDS:g} s")
        return [key.data for key, _ in ready]


def _requests(load: Load) -> Iterator[bytes]:
    if load.ids:
        heads = [f"GET {load.path}/{job_id} HTTP/1.1\r\nHost: benchmark\r\n\r\n".encode() for job_id in load.ids]
        yield from itertools.cycle(heads)
    run = uuid.uuid4().hex
    for number in itertools.count():
        yield _post(load, number, key=f"Idempotency-Key: {run}-{number}\r\n" if load.keys else "")


def _post(load: Load, number: int, *, key: str) -> bytes:
    if not load.message:
        return f"GET {load.path} HTTP/1.1\r\nHost: benchmark\r\n\r\n".encode()
    body = json.dumps({"message": f"{load.message} {number}", "type": "chat"})
    head = f"POST {load.path} HTTP/1.1\r\nHost: benchmark\r\nContent-Type: application/json\r\n{key}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()


def main() -> None:
    """The process: read a load, warm up, wait, run, tell."""
    given: dict[str, Any] = json.loads(sys.stdin.readline())
    load = Load(**{**given, "ids": tuple(given["ids"]), "gap_seconds": tuple(given["gap_seconds"])})
    run = _Run(load)
    run.send(load.warm_up)
    print("ready", flush=True)
    if sys.stdin.readline():
        print(json.dumps(dataclasses.asdict(run.send(load.requests))), flush=True)


if __name__ == "__main__":
    main()
