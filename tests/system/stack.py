"""The product as real processes: api, dispatcher and worker, on a database of their own."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import pathlib
import secrets
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, Self, TypeVar

import psutil
import psycopg2
from psycopg2.extras import RealDictCursor

from local import ports, processes, programs
from tests.conftest import ROOT, Servers

T = TypeVar("T")
OPERATOR = "an-operators-token-of-32-letters"
FINISHED = ("completed", "failed", "cancelled")
ENOUGH = ("api", "dispatcher", "worker")
"""For jobs of the interactive class. Each process costs seconds to start, so what is not needed is not started."""
PATIENT_SECONDS = 45.0
"""Bound of every wait; nothing here should take a quarter of it."""

# Real times, only shorter, so that what takes minutes in production takes seconds here.
QUICK = {
    "API_WORKERS": "1",
    "LLM_MODEL": "fake-model",
    "LLM_TOTAL_SECONDS": "2",
    "RETRY_BASE_SECONDS": "0.05",
    "BREAKER_CALLS": "0",  # tests make many calls fail, and want each to be tried again at once
    "LEASE_SECONDS": "3",
    "ANNOUNCE_SECONDS": "1",
    "STOP_GRACE_SECONDS": "1",
    "ADMIN_TOKEN": OPERATOR,
}


def eventually(look: Callable[[], T], *, seconds: float = PATIENT_SECONDS) -> T:
    """What ``look`` answers as soon as it is true; fails with its last answer after ``seconds``."""
    until = time.monotonic() + seconds
    while not (answer := look()):
        assert time.monotonic() < until, f"still {answer!r} after {seconds:g} s"
        time.sleep(0.02)
    return answer


def alone_under(worker: psutil.Process) -> list[psutil.Process]:
    """Its children that run a job alone. One that has just ended, of whatever kind, has no command line any more."""
    found = []
    for child in worker.children():
        with contextlib.suppress(psutil.NoSuchProcess):  # a zombie is such a one, too
            if "tasks.alone" in child.cmdline():
                found.append(child)
    return found


class Stack:
    """Processes that can be killed one by one.

    Args:
        environment: settings on top of `QUICK`.
        root: whose code they run.
    """

    def __init__(
        self, folder: pathlib.Path, servers: Servers, environment: dict[str, str], *, root: pathlib.Path = ROOT
    ) -> None:
        self.folder, self.servers, self.port = folder, servers, ports.free_port()
        self.gateway_port = ports.free_port()
        ours = {"PORT": str(self.port), "GATEWAY_PORT": str(self.gateway_port), "PATH": "/usr/bin:/bin"}
        self.environment = {**servers.environment, **QUICK, **ours, **environment}
        product = processes.product(pathlib.Path(sys.executable), root, self.environment)
        self._programs = {each.name: each for each in product}
        self._running: list[tuple[str, subprocess.Popen[bytes]]] = []

    def start(self, name: str, **settings: str) -> subprocess.Popen[bytes]:
        """One more process of this kind."""
        program = self._programs[name]
        program = replace(program, environment={**program.environment, **settings})
        process = programs.spawn(program, log=self.folder / f"{name}.log")
        self._running.append((name, process))
        return process

    def start_all(self, *also: str) -> None:
        """One of each that jobs need, and of these; returns when they are ready."""
        for name in (*ENOUGH, *also):
            self.start(name)
        eventually(self.is_ready)

    @contextlib.contextmanager
    def running(self, *also: str) -> Iterator[Self]:
        """All of them started, and ended whatever happens."""
        try:
            self.start_all(*also)
            yield self
        finally:
            self.close()

    def is_ready(self) -> bool:
        """Whether `/health/ready` misses nothing."""
        try:
            return bool(self.request("GET", "/health/ready")[1].get("status") == "ready")
        except OSError:
            return False

    def of(self, name: str) -> list[subprocess.Popen[bytes]]:
        """The live processes of this kind."""
        return [process for kind, process in self._running if kind == name and process.poll() is None]

    def kill(self, name: str, *, most: int | None = None) -> None:
        """``kill -9`` every process of this kind, or the ``most`` oldest, with their children."""
        for process in self.of(name)[:most]:
            programs.kill_group(process.pid)
            process.wait(10)
            self._running.remove((name, process))

    def revive(self) -> list[str]:
        """Start again what has died by itself, as `make run` does; what that was."""
        dead = [(name, process) for name, process in self._running if process.poll() is not None]
        for name, process in dead:
            self._running.remove((name, process))
            self.start(name)
        return [name for name, _ in dead]

    def terminate(self, name: str) -> None:
        """Ask every process of this kind to stop, and wait until it has."""
        for process in self.of(name):
            process.send_signal(signal.SIGTERM)
            process.wait(15)
            self._running.remove((name, process))

    def close(self) -> None:
        """End everything."""
        for name in self._programs:
            self.kill(name)

    def request(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, dict[str, Any]]:
        """Status and body. Header names are written with ``_``."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, path, content, {"Content-Type": "application/json", **named})
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def create(self, message: str) -> str:
        """A job's id."""
        status, body = self.request("POST", "/api/jobs", {"message": message})
        assert status == 201, body
        return str(body["jobId"])

    def key(self, *scopes: str) -> tuple[str, str]:
        """An API key of somebody new, and their owner word."""
        key, user_id = f"parley_{secrets.token_urlsafe(32)}", str(uuid.uuid4())
        self.sql("INSERT INTO users (id, username, display_name) VALUES (%s, %s, 'A script')", user_id, user_id)
        self.sql(
            "INSERT INTO api_keys (id, user_id, name, prefix, key_hash, scopes) VALUES (%s, %s, 'script', %s, %s, %s)",
            *(str(uuid.uuid4()), user_id, key[:14], hashlib.sha256(key.encode()).digest(), list(scopes)),
        )
        return key, f"user:{user_id}"

    def job(self, job_id: str) -> dict[str, Any]:
        """As a client sees it."""
        return self.request("GET", f"/api/jobs/{job_id}")[1]

    def finished(self, job_id: str, *, seconds: float = PATIENT_SECONDS) -> dict[str, Any]:
        """The job when it has finished."""
        until = time.monotonic() + seconds
        while (job := self.job(job_id))["status"] not in FINISHED:
            assert time.monotonic() < until, f"unfinished after {seconds:g} s: {job}"
            time.sleep(0.02)
        return job

    def sql(self, statement: str, *parameters: object) -> list[dict[str, Any]]:
        """Rows of a statement of the test's own."""
        connection = psycopg2.connect(self.servers.environment["DATABASE_URL"])
        try:
            with connection, connection.cursor(cursor_factory=RealDictCursor) as cursor:
                cursor.execute(statement, parameters)
                return [dict(row) for row in cursor.fetchall()] if cursor.description else []
        finally:
            connection.close()
