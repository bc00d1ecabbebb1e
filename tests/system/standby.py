"""A primary and its standby: two PostgreSQLs, one following the other by way of a network that can fail."""

from __future__ import annotations

import contextlib
import pathlib
import shutil
from dataclasses import replace
from typing import Any, Self

import psycopg2

import local.postgres
from local import embedded, ports
from local.postgres import ENVIRONMENT, NAME, Postgres
from local.programs import Program, last_lines, run_to_end
from tests.fault_proxy import FaultProxy
from tests.system.outages import Fragile
from tests.system.stack import eventually

DURABLE = ("fsync=on", "synchronous_commit=on", "full_page_writes=on")


class Pair:
    """``with Pair(folder) as pair``: an empty database that is followed, asynchronously to begin with."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        self._open = contextlib.ExitStack()

    def __enter__(self) -> Self:
        made = local.postgres.prepare(self._folder, durable=False)
        self._made = _with(made, *DURABLE)
        for folder in made.home.disposable:
            self._open.callback(shutil.rmtree, folder, ignore_errors=True)
        self.primary = self._run(self._made)
        # pg_rewind reads back to the last checkpoint before the two parted; it runs PostgreSQL as its files say.
        self.ask(self.primary, "ALTER SYSTEM SET wal_keep_size = '256MB'")
        self.ask(self.primary, "SELECT pg_reload_conf()")
        self.wire = self._open.enter_context(FaultProxy(made.port))
        self.standby = self._run(self._copied())
        eventually(lambda: self.ask(self.primary, "SELECT true FROM pg_stat_replication WHERE state = 'streaming'"))
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    @property
    def url(self) -> str:
        """As Parley has it: whichever of the two can be written to."""
        both = f"host=127.0.0.1,127.0.0.1&port={self.primary.port},{self.standby.port}"
        return f"postgresql://{NAME}:{self._made.password}@/{NAME}?{both}&target_session_attrs=read-write"

    def demand_both(self) -> None:
        """From here on a commit is acknowledged when the standby has it too."""
        self.ask(self.primary, "ALTER SYSTEM SET synchronous_standby_names = '*'")
        self.ask(self.primary, "SELECT pg_reload_conf()")
        eventually(lambda: self.ask(self.primary, "SELECT true FROM pg_stat_replication WHERE sync_state = 'sync'"))

    def catch_up(self) -> None:
        """Wait until the standby has all that the primary has now."""
        [(written,)] = self.ask(self.primary, "SELECT pg_current_wal_flush_lsn()::text")
        eventually(lambda: self.ask(self.standby, f"SELECT true WHERE pg_last_wal_replay_lsn() >= '{written}'"))

    def promote(self) -> None:
        """Have the standby be the primary; returns when it is."""
        self.wire.switch("refuse")
        assert self.ask(self.standby, "SELECT pg_promote()") == [(True,)]

    def come_back(self) -> None:
        """The old primary follows the new one; what it alone had is gone. Returns when it has what the other has."""
        home = self._made.home
        where = f"host=127.0.0.1 port={self.standby.port} user={NAME} dbname={NAME}"
        self._once("pg_rewind", "-D", str(home.data), f"--source-server={where}", "-R")
        self._run(self._made)
        self.primary, self.standby = self.standby, self.primary
        eventually(lambda: self.ask(self.primary, "SELECT true FROM pg_stat_replication WHERE state = 'streaming'"))
        self.catch_up()

    def _once(self, binary: str, *arguments: str) -> None:
        """Run one of PostgreSQL's programs to its end."""
        home, log = self._made.home, self._folder / f"{binary}.log"
        program = Program(
            name=binary,
            command=(home.binary(binary), *arguments),
            environment={**ENVIRONMENT, "PGPASSWORD": self._made.password},
            folder=home.data.parent,
            uid=home.uid,
        )
        assert run_to_end(program, log=log) == 0, last_lines(log)

    def ask(self, server: Fragile, statement: str) -> list[tuple[Any, ...]]:
        """Rows of one statement, in a transaction of its own."""
        connection = psycopg2.connect(server.url)
        connection.autocommit = True
        with contextlib.closing(connection), connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def _run(self, postgres: Postgres) -> Fragile:
        log = self._folder / f"{postgres.port}.log"
        server = embedded.run_alone(postgres.program, url=postgres.url, log=log, is_ready=postgres.is_ready)
        fragile = Fragile(server)
        self._open.callback(server.stop)
        self._open.callback(fragile.stop)
        return fragile

    def _copied(self) -> Postgres:
        """The primary's files, set up to follow it, as `docs/how-to/fail-over.md` has it."""
        home = replace(self._made.home, data=self._made.home.data.with_name("standby"))
        home.data.mkdir(mode=0o700)
        home.give(home.data)
        where = f"host=127.0.0.1 port={self.wire.port} user={NAME}"
        self._once("pg_basebackup", "-D", str(home.data), "-d", where, "-R", "-X", "stream", "-c", "fast")
        port = ports.free_port()
        command = self._made.program.command
        program = replace(self._made.program, command=(command[0], "-D", str(home.data), *command[3:]))
        return _with(replace(self._made, program=program, home=home, port=port), f"port={port}")


def _with(postgres: Postgres, *settings: str) -> Postgres:
    options = [part for setting in settings for part in ("-c", setting)]
    return replace(postgres, program=replace(postgres.program, command=(*postgres.program.command, *options)))
