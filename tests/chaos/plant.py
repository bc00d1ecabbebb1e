"""The plant: the whole product on servers of its own, each server behind a fault proxy.

What ends, killed or by itself, is started again, as a supervisor would; an end
that nobody caused is written to the history.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import os
import pathlib
import random
import signal
import subprocess
import sys
import time
from typing import Final

import psycopg2

import local.postgres
import local.valkey
from local import programs
from tests.chaos.history import History
from tests.conftest import CALLERS, ROOT, Servers
from tests.fake_llm import FakeLLM
from tests.fault_proxy import FaultProxy
from tests.system.stack import Stack, eventually

PRODUCT: Final = {"api": 1, "dispatcher": 2, "worker": 2}
"""How many of each there should be. Two where one must be able to stand in for another."""
RESTART_SECONDS: Final = 0.5
SERVERS_DOWN_SECONDS: Final = 1.0
GONE_SECONDS: Final = 10.0
SLOW_START_SECONDS: Final = 30.0
"""After a breaker has closed."""
IN_HAND: Final = """
    SELECT split_part(leased_by, ':', 2)::int AS pid, count(*) AS jobs FROM jobs WHERE leased_by IS NOT NULL GROUP BY 1
"""


class OwnServers(Servers):
    """The addresses of servers that belong to one run, reached directly."""

    def __init__(self, *, database_url: str, redis_url: str) -> None:
        self.environment = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, **CALLERS}


class Plant(Stack):
    """Servers, proxies and the product's processes.

    Args:
        settings: of the product.
    """

    def __init__(self, folder: pathlib.Path, llm: FakeLLM, history: History, settings: dict[str, str]) -> None:
        self._history = history
        database, redis = local.postgres.prepare(folder), local.valkey.prepare(folder, durable=False)
        self.disposable = database.home.disposable
        self.proxies = {
            "postgres": FaultProxy(database.port),
            "redis": FaultProxy(redis.port),
            "model": FaultProxy(llm.port),
        }
        for proxy in self.proxies.values():
            proxy.start()
        through = {
            "DATABASE_URL": self.proxies["postgres"].behind(database.url),
            "REDIS_URL": self.proxies["redis"].behind(redis.url),
            "LLM_BASE_URL": self.proxies["model"].behind(llm.base_url),
        }
        super().__init__(folder, OwnServers(database_url=database.url, redis_url=redis.url), {**settings, **through})
        self._programs |= {"postgres": database.program, "redis": redis.program}
        self._wanted = {"postgres": 1, "redis": 1}
        self._killed: set[int] = set()
        self._mourned: set[int] = set()
        self._not_before: dict[str, float] = {}
        self._are_ready = (database.is_ready, redis.is_ready)

    def begin(self) -> None:
        """Start everything; returns when the api says it is ready."""
        self.supervise()
        eventually(lambda: all(is_ready() for is_ready in self._are_ready))
        migration = [sys.executable, "-m", "alembic", "upgrade", "head"]
        subprocess.run(migration, cwd=ROOT, env={**os.environ, **self.servers.environment}, check=True)
        self._wanted |= PRODUCT
        self.supervise()
        eventually(self.is_ready)

    def supervise(self) -> None:
        """Start what is missing, some time after its end. To be called from one thread, again and again."""
        now = time.monotonic()
        for name, process in self._running:
            if process.poll() is not None and process.pid not in self._mourned:
                self._mourned.add(process.pid)
                seconds = SERVERS_DOWN_SECONDS if name in self.proxies else RESTART_SECONDS
                self._not_before[name] = now + seconds
                if process.pid not in self._killed:
                    self._history.add("info", "died", process=name, pid=process.pid, code=process.returncode)
        for name, wanted in self._wanted.items():
            if now >= self._not_before.get(name, 0):
                for _ in range(wanted - len(self.of(name))):
                    self.start(name)

    def kill_one(self, name: str, chance: random.Random) -> int:
        """``kill -9`` one process of a kind, its children too; answers its pid."""
        victim = self._victim(name, chance)
        if victim is None:
            return 0
        self._killed.add(victim.pid)
        programs.kill_group(victim.pid)
        victim.wait(GONE_SECONDS)
        return victim.pid

    def freeze_one(self, name: str, chance: random.Random) -> int:
        """SIGSTOP one process of a kind; answers its pid."""
        victim = self._victim(name, chance)
        if victim is not None:
            os.killpg(victim.pid, signal.SIGSTOP)
        return victim.pid if victim is not None else 0

    def _victim(self, name: str, chance: random.Random) -> subprocess.Popen[bytes] | None:
        """The worker that has most in hand; of others any one."""
        alive = self.of(name)
        busy = self._jobs_in_hand() if name == "worker" else {}
        most = max((busy.get(each.pid, 0) for each in alive), default=0)
        return chance.choice([each for each in alive if busy.get(each.pid, 0) == most] or [None])

    def most_in_hand(self) -> int:
        """How many jobs the busiest worker has; 0 while the database is away."""
        return max(self._jobs_in_hand().values(), default=0)

    def _jobs_in_hand(self) -> dict[int, int]:
        """By the worker's pid; nothing while the database is away."""
        try:
            return {row["pid"]: row["jobs"] for row in self.sql(IN_HAND)}
        except psycopg2.Error:
            return {}

    def thaw(self, pid: int) -> None:
        """SIGCONT, if it still lives."""
        if pid and any(process.pid == pid and process.poll() is None for _, process in self._running):
            os.killpg(pid, signal.SIGCONT)

    def breaker_rests(self) -> list[tuple[float, float]]:
        """From when to when the model was not asked, or only slowly, as the dispatchers' log says."""
        rests, opened_at = [], None
        for line in (self.folder / "dispatcher.log").read_text(errors="replace").splitlines():
            if '"breaker_opened"' in line or '"breaker_closed"' in line:
                at = dt.datetime.fromisoformat(json.loads(line)["timestamp"]).timestamp()
                if '"breaker_opened"' in line:
                    opened_at = opened_at or at
                elif opened_at:
                    rests.append((opened_at, at + SLOW_START_SECONDS))
                    opened_at = None
        return rests + ([(opened_at, math.inf)] if opened_at else [])

    def log_lines(self, name: str, event: str) -> int:
        """How often a kind of process logged an event."""
        return (self.folder / f"{name}.log").read_text(errors="replace").count(f'"event": "{event}"')

    def close(self) -> None:
        """End everything, the servers last."""
        self._wanted.clear()
        super().close()
        for proxy in self.proxies.values():
            proxy.stop()
