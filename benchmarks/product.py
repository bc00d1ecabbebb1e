"""The product under measurement: its real processes on servers of their own, durable as in production."""

from __future__ import annotations

import os
import pathlib
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from types import TracebackType
from typing import Any, Self, TypeVar

import psycopg2
from psycopg2 import extensions

import local.postgres
import local.valkey
from benchmarks.errors import Broken
from local import ports, processes, programs, readiness
from local.programs import Program
from models import settings
from models.settings import Settings
from tests.fake_llm import FakeLLM

T = TypeVar("T")
ROOT = pathlib.Path(__file__).resolve().parent.parent
SLOTS = 500
START_SECONDS = 40.0
STOP_SECONDS = 15.0
API, DISPATCHER, WORKER, FLOOR = "api", "dispatcher", "worker", "floor"
PATH = "/usr/bin:/bin"


def eventually(look: Callable[[], T], *, seconds: float, what: str, every: float = 0.05) -> T:
    """What ``look`` answers as soon as it is true.

    Raises:
        Broken: ``what`` did not come true within ``seconds``.
    """
    until = time.monotonic() + seconds
    while not (answer := look()):
        if time.monotonic() > until:
            raise Broken(f"{what}: not within {seconds:g} s")
        time.sleep(every)
    return answer


class Product:
    """Servers from `__enter__` to `__exit__`; of the product's processes, those that `run_only` names."""

    def __init__(self, *, slots: int = SLOTS, environment: Mapping[str, str] | None = None) -> None:
        self._slots, self._own = slots, dict(environment or {})
        self._ends = ExitStack()
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._extra: list[subprocess.Popen[bytes]] = []
        self.port, self.floor_port = ports.free_port(), ports.free_port()

    def __enter__(self) -> Self:
        with ExitStack() as ends:
            self.folder = pathlib.Path(tempfile.mkdtemp(prefix="parley-benchmarks-"))
            ends.callback(shutil.rmtree, self.folder, ignore_errors=True)
            self.folder.chmod(0o755)  # PostgreSQL runs as another user where this runs as root
            self._start_servers(ends)
            self.llm = ends.enter_context(FakeLLM())
            self._programs = {each.name: each for each in self._product()}
            self._migrate()
            ends.callback(self.run_only)
            ends.callback(self._stop_extra)
            self._ends = ends.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ends.close()

    def _start_servers(self, ends: ExitStack) -> None:
        self._postgres = local.postgres.start(self.folder, durable=True)
        ends.callback(shutil.rmtree, self._postgres.program.folder, ignore_errors=True)
        ends.callback(self._postgres.stop)
        self._valkey = local.valkey.start(self.folder, durable=True)
        ends.callback(self._valkey.stop)
        self._sql = psycopg2.connect(self._postgres.url, application_name="parley benchmarks")
        self._sql.set_isolation_level(extensions.ISOLATION_LEVEL_AUTOCOMMIT)
        ends.callback(self._sql.close)
        for setting in ("fsync", "synchronous_commit"):
            if self.sql(f"SHOW {setting}") != [("on",)]:
                raise Broken(f"PostgreSQL runs without {setting}")

    def _product(self) -> list[Program]:
        """Defaults, except for what a fake model and a big worker need."""
        environment = {
            "DATABASE_URL": self._postgres.url,
            "REDIS_URL": self._valkey.url,
            "LLM_BASE_URL": self.llm.base_url,
            "LLM_MODEL": "fake-model",
            "WORKER_SLOTS": str(self._slots),
            "STOP_GRACE_SECONDS": "2",
            "PORT": str(self.port),
            "TOKEN_KEY": secrets.token_urlsafe(32),
            "ALLOW_GUESTS": "true",
            "CREATE_LIMIT": "1000000/5 seconds",  # it is counted as ever, but one address sends it all
            "PATH": PATH,
            **self._own,
        }
        python = pathlib.Path(sys.executable)
        product = processes.product(python, ROOT, environment)
        api = next(each for each in product if each.name == API)
        floor = replace(
            api,
            name=FLOOR,
            command=(*api.command[:-1], "benchmarks.floor:app"),
            environment={**environment, "PORT": str(self.floor_port)},
        )
        return [*product, floor, processes.migration(python, ROOT, environment)]

    def _migrate(self) -> None:
        log = self.folder / "migration.log"
        if programs.run_to_end(self._programs["migration"], log=log) != 0:
            raise Broken(f"the migration failed:\n{programs.last_lines(log)}")

    @property
    def pids(self) -> dict[str, int]:
        """Of the servers and of the processes that run now."""
        processes_ = {name: process.pid for name, process in self._running.items()}
        return {**processes_, "postgres": self._postgres.pid, "valkey": self._valkey.pid}

    @property
    def extra_pids(self) -> list[int]:
        """Of those that `start_extra` has started."""
        return [process.pid for process in self._extra]

    def settings(self) -> Settings:
        """To reach its servers as one of its processes does."""
        return settings.from_environment({"DATABASE_URL": self._postgres.url, "REDIS_URL": self._valkey.url})

    def run_only(self, *names: str) -> None:
        """Run one each of these and nothing else; returns when they are ready, at once if they already run.

        Raises:
            Broken: one of them does not start, or has ended by itself.
        """
        for name in [name for name in self._running if name not in names]:
            self._stop(name)
        started = [name for name in names if name not in self._running]
        for name in started:
            self._running[name] = programs.spawn(self._programs[name], log=self._log(name))
        for name in names:
            eventually(lambda name=name: self._is_ready(name), seconds=START_SECONDS, what=f"{name} is ready")  # type: ignore[misc]

    def start_extra(self, name: str, **settings: str) -> int:
        """One more process of this kind, beside those that `run_only` names; its pid. It ends with everything else."""
        program = self._programs[name]
        program = replace(program, environment={**program.environment, **settings})
        process = programs.spawn(program, log=self._log(f"{name}-{len(self._extra)}"))
        self._extra.append(process)
        return process.pid

    def _stop_extra(self) -> None:
        for process in self._extra:
            programs.kill_group(process.pid)
            process.wait()

    def _stop(self, name: str) -> None:
        process = self._running.pop(name)
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            programs.kill_group(process.pid)
            process.wait()
        # Its slots would count, and it would look ready, for 10 s more.
        self.sql("DELETE FROM heartbeats WHERE kind = %s", name)

    def _is_ready(self, name: str) -> bool:
        if self._running[name].poll() is not None:
            raise Broken(f"{name} has ended; the end of its log:\n{programs.last_lines(self._log(name))}")
        if name == FLOOR:
            return not ports.can_listen("127.0.0.1", self.floor_port)
        if name == API:
            return bool(readiness.ask("127.0.0.1", self.port).body)
        return bool(self.sql("SELECT 1 FROM heartbeats WHERE kind = %s", name))

    def _log(self, name: str) -> pathlib.Path:
        return self.folder / f"{name}.log"

    def forget(self) -> None:
        """Empty the job's tables and the fake model's figures."""
        self.sql("TRUNCATE jobs, attempts, idempotency_keys")
        self.llm.reset()

    def forget_waiting(self) -> None:
        """Remove the jobs that nobody is to answer."""
        self.sql("DELETE FROM jobs WHERE status IN ('created', 'retrying')")

    def ids(self, status: str, *, most: int) -> tuple[str, ...]:
        """Of some jobs with this status."""
        rows = self.sql("SELECT id::text FROM jobs WHERE status = %s ORDER BY random() LIMIT %s", status, most)
        return tuple(job_id for (job_id,) in rows)

    def wait_until_finished(self, *, seconds: float) -> None:
        """Return when every job is finished.

        Raises:
            Broken: one is not, in time.
        """
        unfinished = "SELECT 1 FROM jobs WHERE finished_at IS NULL LIMIT 1"
        eventually(lambda: not self.sql(unfinished), seconds=seconds, what="every job is finished", every=0.2)

    def sql(self, statement: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Rows of a statement of the benchmark's own."""
        with self._sql.cursor() as cursor:
            cursor.execute(statement, parameters)
            return cursor.fetchall() if cursor.description else []

    def versions(self) -> str:
        """Of the servers."""
        valkey = subprocess.run(
            [self._valkey.program.command[0], "--version"],
            capture_output=True,
            text=True,
            check=True,
            env=dict(os.environ),
        ).stdout
        (server,) = self.sql("SHOW server_version")[0]
        return f"PostgreSQL {server}, Valkey {valkey.partition('v=')[2].partition(' ')[0]}"
