"""Real servers for the tests, apart from any that run already.

The process that controls pytest-xdist starts one PostgreSQL and one Valkey and
prepares a template database; each of its workers copies the template (some ms)
and takes a Valkey database of its own. They end with the controlling process.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import hypothesis
import psycopg2
import pytest
import redis
from psycopg2 import extensions

import local.postgres
import local.valkey
from models import base, settings, waiting
from models.settings import Settings
from tests.browsers import browser
from tests.factories import TOKEN_KEY

__all__ = ["ROOT", "Servers", "browser"]
ROOT = pathlib.Path(__file__).resolve().parent.parent
TEMPLATE = "parley_template"
PATIENT_SECONDS = 30.0
ROOM_BYTES = 4 * 1024**3
_DATABASE, _REDIS = "PARLEY_TEST_DATABASE_URL", "PARLEY_TEST_REDIS_URL"
# To be emptied together, because one refers to the other; the rest each for itself, and those others refer to last.
LEAVES = (
    "jobs, attempts, idempotency_keys",
    *("breakers", "heartbeats", "snapshots", "tombstones", "refresh_tokens", "api_keys", "invitations", "audit_log"),
    *("samples", "reports"),
    *(
        "usage",
        "spending",
        "budget_alerts",
        "messages",
        "message_versions",
        "chat_members",
        "ai_cache_contexts",
        "past_summaries",
        "notifications",
    ),
)
ROOTS = ("sessions", "batches", "chats", "users")
FILLED = " UNION ALL ".join(
    f"SELECT '{tables}' WHERE EXISTS (SELECT FROM {tables.partition(',')[0]})"
    for tables in (*LEAVES, *ROOTS[:-1], "users WHERE NOT is_ai")
)

# The limits are there, but tests come to them only where they want to.
CALLERS = {
    "ENVIRONMENT": "test",
    "TOKEN_KEY": TOKEN_KEY,
    "ALLOW_GUESTS": "true",
    **{
        f"{name}_LIMIT": "1000000/minute" for name in ("CREATE", "BATCH", "SEND", "SEARCH", "LOGIN", "AUTH", "REGISTER")
    },
}

# No test asserts a time, hypothesis's own limit for an example included.
hypothesis.settings.register_profile("parley", deadline=None)
hypothesis.settings.load_profile("parley")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Refuse to run with groups that are torn apart: each piece would start the product anew, beside the others."""
    if hasattr(config, "workerinput"):
        torn = [item.nodeid for item in items if item.get_closest_marker("xdist_group") and "@" not in item.nodeid]
        assert not torn, f"pytest-xdist keeps no groups together: {torn[:3]}"


def _in_memory() -> str | None:
    """Where files are in memory, if there is room; None: wherever temporary files are. Emptying tables makes files."""
    memory = pathlib.Path("/dev/shm")
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > ROOM_BYTES
    return str(memory) if roomy else None


def pytest_configure(config: pytest.Config) -> None:
    """Start the servers, once for all workers."""
    if hasattr(config, "workerinput") or config.option.collectonly or _DATABASE in os.environ:
        return
    folder = pathlib.Path(tempfile.mkdtemp(prefix="parley-tests-", dir=_in_memory()))
    folder.chmod(0o755)  # PostgreSQL runs as another user where the tests run as root
    servers = [local.postgres.start(folder, durable=False), local.valkey.start(folder, durable=False)]
    os.environ[_DATABASE], os.environ[_REDIS] = servers[0].url, servers[1].url
    _prepare_template()

    def end() -> None:
        for server in servers:
            server.stop()
        shutil.rmtree(folder, ignore_errors=True)
        del os.environ[_DATABASE], os.environ[_REDIS]

    config.add_cleanup(end)


def _prepare_template() -> None:
    _administer(f"CREATE DATABASE {TEMPLATE}")
    environment = {**os.environ, "DATABASE_URL": _url_of(TEMPLATE), "REDIS_URL": os.environ[_REDIS]}
    subprocess.run([sys.executable, "-m", "alembic", "upgrade", "head"], cwd=ROOT, env=environment, check=True)


def _url_of(database: str) -> str:
    return os.environ[_DATABASE].rsplit("/", 1)[0] + "/" + database


def redis_url_of(worker: str, *, purpose: str = "") -> str:
    """A Valkey database for this worker's purpose."""
    number = 2 * (int(worker.removeprefix("gw")) if worker.startswith("gw") else 0) + bool(purpose)
    return os.environ[_REDIS].rsplit("/", 1)[0] + f"/{number}"


def _administer(statement: str) -> None:
    connection = psycopg2.connect(os.environ[_DATABASE])
    connection.set_isolation_level(extensions.ISOLATION_LEVEL_AUTOCOMMIT)
    try:
        connection.cursor().execute(statement)
    finally:
        connection.close()


class Servers:
    """A database and a Valkey database of one's own.

    Args:
        purpose: apart from the other databases of this worker.
    """

    def __init__(self, worker: str, *, purpose: str = "") -> None:
        self.database = f"parley_{worker}{purpose}"
        self.drop()
        _administer(f"CREATE DATABASE {self.database} TEMPLATE {TEMPLATE} STRATEGY FILE_COPY")
        self.environment = {
            "DATABASE_URL": _url_of(self.database),
            "REDIS_URL": redis_url_of(worker, purpose=purpose),
            **CALLERS,
        }

    def erase(self) -> None:
        """Empty both."""
        with self._connection, self._connection.cursor() as cursor:
            cursor.execute(FILLED)
            for (tables,) in cursor.fetchall():
                # A table without rows costs as much to truncate as one with some, and there are many by now.
                statement = f"TRUNCATE {tables}" if tables in LEAVES else f"DELETE FROM {tables}"
                cursor.execute(statement)
        self.erase_redis()

    @functools.cached_property
    def _connection(self) -> Any:
        """Kept, for a new one has first to learn what each table is."""
        return psycopg2.connect(self.environment["DATABASE_URL"])

    def erase_redis(self) -> None:
        """Forget every hint and all that is live."""
        with redis.Redis.from_url(self.environment["REDIS_URL"]) as client:
            client.flushdb()

    def drop(self) -> None:
        """Remove the database, whoever is still connected."""
        if "_connection" in vars(self):
            vars(self).pop("_connection").close()
        _administer(f"DROP DATABASE IF EXISTS {self.database} WITH (FORCE)")


@pytest.fixture(scope="session")
def servers(worker_id: str) -> Iterator[Servers]:
    """This worker's own database and Valkey database."""
    mine = Servers(worker_id)
    yield mine
    mine.drop()


@pytest.fixture(scope="session")
def bound(servers: Servers) -> Iterator[Settings]:
    """`Session` and `Autocommit` of this process, bound to the database, with every wait bounded, but patiently.

    A machine that others use too stands still for seconds. How long the product waits, tests on real processes see.
    """
    ours = dataclasses.replace(settings.from_environment(servers.environment), db_statement_seconds=PATIENT_SECONDS)
    extensions_before: Any = extensions.get_wait_callback()
    waiting.bound_every_wait(connect_seconds=ours.db_connect_seconds, statement_seconds=ours.db_statement_seconds)
    engine = base.open_database(ours, name="tests")
    yield ours
    engine.dispose()
    extensions.set_wait_callback(extensions_before)


@pytest.fixture
def db(bound: Settings, servers: Servers) -> Settings:
    """An empty database; the test opens sessions as a door would."""
    servers.erase()
    return bound
